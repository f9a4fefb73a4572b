package k8s_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// balancer is a Service: it hands connections to those of its backends that
// say that they are ready, in turn.
type balancer struct {
	listener net.Listener
	all      sync.WaitGroup

	mu       sync.Mutex
	next     int
	backends []backend
}

type backend struct{ address, readyz string }

func startBalancer(t *testing.T, address string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l}
	b.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.all.Go(func() { b.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		b.use()
	})
	return b
}

// use replaces the backends.
func (b *balancer) use(list ...backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = list
}

func (b *balancer) inTurn() (list []backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	for i := range b.backends {
		list = append(list, b.backends[(b.next+i)%len(b.backends)])
	}
	return list
}

func isReady(url string) bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (b *balancer) serve(c net.Conn) {
	defer c.Close()
	for _, to := range b.inTurn() {
		if !isReady(to.readyz) {
			continue
		}
		out, err := net.Dial("tcp", to.address)
		if err != nil {
			continue
		}
		var both sync.WaitGroup
		pipe := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.(*net.TCPConn).CloseWrite()
		}
		both.Go(func() { pipe(out, c) })
		pipe(c, out)
		_ = c.(*net.TCPConn).CloseRead()
		both.Wait()
		_ = out.Close()
		return
	}
}
