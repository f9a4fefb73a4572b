package sim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// judgeReply judges the answer to a notify that WeChat Pay reads: JSON that says
// SUCCESS and, for some, the merchant's signature over it. It returns what is
// wrong; empty: nothing. The form of the signed text is that of WeChat Pay's own
// answers; the documents do not show it.
func (s *Sim) judgeReply(m *Merchant, event endpoint.Event, h http.Header, body []byte) string {
	var reply struct {
		Code string `json:"code"`
	}
	switch {
	case !event.Answer:
		return ""
	case json.Unmarshal(body, &reply) != nil:
		return "the answer is not JSON, and this event wants data"
	case reply.Code != "SUCCESS":
		return "the answer's code is not SUCCESS"
	case !event.AnswerSigned || s.opts.UncheckedAnswers:
		return ""
	}
	values := h["Authorization"]
	if len(values) != 1 {
		return "the answer has no Authorization, or two; this event wants it signed"
	}
	a, err := wire.ParseAuthorization(values[0])
	switch {
	case err != nil || a.Scheme != wire.SchemeRSA:
		return "the answer's Authorization does not have APIv3's form"
	case a.ID != m.MchID || a.Serial != m.serial():
		return "the answer is signed by another merchant or certificate"
	}
	if err := s.checkClock(a.Timestamp); err != nil {
		return "the answer's " + err.reason
	}
	signature, err := base64.StdEncoding.DecodeString(a.Signature)
	digest := sha256.Sum256(wire.ResponseMessage(a.Timestamp, a.Nonce, body))
	if err != nil || rsa.VerifyPKCS1v15(m.publicKey(), crypto.SHA256, digest[:], signature) != nil {
		return "the answer's signature does not match"
	}
	return ""
}
