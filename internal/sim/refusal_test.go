package sim_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
)

type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  struct {
		Field    string `json:"field"`
		Location string `json:"location"`
		Issue    string `json:"issue"`
		Detail   struct {
			Issue string `json:"issue"`
		} `json:"detail"`
		Information struct {
			Message string `json:"truncated_sign_message"`
		} `json:"sign_information"`
	} `json:"detail"`
}

// Each row takes a request that is fine and changes one thing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) func(*request) {
		return func(r *request) { r.timestamp = fmt.Sprint(now.Add(d).Unix()) }
	}
	header := func(name, value string) func(*request) {
		return func(r *request) { r.header[name] = value }
	}
	authorization := func(old, new string) func(*request) {
		return func(r *request) {
			r.authorization = func(a string) string { return strings.Replace(a, old, new, 1) }
		}
	}
	body := func(b string) func(*request) {
		return func(r *request) { r.body, r.signed = b, b }
	}
	replace := func(old, new string) func(*request) {
		return func(r *request) {
			r.body = strings.Replace(r.body, old, new, 1)
			r.signed = r.body
		}
	}
	const (
		native  = "POST /v3/pay/transactions/native"
		certs   = "GET /v3/certificates"
		refunds = "POST /v3/refund/domestic/refunds"
		query   = "GET /v3/pay/transactions/out-trade-no/ORDER001?mchid=" + sim.SimulatedMchID
	)
	for _, row := range []struct {
		name, request string
		flip          func(*request)
		status        int
		code, field   string
	}{
		{"nothing changed", native, func(*request) {}, 200, "", ""},
		{"299 seconds behind", native, at(-299 * time.Second), 200, "", ""},
		{"299 seconds ahead", native, at(299 * time.Second), 200, "", ""},
		{"no agent at an order", native, header("User-Agent", ""), 200, "", ""},
		{"charset in the content type", native, header("Content-Type", "application/json; charset=utf-8"), 200, "", ""},

		{"302 seconds behind", native, at(-302 * time.Second), 401, "SIGN_ERROR", "timestamp"},
		{"302 seconds ahead", native, at(302 * time.Second), 401, "SIGN_ERROR", "timestamp"},
		{"timestamp is text", native, func(r *request) { r.timestamp = "now" }, 401, "SIGN_ERROR", "timestamp"},
		{"timestamp of centuries", native, func(r *request) { r.timestamp = "9223372036854775807" }, 401, "SIGN_ERROR", "timestamp"},
		{"no authorization", native, header("Authorization", ""), 401, "SIGN_ERROR", "authorization"},
		{"bearer", native, header("Authorization", "Bearer x"), 401, "SIGN_ERROR", "authorization"},
		{"other scheme", native, authorization("RSA2048", "RSA4096"), 401, "SIGN_ERROR", "authorization"},
		{"field missing", native, authorization(`serial_no=`, `serial=`), 401, "SIGN_ERROR", "authorization"},
		{"other mchid", native, func(r *request) { r.mchID = "1900000002" }, 401, "SIGN_ERROR", "mchid"},
		{"other serial", native, func(r *request) { r.serial = "4" + r.serial[1:39] + "0" }, 401, "SIGN_ERROR", "serial_no"},
		{"serial in lower case", native, func(r *request) { r.serial = strings.ToLower(r.serial) }, 401, "SIGN_ERROR", "serial_no"},
		{"one byte of the body", native, func(r *request) { r.body = strings.Replace(r.body, "100", "101", 1) }, 401, "SIGN_ERROR", "signature"},
		{"one byte more", native, func(r *request) { r.body += " " }, 401, "SIGN_ERROR", "signature"},
		{"another nonce", native, authorization(`nonce_str="`, `nonce_str="X`), 401, "SIGN_ERROR", "signature"},
		{"signature not base64", native, authorization(`signature="`, `signature="*`), 401, "SIGN_ERROR", "signature"},
		{"more in the target", query, func(r *request) { r.sent = r.target + "&x=1" }, 401, "SIGN_ERROR", "signature"},

		{"no agent at certificates", certs, header("User-Agent", ""), 400, "INVALID_REQUEST", ""},
		{"no accept at certificates", certs, header("Accept", ""), 400, "INVALID_REQUEST", ""},
		{"no agent at refunds", refunds, header("User-Agent", ""), 400, "INVALID_REQUEST", ""},
		{"unknown platform serial", native, header("Wechatpay-Serial", "ABCD"), 400, "PARAM_ERROR", ""},
		{"no content type", native, header("Content-Type", ""), 400, "INVALID_REQUEST", ""},
		{"form content type", native, header("Content-Type", "application/x-www-form-urlencoded"), 415, "INVALID_REQUEST", ""},
		{"emoji", native, replace("tea", "tea 🍵"), 400, "PARAM_ERROR", "/"},
		{"escaped emoji", native, replace("tea", `tea \ud83c\udf75`), 400, "PARAM_ERROR", "/"},
		{"null", native, replace(`"tea"`, "null"), 400, "PARAM_ERROR", "/"},
		{"not UTF-8", native, replace("tea", "te\xff"), 400, "PARAM_ERROR", "/"},
		{"not JSON", native, body("{"), 400, "PARAM_ERROR", "/"},
		{"array", native, body("[]"), 400, "PARAM_ERROR", "/"},
		{"two objects", native, body("{}{}"), 400, "PARAM_ERROR", "/"},
		{"no body", native, body(""), 400, "PARAM_ERROR", "/"},
		{"mchid of another in the body", native, replace(sim.SimulatedMchID, "1900000002"), 400, "PARAM_ERROR", "/mchid"},
		{"sp_mchid of another in the body", native, replace("mchid", "sp_mchid"), 400, "PARAM_ERROR", "/sp_appid"},
		{"mchid of another in the query", query, func(r *request) { r.target = strings.Replace(r.target, "=19", "=18", 1) }, 400, "PARAM_ERROR", "mchid"},
		{"mchid missing in the query", query, func(r *request) { r.target, _, _ = strings.Cut(r.target, "?") }, 400, "PARAM_ERROR", "mchid"},
		{"description missing", native, replace(`"description":"tea",`, ""), 400, "PARAM_ERROR", "/description"},
		{"key in other letters", native, replace("out_trade_no", "Out_trade_no"), 400, "PARAM_ERROR", "/out_trade_no"},
		{"inner key in other letters", native, replace("total", "Total"), 400, "PARAM_ERROR", "/amount/total"},
		{"description too long", native, replace("tea", strings.Repeat("茶", 129)), 400, "PARAM_ERROR", "/description"},
		{"total zero", native, replace("100", "0"), 400, "PARAM_ERROR", "/amount/total"},
		{"total in yuan", native, replace("100", "1.00"), 400, "PARAM_ERROR", "/amount/total"},
		{"currency", native, replace("CNY", "USD"), 400, "PARAM_ERROR", "/amount/currency"},
		{"order number too short", native, replace("ORDER001", "ORDER"), 400, "PARAM_ERROR", "/out_trade_no"},
		{"notify_url with a query", native, replace("/notify", "/notify?x=1"), 400, "PARAM_ERROR", "/notify_url"},
		{"notify_url relative", native, replace("http://127.0.0.1:1", ""), 400, "PARAM_ERROR", "/notify_url"},
		{"jsapi without payer", "POST /v3/pay/transactions/jsapi", func(*request) {}, 400, "PARAM_ERROR", "/payer/openid"},
		{"h5 without scene", "POST /v3/pay/transactions/h5", func(*request) {}, 400, "PARAM_ERROR", "/scene_info"},

		{"unknown endpoint", "GET /v3/nothing", func(*request) {}, 404, "RESOURCE_NOT_EXISTS", ""},
		{"path in other letters", "POST /v3/pay/transactions/Native", func(*request) {}, 404, "RESOURCE_NOT_EXISTS", ""},
		{"doubled slash", "POST /v3/pay//transactions/native", func(*request) {}, 404, "RESOURCE_NOT_EXISTS", ""},
		{"wrong method", "GET /v3/pay/transactions/native", func(*request) {}, 405, "", ""},
		{"too large", native, func(r *request) { r.body = `{"a":"` + strings.Repeat("a", 1<<20) + `"}` }, 413, "INVALID_REQUEST", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, sim.Options{Now: func() time.Time { return now }})
			method, target, _ := strings.Cut(row.request, " ")
			content := ""
			if method == "POST" {
				content = orderBody("ORDER001", "http://127.0.0.1:1/notify")
			}
			r := newRequest(s, method, target, content)
			row.flip(r)
			w := r.do(s)
			if w.Code != row.status {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, row.status)
			}
			checkAnswer(t, w.Result().Header, row.status)
			var got refusal
			if w.Body.Len() > 0 && w.Code != 200 {
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
			}
			if got.Code != row.code || got.Detail.Field != row.field {
				t.Errorf("got code %q, field %q, want %q, %q", got.Code, got.Detail.Field, row.code, row.field)
			}
			e := last(t, s)
			if (e.Verdict == sim.VerdictRefused) != (row.status >= 300) || e.Status != row.status || e.Verdict == sim.VerdictRefused && e.Reason == "" {
				t.Errorf("log: %+v", e)
			}
		})
	}
}

// checkAnswer: what is signed, and how the Request-Id ends.
func checkAnswer(t *testing.T, h http.Header, status int) {
	t.Helper()
	if signed := h.Get("Wechatpay-Signature") != ""; signed != (status < 300) {
		t.Errorf("signed is %v at status %d", signed, status)
	}
	id := h.Get("Request-Id")
	if ok := strings.HasSuffix(id, "-0"); ok != (status < 300) || id == "" {
		t.Errorf("Request-Id %q at status %d", id, status)
	}
}

// A wrong signature tells the developer what was taken for the message.
func TestSignErrorShowsTheMessage(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	r := newRequest(s, "POST", "/v3/pay/transactions/native?a=%2F", orderBody("ORDER001", "http://127.0.0.1:1/n"))
	r.signed = "something else"
	w := r.do(s)
	var got refusal
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Detail.Location != "authorization" || got.Detail.Detail.Issue != "sign not match" {
		t.Errorf("detail: %+v", got.Detail)
	}
	if want := "POST\n/v3/pay/transactions/native?a=%2F\n" + r.timestamp + "\n" + r.nonce + "\n"; !strings.HasPrefix(got.Detail.Information.Message, want) {
		t.Errorf("message %q does not begin with %q", got.Detail.Information.Message, want)
	}
}

// The signature covers the target as sent: no cleaning, no decoding.
func TestTargetIsVerifiedAsSent(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "a|b*c@d_e", "http://127.0.0.1:1/n")
	for _, path := range []string{"a%7Cb%2Ac%40d_e", "a%7cb*c@d_e"} {
		status, answer := call(t, s, "GET", "/v3/pay/transactions/out-trade-no/"+path+"?mchid="+sim.SimulatedMchID, "")
		if status != http.StatusOK || answer["out_trade_no"] != "a|b*c@d_e" {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}

func TestRepeatedNonceIsNoted(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	r := newRequest(s, "GET", "/v3/certificates", "")
	for range 2 {
		if w := r.do(s); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	entries := s.Log(0)
	if entries[0].Reason != "" || !strings.Contains(entries[1].Reason, "nonce_str") {
		t.Errorf("reasons: %q, %q", entries[0].Reason, entries[1].Reason)
	}
}

// The log must not be a place where secrets or bodies can be read.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "ORDER001", "http://127.0.0.1:1/n")
	r := newRequest(s, "POST", "/v3/pay/transactions/native", orderBody("ORDER002", "http://127.0.0.1:1/n"))
	r.signed = "x"
	signature := ""
	r.authorization = func(a string) string { signature = a[len(a)-60 : len(a)-2]; return a }
	r.do(s)
	text, err := json.Marshal(s.Log(0))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("unrelated")) // the search itself works: see ORDER001
	for name, secret := range map[string]string{
		"key": s.Merchants()[0].APIv3Key, "signature": signature, "body": "description", "nothing": fmt.Sprintf("%x", sum),
	} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the log holds the %s", name)
		}
	}
	if !strings.Contains(string(text), "ORDER001") {
		t.Error("the log lacks the order number")
	}
}
