package signer_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/signer"
)

// With the clock and the nonce of the published payment, the signature is the
// published one, byte for byte.
func TestClientVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "client-sign", 1) {
		got, err := newSignerFor(t, v.Key, mchID, serial).WithNonce(v.Lines[2]).Client(t.Context(), v.Lines[0], v.Lines[3:]...)
		want := signer.ClientSignature{Timestamp: v.Lines[1], Nonce: v.Lines[2], Signature: v.Signature}
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", v.Name, got, err, want)
		}
	}
}

func TestClientIsNewEachTime(t *testing.T) {
	t.Parallel()
	s, seen := newSigner(t), map[string]bool{}
	for range 20 {
		c, err := s.Client(t.Context(), "wxd678efh567hg6787", "prepay_id=x")
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.Nonce] || len(c.Nonce) < 26 || len(c.Nonce) > 32 {
			t.Fatalf("nonce %q", c.Nonce)
		}
		seen[c.Nonce] = true
	}
}

func TestClientRefuses(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	const appID, line = "wxd678efh567hg6787", "prepay_id=x"
	if _, err := s.Client(t.Context(), appID, line); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		appID string
		lines []string
	}{
		"no appid":               {"", []string{line}},
		"a method as appid":      {"POST", []string{line}},
		"a number as appid":      {"1554208460", []string{line}},
		"a line feed in appid":   {"wx\nPOST", []string{line}},
		"no lines":               {appID, nil},
		"an empty line":          {appID, []string{""}},
		"a line feed in a line":  {appID, []string{line + "\n"}},
		"a carriage return":      {appID, []string{"a\rb"}},
		"a space":                {appID, []string{"a b"}},
		"DEL":                    {appID, []string{"a\x7f"}},
		"not ASCII":              {appID, []string{"张"}},
		"the second line counts": {appID, []string{line, "a\nb"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := s.Client(t.Context(), tt.appID, tt.lines...); !errors.Is(err, signer.ErrClientText) || got != (signer.ClientSignature{}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// The first lines of what Authorization and AnswerAuthorization sign.
var (
	requestMessage = regexp.MustCompile(`^[A-Za-z]+\n/[^\n]*\n[0-9]+\n[^\n]+\n`)
	answerMessage  = regexp.MustCompile(`^[0-9]+\n[^\n]+\n`)
)

// FuzzClient: whatever is accepted, the message that was signed has its lines
// where they belong, and is neither a request's nor an answer's.
func FuzzClient(f *testing.F) {
	s := newSigner(f)
	f.Add("wxd678efh567hg6787", "prepay_id=wx201410272009395522657a690389285100", "")
	f.Add("POST", "/v3/refund/domestic/refunds", `{"amount":1}`)
	f.Add("post\n/v3/x", "1554208460", "x")
	f.Add("1554208460", "nonce", `{"code":"SUCCESS"}`)
	f.Fuzz(func(t *testing.T, appID, first, second string) {
		lines := []string{first, second}
		c, err := s.Client(t.Context(), appID, lines...)
		if err != nil {
			return
		}
		message := strings.Join(append([]string{appID, c.Timestamp, c.Nonce}, lines...), "\n") + "\n"
		if !holds(t, s, c.Signature, []byte(message)) {
			t.Fatal("another message was signed")
		}
		if requestMessage.MatchString(message) || answerMessage.MatchString(message) || strings.Count(message, "\n") != 3+len(lines) {
			t.Fatalf("signed %q", message)
		}
	})
}
