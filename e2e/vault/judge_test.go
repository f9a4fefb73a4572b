package vault_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// judge is a WeChat Pay that knows many certificates of one merchant, as the
// real one does while the merchant changes its key; the simulator knows one.
// It verifies each signature with the certificate whose serial number the
// request names, by the standard library alone, and signs its answers with the
// public key of the simulator whose files the merchant has.
type judge struct {
	url string
	id  string
	key *rsa.PrivateKey

	mu    sync.Mutex
	known map[string]*rsa.PublicKey // by serial number
	held  map[string]int            // signatures that hold, by serial number
	wrong []string                  // what was wrong with the others
}

func newJudge(t *testing.T, w *wechat) *judge {
	t.Helper()
	j := &judge{id: w.publicKeyID, known: make(map[string]*rsa.PublicKey), held: make(map[string]int)}
	block, _ := pem.Decode([]byte(read(t, w.dir, "sim_platform_"+w.publicKeyID+".pem")))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	j.key = parsed.(*rsa.PrivateKey)
	server := httptest.NewServer(j)
	t.Cleanup(server.Close)
	j.url = server.URL
	return j
}

// instead is the same merchant's WeChat Pay with the judge in its place.
func (j *judge) instead(w *wechat) *wechat {
	other := *w
	other.url = j.url
	return &other
}

var authorization = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="(\d+)",nonce_str="(\w+)",signature="([^"]+)",timestamp="(\d+)",serial_no="(\w+)"$`)

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller is gone
	}
	fault := j.fault(r, body)
	text, status := []byte(`{"data":[]}`), http.StatusOK
	if fault != "" {
		text, status = []byte(`{"code":"SIGN_ERROR"}`), http.StatusUnauthorized
	}
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), rand.Text()
	digest := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(text) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, j.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err) // the key is whole
	}
	for name, value := range map[string]string{
		"Timestamp": timestamp, "Nonce": nonce, "Serial": j.id, "Signature": base64.StdEncoding.EncodeToString(signature),
	} {
		w.Header().Set("Wechatpay-"+name, value)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// fault says what is wrong with a request, and counts.
func (j *judge) fault(r *http.Request, body []byte) (fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() {
		if fault != "" {
			j.wrong = append(j.wrong, fault)
		}
	}()
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "no authorization: " + r.Header.Get("Authorization")
	}
	nonce, timestamp, serial := m[2], m[4], m[5]
	key := j.known[serial]
	if key == nil {
		return "unknown serial number " + serial
	}
	digest := sha256.Sum256([]byte(r.Method + "\n" + r.RequestURI + "\n" + timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := base64.StdEncoding.DecodeString(m[3])
	if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		return "signed with another key than that of " + serial
	}
	j.held[serial]++
	return ""
}

// count is how many signatures named a serial number and held.
func (j *judge) count(serial string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.held[serial]
}

// verdict is how many signatures held and how many did not, and over how many
// serial numbers.
func (j *judge) verdict() (held, serials int, wrong []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, n := range j.held {
		held += n
	}
	return held, len(j.held), j.wrong
}

// pair is a merchant's key with its certificate.
type pair struct{ key, certificate, serial string }

// newPair is a new key of the merchant, whose certificate the judge knows.
func (j *judge) newPair(t *testing.T) pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	number := make([]byte, 20)
	_, _ = rand.Read(number) // never fails
	number[0] = 0x52
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number), Subject: pkix.Name{CommonName: "1900000001"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		serial:      fmt.Sprintf("%X", number),
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known[p.serial] = &key.PublicKey
	return p
}
