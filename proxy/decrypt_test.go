package proxy_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/proxy"
)

// Every row of the table, alone: the app gets the document as WeChat Pay wrote
// it, with the values that the official SDK encrypted in plain.
func TestEveryFieldOfAnswers(t *testing.T) {
	t.Parallel()
	var reply string
	w := newWechat(t, func(rw http.ResponseWriter, r *http.Request) { answer{body: reply}.serve(rw, r) })
	r := newRig(t, w)
	done := 0
	for _, row := range fieldRows(t) {
		if row.direction != "response" {
			continue
		}
		done++
		d, plain := document(row.path), []string{"张三 <&> " + row.path, "second"}
		reply = fill(d, func(i int) string { return `"` + sealedBy(t, &keys().merchant.PublicKey, plain[i%2]) + `"` })
		g := r.do(row.method, strings.NewReplacer("{", "", "}", "").Replace(row.template), "")
		g.passed(t, 200, "true")
		if want := fill(d, func(i int) string { return `"` + plain[i%2] + `"` }); g.body != want {
			t.Errorf("%+v: got %s, want %s", row, g.body, want)
		}
		rewritten(t, g, "decrypted")
	}
	if done != 75 {
		t.Errorf("%d rows, want 75", done)
	}
}

// rewritten checks the headers of an answer whose body was changed.
func rewritten(t testing.TB, g got, sensitive string) {
	t.Helper()
	if g.header.Get("Wxproxy-Sensitive") != sensitive || g.header.Get("Wxproxy-Rewritten") != "true" {
		t.Errorf("Wxproxy-Sensitive is %q, Wxproxy-Rewritten %q", g.header.Get("Wxproxy-Sensitive"), g.header.Get("Wxproxy-Rewritten"))
	}
	for name := range g.header {
		if strings.HasPrefix(name, "Wechatpay-") {
			t.Errorf("%s is left, and does not fit the body any more", name)
		}
	}
}

const complaint = "/v3/merchant-service/complaints-v2/200201820200101080076610000" // payer_phone

// What stays as WeChat Pay sent it, signature and all, and what the app is told.
func TestAnswersThatStay(t *testing.T) {
	t.Parallel()
	ours := sealAlone(t, &keys().merchant.PublicKey, "13800138000")
	text := func(value string) string { return `{ "payer_phone" : ` + value + ` }` }
	off := func(s *setup) {
		s.Table, _ = endpoint.New([]endpoint.Override{{Method: "GET", Template: "/v3/merchant-service/complaints-v2/{complaint_id}", SensitiveOff: true}})
	}
	transit := func(s *setup) { signsAlone(s.Merchants[0]) }
	sha2, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &keys().merchant.PublicKey, []byte("1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(ours)
	if flipped[10]++; !strings.ContainsRune("BCDEFGHIJKLMNOPQRSTUVWXYZbcdefghijklmnopqrstuvwxyz123456789", rune(flipped[10])) {
		flipped[10] = 'A' // of base64 too, and none of these follows on it
	}
	for name, test := range map[string]struct {
		target  string
		answer  answer
		headers []string
		edit    func(*setup)
		says    string // Wxproxy-Sensitive
	}{
		"another key's":         {complaint, answer{body: text(`"` + sealAlone(t, &keys().other.PublicKey, "1") + `"`)}, nil, nil, "failed"},
		"with SHA-256":          {complaint, answer{body: text(`"` + base64.StdEncoding.EncodeToString(sha2) + `"`)}, nil, nil, "failed"},
		"one digit changed":     {complaint, answer{body: text(`"` + string(flipped) + `"`)}, nil, nil, "failed"},
		"not UTF-8 inside":      {complaint, answer{body: text(`"` + sealAlone(t, &keys().merchant.PublicKey, "\xff") + `"`)}, nil, nil, "failed"},
		"a key that stays away": {complaint, answer{body: text(`"` + ours + `"`)}, nil, transit, "encrypted"},
		"off by the call":       {complaint, answer{body: text(`"` + ours + `"`)}, []string{"Wxproxy-Sensitive", "off"}, nil, ""},
		"off by the config":     {complaint, answer{body: text(`"` + ours + `"`)}, nil, off, ""},
		"no rewriting":          {complaint, answer{body: text(`"` + ours + `"`)}, []string{"Wxproxy-Rewrite", "off"}, nil, ""},
		"an SDK that verifies":  {complaint, answer{body: text(`"` + ours + `"`)}, []string{"Authorization", "WECHATPAY2-SHA256-RSA2048 mchid=\"1\""}, nil, ""},
		"plain":                 {complaint, answer{body: text(`"138****8000"`)}, nil, nil, ""},
		"empty":                 {complaint, answer{body: text(`""`)}, nil, nil, ""},
		"null":                  {complaint, answer{body: text(`null`)}, nil, nil, ""},
		"a number":              {complaint, answer{body: text(`1.50`)}, nil, nil, ""},
		"elsewhere":             {complaint, answer{body: `{"payer":{"payer_phone":"` + ours + `"},"x":"` + ours + `"}`}, nil, nil, ""},
		"not JSON":              {complaint, answer{body: text(`"` + ours + `"}`)}, nil, nil, ""},
		"no body":               {complaint, answer{}, nil, nil, ""},
		"another endpoint":      {"/v3/x", answer{body: text(`"` + ours + `"`)}, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newWechat(t, test.answer.serve), func(s *setup) {
				if test.edit != nil {
					test.edit(s)
				}
			})
			g := r.do("GET", test.target, "", test.headers...)
			g.passed(t, 200, "true")
			if g.body != test.answer.body || g.header.Get("Wxproxy-Sensitive") != test.says {
				t.Errorf("got %s with %q", g.body, g.header.Get("Wxproxy-Sensitive"))
			}
			if g.header.Get("Wechatpay-Signature") == "" || g.header.Get("Wxproxy-Rewritten") != "" {
				t.Errorf("the signature of an unchanged body went: %v", g.header)
			}
		})
	}
}

// Nothing is decrypted that was not verified: errors come unsigned, and who can
// write an answer must not learn what opens.
func TestUnverifiedAnswersAreNotDecrypted(t *testing.T) {
	t.Parallel()
	body := `{"payer_phone":"` + sealAlone(t, &keys().merchant.PublicKey, "13800138000") + `"}`
	for name, test := range map[string]struct {
		answer answer
		reason proxy.Reason
	}{
		"forged":         {answer{body: body, key: keys().other}, proxy.ReasonSignature},
		"unsigned":       {answer{body: body, bare: true}, proxy.ReasonUnsigned},
		"unsigned error": {answer{body: body, bare: true, status: 400}, ""},
		"signed error":   {answer{body: body, status: 400}, ""},
	} {
		asked := false
		r := newRig(t, newWechat(t, test.answer.serve), func(s *setup) {
			decryptsWith(s.Merchants[0], toldKey{keys().merchant, &asked})
		})
		g := r.do("GET", complaint, "")
		if asked || strings.Contains(g.body, "13800138000") || g.header.Get("Wxproxy-Sensitive") != "" {
			t.Errorf("%s: the key was used: %s", name, g.body)
		}
		if test.reason != "" {
			g.refused(t, 502, test.reason)
		} else if g.body != body {
			t.Errorf("%s: got %s", name, g.body)
		}
	}
}

// toldKey tells that it was used.
type toldKey struct {
	*rsa.PrivateKey
	used *bool
}

// Decrypt implements crypto.Decrypter.
func (k toldKey) Decrypt(r io.Reader, sealed []byte, o crypto.DecrypterOpts) ([]byte, error) {
	*k.used = true
	return k.PrivateKey.Decrypt(r, sealed, o)
}

// A list of which one value does not open: the others do, a money call stays a
// success, and log and metric tell of it without telling what.
func TestOneFieldDoesNotOpen(t *testing.T) {
	t.Parallel()
	good, bad := sealAlone(t, &keys().merchant.PublicKey, "13800138000"), sealAlone(t, &keys().other.PublicKey, "13900139000")
	body := `{"data":[{"payer_phone":"` + bad + `"},{"payer_phone":"` + good + `"}]}`
	j, log, metrics, reg := recorded(t)
	r := newRig(t, newWechat(t, answer{body: body}.serve), func(s *setup) { s.Metrics, s.Log = metrics, log })
	g := r.do("GET", "/v3/merchant-service/complaints-v2?limit=2", "")
	g.passed(t, 200, "true")
	if g.body != strings.Replace(body, good, "13800138000", 1) {
		t.Errorf("got %s", g.body)
	}
	rewritten(t, g, "failed")
	for _, want := range []string{"level=WARN", "do not open", "merchant=shop", "endpoint=/v3/merchant-service/complaints-v2", "failed=1"} {
		if !strings.Contains(j.String(), want) {
			t.Errorf("the log lacks %s: %s", want, j)
		}
	}
	keepsSecrets(t, j.String(), "13800138000", good[:20], bad[:20])
	if got := counted(t, reg, "wxproxy_sensitive_fields_total", "outcome"); !maps.Equal(got, map[string]int{"decrypted": 1, "failed": 1}) {
		t.Errorf("counted %v", got)
	}
}

// For random JSON and random endpoints of the table: every ciphertext of the
// answer is opened, and every other byte is what it was.
func TestRandomAnswers(t *testing.T) {
	t.Parallel()
	randomFields(t, "response", 200, func(e *endpoint.Endpoint, r *randomText) {
		var text, want bytes.Buffer
		at := 0
		for _, l := range r.leaves {
			text.Write(r.Bytes()[at:l.start])
			want.Write(r.Bytes()[at:l.start])
			at = l.end
			text.WriteString(`"` + sealAlone(t, &keys().merchant.PublicKey, l.plain) + `"`)
			quoted := &bytes.Buffer{}
			encoder := json.NewEncoder(quoted)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(l.plain); err != nil {
				t.Fatal(err)
			}
			want.Write(bytes.TrimSpace(quoted.Bytes()))
		}
		text.Write(r.Bytes()[at:])
		want.Write(r.Bytes()[at:])
		got := proxy.Reveal(text.Bytes(), e.Sensitive.Response, keys().merchant)
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("got %s, want %s", got, want.Bytes())
		}
	})
}

// Whatever WeChat Pay sends: JSON stays JSON, and only ciphertexts change.
func FuzzReveal(f *testing.F) {
	key := keys().merchant
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, []byte(`"},{"<&>`), nil)
	if err != nil {
		f.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(sealed)
	for _, seed := range []string{`{"payer_phone":"` + text + `"}`, `{"payer_phone":["` + text + `",{"a":"` + text + `"}]}`, `{"payer_phone":1}`, `{"payer_phone":"\u0041"}`, `{`, ``, `[]`} {
		f.Add(seed)
	}
	paths := table(f).Lookup("GET", complaint).Sensitive.Response
	f.Fuzz(func(t *testing.T, in string) {
		out := proxy.Reveal([]byte(in), paths, key)
		if json.Valid([]byte(in)) != json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		if !strings.Contains(strings.ReplaceAll(in, `\`, ""), text[:8]) && string(out) != in {
			if !strings.Contains(in, `\u`) {
				t.Fatalf("%q became %q without a ciphertext", in, out)
			}
		}
	})
}
