package sim

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// authorize judges who sent a request, in WeChat Pay's order: the form of the
// header, the clock, the merchant and its serial number, the signature.
func (s *Sim) authorize(c *call) *apiError {
	values := c.header["Authorization"]
	if len(values) != 1 {
		return signError("authorization", messageFormat, "Authorization is missing or stands twice")
	}
	a, err := wire.ParseAuthorization(values[0])
	if err != nil {
		return signError("authorization", messageFormat, "Authorization does not have APIv3's form")
	}
	c.entry.MchID, c.entry.Serial = cut(a.ID, 64), cut(a.Serial, 64)
	if a.Scheme != wire.SchemeRSA {
		return signError("authorization", messageScheme, "the scheme is not "+wire.SchemeRSA)
	}
	if err := s.checkClock(a.Timestamp); err != nil {
		return err
	}
	m := s.merchant(a.ID)
	if m == nil {
		return signError("mchid", messageMerchant, "the mchid is not one of the simulator's merchants")
	}
	// The console shows upper case; whether WeChat Pay takes lower case is not
	// known, so the simulator does not.
	if a.Serial != m.serial() {
		return signError("serial_no", messageCert, "serial_no is not the merchant certificate's, upper case hexadecimal")
	}
	if s.now().After(m.Certificate.NotAfter) {
		return signError("serial_no", messageExpired, "the merchant certificate has expired")
	}
	if err := verifyRequest(m.publicKey(), c, a); err != nil {
		return err
	}
	c.merchant = m
	if s.book.repeated(m.MchID, a.Nonce) {
		c.entry.Reason = "nonce_str was used before; WeChat Pay may refuse that"
	}
	return nil
}

func (s *Sim) checkClock(timestamp string) *apiError {
	unix, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || unix < 0 {
		return signError("timestamp", messageFormat, "timestamp is not Unix seconds")
	}
	now := s.now().Unix()
	if skew := unix - now; skew > wire.WindowSeconds || skew < -wire.WindowSeconds {
		return signError("timestamp", messageTimestamp,
			"timestamp is "+time.Duration(min(max(skew, -1e9), 1e9)*1e9).String()+" from the simulator's clock, more than 5 minutes")
	}
	return nil
}

func verifyRequest(key *rsa.PublicKey, c *call, a wire.Authorization) *apiError {
	message := wire.RequestMessage(c.method, c.target, a.Timestamp, a.Nonce, c.signed)
	signature, err := base64.StdEncoding.DecodeString(a.Signature)
	if err != nil {
		return signError("signature", messageSignature, "signature is not base64")
	}
	digest := sha256.Sum256(message)
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil {
		return nil
	}
	e := signError("signature", messageSignature, "sign not match")
	head := bytes.TrimSuffix(message, append(bytes.Clone(c.signed), '\n'))
	e.detail = signDetail{
		Detail: signIssue{"sign not match"}, Field: "signature", Location: "authorization",
		Information: &signInformation{
			Method: c.method, URL: c.target, MessageLength: len(message),
			Message: string(head) + string(c.signed[:min(len(c.signed), 16)]) + "\n",
		},
	}
	return e
}

// checkHeaders judges what some endpoints want before they look at the
// signature.
func checkAgent(h http.Header) *apiError {
	if h.Get("User-Agent") == "" || h.Get("Accept") == "" {
		return headerError("INVALID_REQUEST", messageAgent, "User-Agent or Accept is missing or empty")
	}
	return nil
}

// checkSerial judges the key that the caller says it knows.
func (s *Sim) checkSerial(c *call) *apiError {
	values := c.header[wire.HeaderSerial]
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 || s.platform.find(values[0]) == nil {
		return headerError("PARAM_ERROR", messageSerial,
			"Wechatpay-Serial names no key that WeChat Pay has for this merchant now")
	}
	return nil
}

// asAPIError turns what a handler returned into an answer for the caller.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return businessError(http.StatusInternalServerError, "SYSTEM_ERROR", messageSystem, "simulator: "+err.Error())
}
