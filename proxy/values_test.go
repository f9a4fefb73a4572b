package proxy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/proxy"
)

// open decrypts as WeChat Pay and the merchant do, by the standard library.
func openOAEP(t testing.TB, key *rsa.PrivateKey, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func sealOAEP(t testing.TB, key *rsa.PublicKey, text string) string {
	t.Helper()
	raw, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestEncrypt(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil))
	longest := strings.Repeat("x", 214)
	answer := g.do("POST", local("encrypt"), `{"values":["张三","","a\n\"b","`+longest+`"]}`)
	var got struct {
		Values []string
		Serial string
	}
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil || len(got.Values) != 4 {
		t.Fatalf("%v: %s", err, answer.body)
	}
	if got.Serial != platformSerial || got.Values[1] != "" {
		t.Errorf("got %s", answer.body)
	}
	for i, want := range map[int]string{0: "张三", 2: "a\n\"b", 3: longest} {
		if plain := openOAEP(t, keys().platform, got.Values[i]); plain != want {
			t.Errorf("value %d opens as %q, want %q", i, plain, want)
		}
	}
	answer = g.do("POST", local("encrypt"), `{"values":["x","`+longest+`x"]}`)
	answer.refused(t, http.StatusBadRequest, proxy.ReasonBadParameter)
	if !strings.Contains(answer.body, `"/values/1"`) || !strings.Contains(answer.body, "215 bytes") || strings.Contains(answer.body, "xxx") {
		t.Errorf("got %s", answer.body)
	}
}

func TestEncryptWithoutPlatformKey(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), func(s *setup) {
		s.Merchants[0].Preferred = func() (string, *rsa.PublicKey, bool) { return "", nil, false }
	})
	g.do("POST", local("encrypt"), `{"values":["x"]}`).refused(t, http.StatusServiceUnavailable, proxy.ReasonKeyUnavailable)
}

func TestDecrypt(t *testing.T) {
	t.Parallel()
	log, logger, _, _ := recorded(t)
	g := newRig(t, newWechat(t, nil), withDecrypt, func(s *setup) { s.Log = logger })
	values := func(list ...string) string {
		b, err := json.Marshal(map[string][]string{"values": list})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	own := &keys().merchant.PublicKey
	answer := g.do("POST", local("decrypt"), values(sealOAEP(t, own, "张三"), "", sealOAEP(t, own, "a<&>b")), "Wxproxy-Token", "token")
	if want := `{"values":["张三","","a<&>b"]}`; strings.TrimSpace(answer.body) != want {
		t.Errorf("got %s, want %s", answer.body, want)
	}
	// Whatever is wrong, the answer is the same, up to the request's id.
	good := sealOAEP(t, own, "x")
	bodies := make(map[string]bool)
	for _, bad := range []string{"x", "AAAA", "!" + good[1:], good[4:], sealOAEP(t, &keys().platform.PublicKey, "x"), sealOAEP(t, own, "\xff")} {
		answer := g.do("POST", local("decrypt"), values(good, bad), "Wxproxy-Token", "token")
		answer.refused(t, http.StatusBadRequest, proxy.ReasonDecryptFailed)
		bodies[answer.body] = true
	}
	if len(bodies) != 1 {
		t.Errorf("the errors differ: %v", bodies)
	}
	if text := log.String(); strings.Contains(text, "张三") || strings.Contains(text, good[:20]) {
		t.Error("a value stands in the log")
	}
	lines := slices.DeleteFunc(strings.Split(log.String(), "\n"), func(l string) bool { return !strings.Contains(l, "decrypt_failed") })
	if len(lines) != 6 || strings.Contains(strings.Join(lines, ""), "base64") {
		t.Errorf("log: %s", log.String())
	}
}

// A key in Vault's Transit signs and cannot decrypt; the message says what can.
func TestDecryptWithTransit(t *testing.T) {
	t.Parallel()
	g := newRig(t, newWechat(t, nil), withDecrypt, func(s *setup) {
		signsAlone(s.Merchants[0])
	})
	answer := g.do("POST", local("decrypt"), `{"values":["x"]}`, "Wxproxy-Token", "token")
	answer.refused(t, http.StatusServiceUnavailable, proxy.ReasonKeyUnavailable)
	if !strings.Contains(answer.body, "Transit") || !strings.Contains(answer.body, "vault:") {
		t.Errorf("the message does not help: %s", answer.body)
	}
}
