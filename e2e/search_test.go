//go:build e2e

package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// needle is one spelling of a piece of a secret.
type needle struct{ name, text string }

// pieceLen is what is looked for of a long secret: a part of a key is a leak too.
const pieceLen = 24

// spellings are the ways in which a secret may stand in an output, alone or in
// the middle of something that was encoded as a whole.
func spellings(name string, secret []byte) []needle {
	var list []needle
	for _, piece := range pieces(secret) {
		list = append(list,
			needle{name, string(piece)},
			needle{name + " in hex", hex.EncodeToString(piece)},
			needle{name + " in upper hex", strings.ToUpper(hex.EncodeToString(piece))},
			needle{name + " as %v prints bytes", strings.Trim(fmt.Sprint(piece), "[]")},
			needle{name + " as %#v prints bytes", strings.Trim(fmt.Sprintf("%#v", piece), "[]byte{}")},
		)
		for offset := range 3 {
			list = append(list,
				needle{name + " in base64", inBase64(base64.RawStdEncoding, piece, offset)},
				needle{name + " in URL base64", inBase64(base64.RawURLEncoding, piece, offset)})
		}
	}
	return list
}

// pieces are the begin, middle and end of what is long.
func pieces(secret []byte) [][]byte {
	if len(secret) < 3*pieceLen {
		return [][]byte{secret}
	}
	middle := len(secret) / 2
	return [][]byte{secret[:pieceLen], secret[middle : middle+pieceLen], secret[len(secret)-pieceLen:]}
}

// inBase64 is what a piece looks like that begins offset bytes into a group of
// three, without the characters that its neighbours have a part in.
func inBase64(e *base64.Encoding, piece []byte, offset int) string {
	text := e.EncodeToString(append(make([]byte, offset), piece...))
	begin := []int{0, 2, 3}[offset]
	end := len(text)
	if (offset+len(piece))%3 != 0 {
		end--
	}
	return text[begin:end]
}

// keyNeedles look for the secret numbers of a private key, which stand in its
// DER and its PEM too (the rest of those is public), and for lines of the PEM,
// since a Kubernetes Secret has it in base64 once more.
func keyNeedles(t *testing.T, text []byte) []needle {
	t.Helper()
	key := parseKey(t, text)
	var list []needle
	for name, n := range map[string]*big.Int{
		"d": key.D, "p": key.Primes[0], "q": key.Primes[1],
		"dP": key.Precomputed.Dp, "dQ": key.Precomputed.Dq, "qInv": key.Precomputed.Qinv,
	} {
		list = append(list, spellings(name, n.Bytes())...)
		list = append(list, needle{name + " in decimal", n.String()[:2*pieceLen]})
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, i := range []int{len(lines) / 2, len(lines) - 3} {
		list = append(list, spellings("a line of the PEM", []byte(lines[i]))...)
	}
	return list
}

func parseKey(t *testing.T, text []byte) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the key is a %T", parsed)
	}
	return key
}

// haystack is what came out of wxproxy, by where it was found.
type haystack map[string]string

func (h haystack) search(needles []needle) (found []string) {
	// Line breaks, escaped ones too, take base64 apart.
	whole := strings.NewReplacer("\n", "", "\r", "", "\t", "", " ", "", `\n`, "", `\r`, "")
	for where, text := range h {
		joined := whole.Replace(text)
		for _, n := range needles {
			if strings.Contains(text, n.text) || strings.Contains(joined, n.text) {
				found = append(found, n.name+" in "+where)
			}
		}
	}
	return found
}

// The search finds what others encoded, and nothing in what is public.
func TestSearchFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	c := newCredentials(t, mchID)
	text := c.keyPEM(t)
	key := parseKey(t, text)
	pkcs8, _ := pem.Decode(text)
	pkcs1 := x509.MarshalPKCS1PrivateKey(key)
	quoted, err := json.Marshal(map[string]string{"error": string(text)})
	if err != nil {
		t.Fatal(err)
	}
	keys := keyNeedles(t, text)
	for name, plant := range map[string]string{
		"PEM": string(text), "PEM in JSON": string(quoted), "PEM in base64": base64.StdEncoding.EncodeToString(text),
		"PKCS#1 PEM": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1})),
		"DER":        string(pkcs8.Bytes), "DER in hex": hex.EncodeToString(pkcs8.Bytes), "DER in upper hex": fmt.Sprintf("%X", pkcs8.Bytes),
		"DER in base64": base64.StdEncoding.EncodeToString(pkcs8.Bytes), "DER in URL base64": base64.URLEncoding.EncodeToString(pkcs8.Bytes),
		"DER as bytes": fmt.Sprint(pkcs8.Bytes), "DER as Go": fmt.Sprintf("%#v", pkcs8.Bytes), "half a DER": string(pkcs8.Bytes[len(pkcs8.Bytes)/2:]),
		"struct": fmt.Sprintf("%v", key), "struct with names": fmt.Sprintf("%+v", key),
		"number in hex": key.D.Text(16), "number": key.Primes[1].String(),
	} {
		if (haystack{"plant": `level=INFO msg="` + plant + `"`}).search(keys) == nil {
			t.Errorf("the private key is not found as %s", name)
		}
	}
	const word = "caller-token-7f3a9c51e0"
	for offset := range 3 {
		around := strings.Repeat("x", offset) + word + "yz"
		for name, plant := range map[string]string{
			"text": around, "base64": base64.StdEncoding.EncodeToString([]byte(around)), "URL base64": base64.RawURLEncoding.EncodeToString([]byte(around)),
			"hex": hex.EncodeToString([]byte(around)), "bytes": fmt.Sprint([]byte(around)), "Go": fmt.Sprintf("%#v", []byte(around)),
		} {
			if (haystack{"plant": plant}).search(spellings("token", []byte(word))) == nil {
				t.Errorf("a token at %d is not found as %s", offset, name)
			}
		}
	}
	public := haystack{
		"certificate": string(c.certPEM()), "modulus": key.N.String(), "modulus in hex": key.N.Text(16),
		"modulus in base64": base64.StdEncoding.EncodeToString(key.N.Bytes()), "struct": fmt.Sprintf("%v", key.PublicKey),
	}
	if found := public.search(keyNeedles(t, text)); found != nil {
		t.Errorf("found in what is public: %v", found)
	}
}
