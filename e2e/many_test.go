//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A thousand merchants in one process: what they cost, and that the one who
// was paid is told from the others on a path that all of them share.
func TestAThousandMerchants(t *testing.T) {
	t.Parallel()
	const n, who, alias = 1000, "1900000777", "sim-0777"
	a := newApp(t)
	w := startWeChat(t, shortDir(t), "--merchants", strconv.Itoa(n), "--notify-app", a.url)
	s, took := startMany(t, w)

	one := startWeChat(t, shortDir(t))
	small, _ := startMany(t, one)
	t.Logf("%d merchants: ready to serve after %s; %d KiB resident, %.1f KiB a merchant more than with one (%d KiB)",
		n, took, s.rss(t), float64(s.rss(t)-small.rss(t))/(n-1), small.rss(t))
	small.stop()

	curl(t, nil, append(post(s.outbound+"/v3/pay/transactions/native", prepayBody(t, who, "ORDER0777", s.notify+"/notify")),
		"-H", "Wxproxy-Merchant: "+alias)...).verified(t, 200)
	w.pay("ORDER0777")
	d := a.take(204)
	if got := d.header.Get("Wxproxy-Merchant"); got != alias || d.resource(t)["mchid"] != who {
		t.Errorf("the notify is said to be %s's: %s", got, d.body)
	}
	// By its number it is the same merchant; without a name it is nobody.
	curl(t, nil, "-H", "Wxproxy-Merchant: "+who, s.outbound+"/v3/pay/transactions/out-trade-no/ORDER0777?mchid="+who).verified(t, 200)
	curl(t, nil, s.outbound+"/v3/certificates").refused(t, 400, "unknown_merchant")

	s.awaitAdmin("/readyz", `"total": 1000`, http.StatusOK)
	s.awaitAdmin("/readyz/"+alias, `"ready": true`, http.StatusOK)
	metrics := curl(t, nil, s.admin+"/metrics")
	t.Logf("/metrics has %d KiB", len(metrics.body)>>10)

	mark := s.out.mark()
	begun := time.Now()
	s.signal(syscall.SIGHUP)
	s.out.await(t, mark, "keys and files reloaded")
	t.Logf("reload of %d merchants: %s", n, time.Since(begun))
	s.stop()
}

// startMany runs the config that a simulator wrote, and measures how long it
// takes until it listens.
func startMany(t *testing.T, w *wechat) (*sidecar, time.Duration) {
	t.Helper()
	begun := time.Now()
	p := start(t, nil, "serve", "-c", w.file("wxproxy.yaml"),
		"--outbound.listen", "127.0.0.1:0", "--notify.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0")
	s := &sidecar{process: p}
	s.outbound = "http://" + p.out.await(t, 0, `for=outbound address=(\S+)`)[1]
	s.notify = "http://" + p.out.await(t, 0, `for=notify address=(\S+)`)[1]
	s.admin = "http://" + p.out.await(t, 0, `for=admin address=(\S+)`)[1]
	took := time.Since(begun)
	s.awaitAdmin("/readyz", `"ready": true`, http.StatusOK)
	return s, took
}

var residentPattern = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// rss is the process's resident memory in KiB.
func (p *process) rss(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("resident memory is read on Linux only: %v", err)
	}
	found := residentPattern.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
