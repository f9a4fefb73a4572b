package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // WeChat Pay encrypts fields by OAEP with SHA-1
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/signer"
	"github.com/wxproxy/wxproxy/verifier"
)

// echoMessage is the body of WeChat Pay's self-test, in both directions.
type echoMessage struct {
	Plain     string `json:"echo_message"`
	Encrypted string `json:"encrypted_echo_message,omitempty"` // base64
}

// errEcho: the answer is verified and yet not what was sent.
var errEcho = errors.New("the answer does not repeat what was sent")

// echo has WeChat Pay repeat a text that says nothing: it tests both
// signatures and both directions of encryption, with no money moved.
func (o *online) echo(ctx context.Context, l *list) {
	name := o.m.Name + " echo"
	text := "wxproxy check " + rand.Text()
	var answer echoMessage
	var err error
	for range probeTries {
		if answer, err = o.exchangeEcho(ctx, text); !errors.Is(err, verifier.ErrProbe) {
			break
		}
	}
	switch {
	case err == nil:
		l.ok(name, "WeChat Pay took our signature and read what was encrypted for %s; its answer, signed with %s, is verified", o.material.PinnedSerial, o.seen())
		o.decrypts(ctx, l, answer, text)
	case errors.Is(err, errEcho):
		l.fail(name, "something between this machine and WeChat Pay may answer in its place: check proxies, gateways and outbound.upstreams", "%v", err)
	case o.blind && errors.Is(err, verifier.ErrSerialUnknown):
		l.warn(name, "correct "+o.m.Name+" certificates first", "WeChat Pay took our signature, but the answer is signed with %s, which could not be downloaded", o.seen())
	default:
		o.failed(l, name, err)
	}
}

// exchangeEcho returns a verified answer.
func (o *online) exchangeEcho(ctx context.Context, text string) (echoMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, o.material.Pinned, []byte(text), nil) //nolint:gosec // see above
	if err != nil {
		return echoMessage{}, fmt.Errorf("encrypting: %w", err)
	}
	body, err := json.Marshal(echoMessage{Plain: text, Encrypted: base64.StdEncoding.EncodeToString(sealed)})
	if err != nil {
		return echoMessage{}, fmt.Errorf("encoding: %w", err)
	}
	e, err := o.call(ctx, Call{Method: http.MethodPost, Path: "/v3/security/echo", Body: body, Header: http.Header{
		"Content-Type": {"application/json"}, wire.HeaderSerial: {o.material.PinnedSerial},
	}})
	if err != nil {
		return echoMessage{}, err
	}
	if e.status != http.StatusOK {
		return echoMessage{}, errors.New("refused") // explain reads the answer
	}
	stamp, err := verifier.Stamp(e.header, o.Now())
	if err != nil {
		return echoMessage{}, err
	}
	if err := verifier.Verify(ctx, trusted{o}, stamp, e.body); err != nil {
		return echoMessage{}, err
	}
	var answer echoMessage
	if json.Unmarshal(e.body, &answer) != nil || answer.Plain != text {
		return echoMessage{}, errEcho
	}
	return answer, nil
}

// trusted are the keys of the moment. Nothing is downloaded for an unknown one:
// the list was renewed just before.
type trusted struct{ *online }

// Lookup implements verifier.Keys.
func (t trusted) Lookup(_ context.Context, serial string) (*rsa.PublicKey, error) {
	if key, ok := t.cache.Find(serial); ok {
		return key, nil
	}
	return nil, verifier.ErrSerialUnknown
}

// decrypts tells whether the merchant's private key opens what WeChat Pay
// encrypts for the merchant, such as names and telephone numbers in answers.
func (o *online) decrypts(ctx context.Context, l *list, answer echoMessage, text string) {
	name := o.m.Name + " decrypt"
	if answer.Encrypted == "" {
		l.warn(name, "nothing, unless your app needs fields that WeChat Pay encrypts", "WeChat Pay returned nothing encrypted, so decryption was not tested")
		return
	}
	plain, err := o.open(ctx, answer.Encrypted)
	if err != nil || !bytes.Equal(plain, []byte(text)) {
		l.fail(name, "does the merchant have several certificates? WeChat Pay encrypts for the one that signs: check that private_key and serial_no or certificate are of one pair",
			"what WeChat Pay encrypted for merchant %s does not open with private_key", o.material.MchID)
		return
	}
	l.ok(name, "private_key opens what WeChat Pay encrypts for the merchant")
}

// open reads the private key anew: loaded material signs and does not hand
// the key out.
func (o *online) open(ctx context.Context, sealed string) ([]byte, error) {
	cipher, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errors.New("not base64")
	}
	pem, err := o.Reader.Read(ctx, o.m.PrivateKey)
	if err != nil {
		return nil, err
	}
	defer pem.Clear()
	key, err := signer.ParsePrivateKey(pem.Bytes())
	if err != nil {
		return nil, err
	}
	return rsa.DecryptOAEP(sha1.New(), nil, key, cipher, nil) //nolint:gosec // see above
}
