package vault_test

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rotations and the calls that are counted meanwhile, of each of the two ways.
const (
	rotations     = 20
	callsCounted  = 5_100
	callsEachTurn = 20
)

// The merchant's key changes 20 times in KV and 20 times in Transit, under more
// than 10,000 calls in all. They are counted together once both have ended.
func TestRotatesKeysUnderLoad(t *testing.T) {
	t.Parallel()
	var calls, failed atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d calls over %d rotations in all, %d failed", calls.Load(), 2*rotations, failed.Load())
		if !t.Failed() && calls.Load() <= 10_000 {
			t.Error("too few calls")
		}
	})
	for name, test := range map[string]func(*testing.T) *load{"KV": rotatesInKV, "Transit": rotatesInTransit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := test(t)
			calls.Add(l.calls.Load())
			failed.Add(l.failed.Load())
		})
	}
}

// The merchant's key changes 20 times under load: private key, certificate and
// with it the serial number, written to KV together. No call fails, and every
// signature is by the key whose serial number it names. Every other change is
// taken over by polling, the rest by SIGHUP.
func rotatesInKV(t *testing.T) *load {
	t.Helper()
	v, w, dir := setUp(t, "1h")
	j := newJudge(t, w)
	fields := w.fields()
	write := func(p pair) {
		fields["certificate"], fields["private_key"] = p.certificate, p.key
		v.put("wechatpay/shop", fields)
	}
	write(j.newPair(t))
	s := serve(t, dir, config(j.instead(w), v, inKV, "refresh: 1s"))
	l := s.rotate(t, j, func(i int) string {
		p := j.newPair(t)
		write(p)
		if i%2 == 0 {
			s.hangUp()
		}
		return p.serial
	})
	searchSecrets(t, s.text(), w, v, dir)
	return l
}

// The same with the key in Transit: each new key is imported as the next
// version, with the commands of the docs, and nothing changes until its
// certificate is written.
func rotatesInTransit(t *testing.T) *load {
	t.Helper()
	v, w, dir := setUp(t, "1h")
	j := newJudge(t, w)
	fields := w.fields()
	imported := func(p pair, command string) {
		write(t, w.dir, "apiclient_key.pem", p.key)
		importBy(t, v, w, command)
	}
	certified := func(p pair) {
		fields["certificate"] = p.certificate
		v.put("wechatpay/shop", fields)
	}
	first := j.newPair(t)
	imported(first, "import")
	certified(first)
	s := serve(t, dir, config(j.instead(w), v, "transit:transit/wechatpay-shop", "refresh: 1s"))
	before := first
	l := s.rotate(t, j, func(i int) string {
		p := j.newPair(t)
		imported(p, "import_version")
		if i%2 == 0 {
			s.hangUp() // takes over nothing: the certificate is still the old one
		}
		n := j.count(before.serial)
		eventually(t, "calls signed by the old version", func() bool { return j.count(before.serial) > n+callsEachTurn })
		certified(p)
		before = p
		return p.serial
	})
	searchSecrets(t, s.text(), w, v, dir)
	return l
}

// rotate changes the key again and again under load, each time until calls
// name the new serial number, and counts.
func (s *sidecar) rotate(t *testing.T, j *judge, change func(i int) (serial string)) *load {
	t.Helper()
	l := s.load(4)
	for i := range rotations {
		serial := change(i)
		eventually(t, "calls signed by the new key", func() bool { return j.count(serial) > callsEachTurn })
	}
	for l.calls.Load() < callsCounted && l.failed.Load() == 0 { // however slow the machine is
		time.Sleep(50 * time.Millisecond)
	}
	calls := l.end(t)
	held, serials, wrong := j.verdict()
	t.Logf("%d calls, %d failed; %d signatures hold for the serial number that they name, %d do not; %d serial numbers, %d rotations",
		calls, l.failed.Load(), held, len(wrong), serials, rotations)
	if len(wrong) > 0 {
		t.Errorf("the first that is wrong: %s", wrong[0])
	}
	if int64(held) < calls || serials != rotations+1 {
		t.Error("not all calls were judged, or not all keys used")
	}
	return l
}

// hangUp orders a reload, as an operator does.
func (s *sidecar) hangUp() { _ = s.cmd.Process.Signal(syscall.SIGHUP) }
