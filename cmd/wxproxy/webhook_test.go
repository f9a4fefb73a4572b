package main

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// hookOver serves a webhook that strangers can reach, until the test ends.
func hookOver(t *testing.T, certificate *tls.Certificate) pipes {
	t.Helper()
	l := pipes{make(chan net.Conn)}
	s := newHook(http.NotFoundHandler(), func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }, discard())
	go func() { _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		close(l.accept)
		_ = s.Close()
	})
	return l
}

// A connection too many is let in, and the oldest silent one goes at once.
func TestWebhookBoundsConnections(t *testing.T) {
	t.Parallel()
	certificate := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		l := hookOver(t, &certificate)
		began := time.Now()
		first := l.dial()
		for range maxCallers {
			synctest.Wait()
			l.dial()
		}
		if _, err := first.Read(make([]byte, 1)); err == nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// One connection carries few requests at a time, which it is told.
func TestWebhookBoundsStreams(t *testing.T) {
	t.Parallel()
	const maxConcurrentStreams = 3 // RFC 9113, 6.5.2
	certificate := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		c := tls.Client(hookOver(t, &certificate).dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, 9)
		if _, err := io.ReadFull(c, frame); err != nil {
			t.Fatal(err)
		}
		settings := make([]byte, int(frame[1])<<8|int(frame[2]))
		if _, err := io.ReadFull(c, settings); err != nil || frame[3] != 4 {
			t.Fatalf("no SETTINGS, but %x: %v", frame, err)
		}
		_ = c.Close()
		for ; len(settings) >= 6; settings = settings[6:] {
			if binary.BigEndian.Uint16(settings) == maxConcurrentStreams {
				if n := binary.BigEndian.Uint32(settings[2:]); n != 32 {
					t.Errorf("%d streams", n)
				}
				return
			}
		}
		t.Error("nothing is said of streams")
	})
}
