package acmetest

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/core"
	"golang.org/x/crypto/ocsp"
)

// Revoke has the authority revoke a certificate of its own accord.
func (a *Authority) Revoke(tb testing.TB, leaf *x509.Certificate) {
	tb.Helper()
	c := a.store.GetCertificateBySerial(leaf.SerialNumber)
	if c == nil {
		tb.Fatal("the authority does not know this certificate")
	}
	reason := uint(ocsp.CessationOfOperation)
	a.store.RevokeCertificate(&core.RevokedCertificate{Certificate: c, RevokedAt: time.Now().UTC(), Reason: &reason})
}

// startOCSP answers for what the authority revoked; Pebble itself does not.
func (a *Authority) startOCSP(tb testing.TB) (url string) {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := a.ocsp(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write(answer)
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

func (a *Authority) ocsp(request []byte) ([]byte, error) {
	asked, err := ocsp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	answer := ocsp.Response{ // grows stale at once, so that it is asked for again
		Status: ocsp.Good, SerialNumber: asked.SerialNumber, ThisUpdate: now.Add(-time.Second), NextUpdate: now.Add(time.Second),
	}
	if revoked := a.store.GetRevokedCertificateBySerial(asked.SerialNumber); revoked != nil {
		answer.Status, answer.RevokedAt, answer.RevocationReason = ocsp.Revoked, revoked.RevokedAt, int(*revoked.Reason)
	}
	issuer, err := x509.ParseCertificate(a.issuer.GetIntermediateCert(0).DER)
	if err != nil {
		return nil, err
	}
	return ocsp.CreateResponse(issuer, issuer, answer, a.issuer.GetIntermediateKey(0))
}
