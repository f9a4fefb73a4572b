package sim_test

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// reply is a merchant's answer to a question; the zero value is good.
type reply struct {
	status int    // 0: 200
	body   string // empty: SUCCESS
	signed string // the text that is signed, where that is not body
	serial string
	mchID  string
	skew   time.Duration
	key    *rsa.PrivateKey
	edit   func(http.Header)
	after  time.Duration
}

func (r reply) serve(m sim.Merchant) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // or net/http would not notice that the caller is gone
		select {
		case <-time.After(r.after):
		case <-req.Context().Done():
			return
		}
		body := cmp.Or(r.body, `{"code":"SUCCESS","total_amount":1}`)
		key := m.PrivateKey
		if r.key != nil {
			key = r.key
		}
		at := fmt.Sprint(time.Now().Add(r.skew).Unix())
		digest := sha256.Sum256([]byte(at + "\nn0nce\n" + cmp.Or(r.signed, body) + "\n"))
		signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		w.Header().Set("Authorization", fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="n0nce",signature="%s",timestamp="%s",serial_no="%s"`,
			cmp.Or(r.mchID, m.MchID), base64.StdEncoding.EncodeToString(signature), at, cmp.Or(r.serial, fmt.Sprintf("%X", m.Certificate.SerialNumber))))
		if r.edit != nil {
			r.edit(w.Header())
		}
		w.WriteHeader(cmp.Or(r.status, 200))
		_, _ = w.Write([]byte(body))
	}
}

// Of the events that ask the merchant something the answer counts: its code,
// its time, and for some its signature. Each row changes one thing.
func TestReplies(t *testing.T) {
	t.Parallel()
	const parking, border = "PARKING_FEE.QUERY_TRANS_INFO", "CROSS_BORDER_PAY.GET_MCH_INFO"
	unsigned := func(h http.Header) { h.Del("Authorization") }
	for name, row := range map[string]struct {
		event string
		reply reply
		wrong string // empty: taken
	}{
		"plain":                {parking, reply{edit: unsigned}, ""},
		"signed":               {border, reply{}, ""},
		"signed without need":  {"TRANSACTION.SUCCESS", reply{body: "anything", edit: unsigned}, ""},
		"failed":               {parking, reply{body: `{"code":"FAIL"}`}, "not SUCCESS"},
		"no code":              {parking, reply{body: `{}`}, "not SUCCESS"},
		"no JSON":              {"ENTRUST.TERMINATE_RETENTION", reply{body: "ok"}, "not JSON"},
		"status":               {parking, reply{status: 500}, "neither 200 nor 204"},
		"unsigned":             {border, reply{edit: unsigned}, "no Authorization"},
		"signed twice":         {border, reply{edit: func(h http.Header) { h.Add("Authorization", h.Get("Authorization")) }}, "no Authorization, or two"},
		"another scheme":       {border, reply{edit: func(h http.Header) { h.Set("Authorization", "Bearer x") }}, "form"},
		"another text":         {border, reply{signed: `{"code":"SUCCESS"}`}, "does not match"},
		"another key":          {border, reply{key: keyPool()[3]}, "does not match"},
		"another serial":       {border, reply{serial: strings.Repeat("A", 40)}, "another merchant"},
		"another merchant":     {border, reply{mchID: "1900000002"}, "another merchant"},
		"an old signature":     {border, reply{skew: -302 * time.Second}, "timestamp"},
		"slower than a second": {"ENTRUST.TERMINATE_RETENTION", reply{after: time.Minute}, "no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, sim.Options{})
			receiver := httptest.NewServer(row.reply.serve(s.Merchants()[0]))
			t.Cleanup(receiver.Close)
			d, err := s.Send(t.Context(), receiver.URL, sim.Notice{Event: row.event}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.wrong == "" && d.Verdict != sim.VerdictTaken || row.wrong != "" && (d.Verdict != sim.VerdictNotTaken || !strings.Contains(d.Reason, row.wrong)) {
				t.Errorf("got %s (%s), want %q", d.Verdict, d.Reason, row.wrong)
			}
		})
	}
	unchecked := newSim(t, sim.Options{UncheckedAnswers: true})
	receiver := httptest.NewServer(reply{edit: unsigned}.serve(unchecked.Merchants()[0]))
	t.Cleanup(receiver.Close)
	if d, err := unchecked.Send(t.Context(), receiver.URL, sim.Notice{Event: border}, nil); err != nil || d.Verdict != sim.VerdictTaken {
		t.Errorf("got %+v, %v", d, err)
	}
}
