package proxy

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// wantsDecrypted reads the header Wxproxy-Decrypt.
func wantsDecrypted(h http.Header) (bool, *failure) {
	switch value := h.Get(headerDecrypt); strings.ToLower(value) {
	case "", "off":
		return false, nil
	case "on":
		return true, nil
	default:
		return false, fail(ReasonBadRequest, "the header %s is on or off, not %q", headerDecrypt, outside(value))
	}
}

// checkDecrypt refuses, before anything is sent, to ask for bills that could
// not be decrypted afterwards.
func checkDecrypt(x *exchange, d *draft) *failure {
	parameter := x.endpoint.EncryptedBy
	if !x.decrypt || parameter == "" {
		return nil
	}
	query, _ := url.ParseQuery(strings.TrimPrefix(d.target.Query, "?")) // what is malformed WeChat Pay refuses
	switch algorithm := query.Get(parameter); {
	case x.untouched:
		return fail(ReasonBadRequest, "%s: on changes the links of the answer, and the caller asks for an untouched answer", headerDecrypt)
	case algorithm != "" && algorithm != wire.AlgorithmAESGCM:
		return fail(ReasonBadRequest, "%s=%s cannot be decrypted in this build; ask for %s, or leave %s out and decrypt the file yourself",
			parameter, outside(algorithm), wire.AlgorithmAESGCM, headerDecrypt)
	case len(x.merchant.PrivateKey().Decrypters) == 0:
		return fail(ReasonBadRequest, "the private key of merchant %s is not in this process (Vault Transit cannot decrypt with OAEP and SHA-1); "+
			"leave %s out, or give wxproxy the key", x.merchant.Name, headerDecrypt)
	}
	return nil
}

// download hands a file on, which has no signature. What a signed answer
// promised of it is checked on the way.
func (o *Outbound) download(ctx context.Context, w http.ResponseWriter, x *exchange) *failure {
	body := io.Reader(paced{x.answer.Body, x.watch})
	x.checked = x.promise.hash // no file reaches its end otherwise
	if x.promise.key != nil {
		return o.decrypted(ctx, w, x, body)
	}
	if x.promise.hash != "" {
		c := newChecked(body, x.promise)
		defer c.close()
		body = c
	}
	f := o.stream(ctx, w, x, body)
	if f != nil && !x.streaming {
		o.writeFailure(w, x, f)
	}
	return f
}

// paced keeps a call alive as long as its body moves.
type paced struct {
	from  io.Reader
	watch *watchdog
}

// Read implements io.Reader.
func (p paced) Read(b []byte) (int, error) {
	p.watch.progress()
	n, err := p.from.Read(b)
	p.watch.progress() // or a slow read and a slow write would add up
	return n, err
}

// stream hands a body on as it comes. Neither side may stand still for longer
// than the timeout. The header goes out with the first bytes: until then a
// failure is told, afterwards it breaks the app's connection, so that a part
// cannot be taken for the whole.
func (o *Outbound) stream(ctx context.Context, w http.ResponseWriter, x *exchange, body io.Reader) *failure {
	controller := http.NewResponseController(w)
	buf := make([]byte, readChunk)
	for {
		n, err := body.Read(buf)
		if !x.streaming && (n > 0 || errors.Is(err, io.EOF)) {
			x.streaming = true
			o.writeHeader(w, x)
			w.WriteHeader(x.answer.StatusCode)
		}
		if n > 0 {
			limitWrite(w, o.now().Add(o.timeout))
			if _, err := w.Write(buf[:n]); err != nil {
				return fail(reasonClientGone, "the caller went away").because(err)
			}
			_ = controller.Flush()
			x.watch.progress()
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errPromise):
			return fail(ReasonDownload, "%v; ask for a new download_url", err).because(err)
		case err != nil:
			return o.readFailure(ctx, err)
		}
	}
}

// decrypted hands on an encrypted file in clear. Nothing of it is released
// before its tag is verified, and its hash agrees.
func (o *Outbound) decrypted(ctx context.Context, w http.ResponseWriter, x *exchange, from io.Reader) *failure {
	sealed, held, err := o.inFlight.read(from, x.answer.ContentLength, o.limits.EncryptedBill)
	x.held += held
	f := o.readFailure(ctx, err)
	if errors.Is(err, errTooLarge) {
		f = fail(ReasonTooLarge, "the encrypted file is larger than outbound.limits.encrypted_bill (%d bytes); raise it, or leave %s out and decrypt the file yourself",
			o.limits.EncryptedBill, headerDecrypt).because(err)
	}
	var plain []byte
	if f == nil {
		plain, f = openFile(x, sealed)
	}
	if f != nil {
		o.writeFailure(w, x, f)
		return f
	}
	x.rewritten = true
	x.answer.Header.Set("Content-Length", strconv.Itoa(len(plain)))
	return o.stream(ctx, w, x, bytes.NewReader(plain))
}

// openFile decrypts a file, in place, and checks what was promised of it.
func openFile(x *exchange, sealed []byte) ([]byte, *failure) {
	p := x.promise
	if len(x.key.Decrypters) == 0 {
		return nil, fail(ReasonKeyUnavailable, "merchant %s has no private key that decrypts", x.merchant.Name)
	}
	fileKey, err := openField(x.key.Decrypters, base64.StdEncoding.EncodeToString(p.key))
	if err != nil {
		return nil, fail(ReasonDownload, "the file's key does not open with the private key of merchant %s; if its certificate was changed since, ask for a new download_url", x.merchant.Name).because(err)
	}
	plain, err := openGCM([]byte(fileKey), p.nonce, sealed)
	if err != nil {
		return nil, fail(ReasonDownload, "the file does not decrypt: it was changed or cut short; ask for a new download_url").because(err)
	}
	if p.hash == "" {
		return plain, nil
	}
	c := newChecked(bytes.NewReader(plain), p)
	defer c.close()
	if _, err := io.Copy(io.Discard, c); err != nil {
		return nil, fail(ReasonDownload, "%v; ask for a new download_url", err).because(err)
	}
	return plain, nil
}

// openGCM opens AEAD_AES_256_GCM over a whole file, without associated data.
func openGCM(key, nonce, sealed []byte) ([]byte, error) {
	if len(key) != wire.APIv3KeyLen {
		return nil, fmt.Errorf("the file's key has %d bytes, not %d", len(key), wire.APIv3KeyLen)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		return nil, err
	}
	return gcm.Open(sealed[:0], nonce, sealed, nil)
}

// breakOff ends a connection in the middle of an answer so that the app cannot
// take it for the whole: with a reset where there can be one, because HTTP/1.0
// knows an end that is no error.
func breakOff(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
