package proxy

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// What is promised of a file rides in its link, with the number of the merchant
// who was given it, as parameters that no other has. They are taken off again
// before anything is signed.
const (
	linkPrefix   = "wxproxy_"
	linkMerchant = linkPrefix + "merchant"
	linkSHA1     = linkPrefix + hashSHA1
	linkSHA256   = linkPrefix + hashSHA256
	linkKey      = linkPrefix + "key"
	linkNonce    = linkPrefix + "nonce"
	linkMAC      = linkPrefix + "mac"
)

const (
	// linkPurpose separates this use of an APIv3 key from every other.
	linkPurpose = "wxproxy download link 2"
	maxLinkKey  = 1024 // bytes; an RSA ciphertext of 8192 bits
	maxNonce    = 64   // bytes; the documents show 16 and 32
)

var errLink = errors.New("the link's wxproxy_ parameters are malformed; use download_url as it came")

// base64 without characters that mean something in a query.
var linkBase64 = base64.RawURLEncoding.Strict()

func joinQuery(query string) string {
	if query == "" {
		return "?"
	}
	return "&"
}

// query writes the promise as parameters of a link.
func (p promise) query() string {
	list := []string{linkMerchant + "=" + p.mchid}
	if p.hash != "" {
		list = append(list, linkPrefix+p.hash+"="+p.sum)
	}
	if p.key != nil {
		list = append(list, linkKey+"="+linkBase64.EncodeToString(p.key), linkNonce+"="+linkBase64.EncodeToString(p.nonce))
	}
	return strings.Join(list, "&")
}

// mac binds the promise, which names the merchant, to the file's target. The key comes
// from the merchant's APIv3 key, so that every replica can check it, and none
// needs to remember a link.
func (p promise) mac(key secret.Value, t wire.Target) []byte {
	derived, err := hkdf.Key(sha256.New, key.Bytes(), nil, linkPurpose, sha256.Size)
	if err != nil {
		return nil // a length that SHA-256 has no room for, which 32 bytes are not
	}
	h := hmac.New(sha256.New, derived)
	// No part holds a line feed, so no two lists of parts make one text.
	fmt.Fprintf(h, "%s\n%s\n", t, p.query())
	return h.Sum(nil)
}

// parseLink takes our parameters off a target. Without any of them the target
// comes back as it is, with an empty promise and no MAC.
func parseLink(t wire.Target) (bare wire.Target, p promise, mac []byte, err error) {
	if !strings.Contains(t.Query, linkPrefix) {
		return t, promise{}, nil, nil
	}
	var theirs []string
	ours := make(map[string]string)
	for part := range strings.SplitSeq(strings.TrimPrefix(t.Query, "?"), "&") {
		name, value, _ := strings.Cut(part, "=")
		if !strings.HasPrefix(name, linkPrefix) {
			theirs = append(theirs, part)
			continue
		}
		if _, twice := ours[name]; twice {
			return t, promise{}, nil, errLink
		}
		ours[name] = value
	}
	if len(ours) == 0 {
		return t, promise{}, nil, nil
	}
	p, mac, err = parsePromise(ours)
	bare = wire.Target{Path: t.Path}
	if len(theirs) > 0 {
		bare.Query = "?" + strings.Join(theirs, "&")
	}
	return bare, p, mac, err
}

// parsePromise reads our parameters, strictly: each is known, and written as we
// write it.
func parsePromise(ours map[string]string) (p promise, mac []byte, err error) {
	for name, value := range ours {
		kind := strings.TrimPrefix(name, linkPrefix)
		switch name {
		case linkMerchant:
			p.mchid = value
		case linkSHA1, linkSHA256:
			if p.hash != "" || !isSum(kind, value) {
				return promise{}, nil, errLink
			}
			p.hash, p.sum = kind, value
		case linkKey:
			p.key, err = linkBase64.DecodeString(value)
		case linkNonce:
			p.nonce, err = linkBase64.DecodeString(value)
		case linkMAC:
			mac, err = linkBase64.DecodeString(value)
		default:
			err = errLink
		}
		if err != nil {
			return promise{}, nil, errLink
		}
	}
	if p.mchid == "" || len(mac) != sha256.Size || (p.key == nil) != (p.nonce == nil) || len(p.key) > maxLinkKey || len(p.nonce) > maxNonce ||
		(p.key != nil && (len(p.key) == 0 || len(p.nonce) == 0)) {
		return promise{}, nil, errLink
	}
	return p, mac, nil
}

// isSum reports whether text is a hash of the kind as we write it.
func isSum(kind, text string) bool {
	size := map[string]int{hashSHA1: 40, hashSHA256: 64}[kind]
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == size && text == strings.ToLower(text)
}
