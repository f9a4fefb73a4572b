package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that a bubble's clock rules its timeouts.
type pipes struct{ accept chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.accept <- theirs
	return ours
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Who says nothing, or half of something, is shown the door after ten seconds.
func TestHalfOfARequest(t *testing.T) {
	t.Parallel()
	const (
		preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" // with empty SETTINGS
		half     = "\x00\x00\x10\x01\x04\x00\x00\x00\x01\x82"                             // HEADERS of 16 bytes, of which one is there
		unending = "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"                             // HEADERS, to be continued
	)
	certificate := selfSigned(t)
	for name, test := range map[string]struct {
		protocol string // of TLS; empty: no handshake
		sent     string
	}{
		"nothing":                     {"", ""},
		"half a handshake":            {"", "\x16\x03\x01\x02\x00\x01"},
		"HTTP/1.1, nothing":           {"http/1.1", ""},
		"HTTP/1.1, half a request":    {"http/1.1", "POST /notify HTTP/1.1\r\nHost: x\r\n"},
		"HTTP/2, nothing":             {"h2", ""},
		"HTTP/2, preface":             {"h2", preface},
		"HTTP/2, half of HEADERS":     {"h2", preface + half},
		"HTTP/2, HEADERS without end": {"h2", preface + unending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := pipes{make(chan net.Conn)}
				s := newServer(http.NotFoundHandler(), 64<<10, discard())
				s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
				boundStrangers(s, maxStrangers)
				go func() { _ = s.ServeTLS(l, "", "") }()
				start := time.Now()
				conn := l.dial()
				if test.protocol != "" {
					c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{test.protocol}})
					if err := c.Handshake(); err != nil {
						t.Fatal(err)
					}
					conn = c
				}
				go func() { _, _ = io.WriteString(conn, test.sent) }()
				_, _ = io.Copy(io.Discard, conn) // until it is closed
				if took := time.Since(start); took > headerTimeout {
					t.Errorf("closed after %s", took)
				}
				_ = conn.Close()
				close(l.accept)
				_ = s.Close()
			})
		})
	}
}

// leaver is a connection that notes that it was closed.
type leaver struct {
	net.Conn
	name string
	gone *[]string
}

func (n *leaver) Close() error {
	*n.gone = append(*n.gone, n.name)
	return nil
}

// Too many connections: those without a request keep half, and the oldest goes.
func TestStrangersMakeRoom(t *testing.T) {
	t.Parallel()
	var gone []string
	s := &strangers{limit: 3, open: make(map[net.Conn]stranger)}
	conn := func(name string) *leaver { return &leaver{name: name, gone: &gone} }
	first, idle, silent := conn("first"), conn("idle"), conn("silent")
	s.note(first, http.StateNew)
	s.note(first, http.StateActive)
	s.note(idle, http.StateNew)
	s.note(idle, http.StateActive)
	s.note(silent, http.StateNew)
	s.note(idle, http.StateIdle)
	for _, name := range []string{"second", "third", "fourth"} {
		c := conn(name)
		s.note(c, http.StateNew)
		s.note(c, http.StateActive)
	}
	if want := []string{"silent", "first", "second"}; !slices.Equal(gone, want) {
		t.Errorf("closed %q, want %q", gone, want)
	}
	s.note(first, http.StateIdle) // what its server says of it afterwards
	s.note(first, http.StateClosed)
	if len(s.open) != 3 {
		t.Errorf("%d are open", len(s.open))
	}
}
