package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxStrangers bounds the connections of the notify port: twice as many as
	// notifies can be on their way to the apps. Each costs some 50 KB with TLS.
	maxStrangers = 1024
	// maxChallengers does so for the port of ACME's HTTP-01 challenges.
	maxChallengers = 64
	// A connection of HTTP/2 on which no whole frame came for half of the
	// time that a request's headers may take is asked for a sign of life, and
	// closed if none comes in the other half. net/http has no deadline there.
	silence = headerTimeout / 2
)

// boundStrangers sets what a server needs besides that strangers can reach, with
// at most limit connections. A notify is one small request: few at a time need
// no more than this.
func boundStrangers(s *http.Server, limit int) {
	s.ConnState = (&strangers{limit: limit, open: make(map[net.Conn]stranger)}).note
	s.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: 64, MaxReadFrameSize: 16 << 10,
		MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10, // what no handler has asked for yet
		SendPingTimeout: silence, PingTimeout: silence,
		WriteByteTimeout: 10 * time.Second,
	}
}

// strangers bounds the connections of a server. Where there are too many, the
// one that comes is let in and another one closed: if those without a request
// have more than half, the one of them that has been so for longest, else the
// oldest request. So neither kind can leave the other without a place, and who
// has only just come stays.
type strangers struct {
	limit int

	mu      sync.Mutex
	changes uint64
	open    map[net.Conn]stranger
}

type stranger struct {
	asks  bool // a request is being answered
	since uint64
}

// note is a server's ConnState.
func (s *strangers) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
		return
	case http.StateNew:
		if len(s.open) >= s.limit {
			s.closeOne()
		}
	default:
		if _, ok := s.open[c]; !ok { // it was closed to make room
			return
		}
	}
	s.changes++
	s.open[c] = stranger{asks: state == http.StateActive, since: s.changes}
}

func (s *strangers) closeOne() {
	quiet := 0
	for _, x := range s.open {
		if !x.asks {
			quiet++
		}
	}
	asks := quiet <= s.limit/2
	var least net.Conn
	for c, x := range s.open {
		if x.asks == asks && (least == nil || x.since < s.open[least].since) {
			least = c
		}
	}
	delete(s.open, least)
	if t, ok := least.(*tls.Conn); ok {
		least = t.NetConn() // without a word, which could take seconds
	}
	_ = least.Close()
}
