package vault_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// FuzzAnswers: whatever answers in Vault's place, nothing panics, and no error
// repeats what was said.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		`{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`, `{"data":{"data":{"key":"value"},"metadata":{}}}`,
		`{"data":{"data":null,"metadata":{"destroyed":true}}}`, `{"data":{"keys":{"1":{"public_key":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}}}}`,
		`{"data":{"signature":"vault:v1:AAAA"}}`, `{"errors":["` + outside + `"]}`, `[]`, ``, `{"auth":{"client_token":"x"}}`, `{"data":{"ttl":"x"}}`,
	} {
		f.Add(http.StatusOK, text)
		f.Add(http.StatusNotFound, text)
		f.Add(http.StatusForbidden, text)
	}
	var answer atomic.Pointer[http.HandlerFunc]
	server := newFake(f)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	good := http.HandlerFunc(server.ServeHTTP)
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 499 || code == http.StatusTooManyRequests {
			t.Skip("answered so, a request is repeated, which takes time")
		}
		answer.Store(&good)
		c := loggedIn(t, server, nil)
		hostile := body(code, text)
		answer.Store(&hostile)
		_, read := c.Field(t.Context(), "secret/shop", "key")
		_, key := c.Key(t.Context(), "transit", "shop", 0, nil)
		for _, err := range []error{read, key, c.Login(t.Context())} {
			if err != nil && (strings.Contains(err.Error(), outside) || len(err.Error()) > 1000) {
				t.Fatalf("the error repeats what was said: %v", err)
			}
		}
	})
}
