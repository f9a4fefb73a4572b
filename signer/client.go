package signer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// ErrClientText: a text cannot stand in a client's message.
var ErrClientText = errors.New("not a text of a client's signature")

// ClientSignature is what a page or an app hands to WeChat, so that WeChat
// knows that the merchant wants it, with what of it is ours.
type ClientSignature struct {
	Timestamp string // Unix seconds
	Nonce     string
	Signature string // standard base64
}

// Client signs for a page or an app: appid, timestamp, nonce and the lines. As
// with requests, timestamp and nonce are new and never the caller's, and each
// text is one line of visible ASCII. An appid begins with a small letter. So no
// message of Client is one that Authorization signs, whose second line begins
// with a slash, or AnswerAuthorization, whose first line is a number: who may
// have payments signed cannot have requests signed. A key that lives elsewhere
// is waited for no longer than ctx.
func (s *Signer) Client(ctx context.Context, appID string, lines ...string) (ClientSignature, error) {
	if appID == "" || appID[0] < 'a' || appID[0] > 'z' || len(lines) == 0 {
		return ClientSignature{}, fmt.Errorf("%w: appid", ErrClientText)
	}
	for _, text := range append([]string{appID}, lines...) {
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return ClientSignature{}, ErrClientText
		}
	}
	timestamp, nonce := wire.FormatTimestamp(s.now().Unix()), s.nonce()
	signature, err := s.sign(ctx, wire.ClientMessage(appID, timestamp, nonce, lines...))
	if err != nil {
		return ClientSignature{}, err
	}
	return ClientSignature{timestamp, nonce, signature}, nil
}
