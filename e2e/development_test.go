//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
)

// documented is the first block of a kind in the section of docs/tls.md that
// tells how to develop.
func documented(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "tls.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## internal, for development\n")
	block := regexp.MustCompile("(?s)```" + kind + "\\n(.*?)```").FindStringSubmatch(section)
	if !found || block == nil {
		t.Fatalf("docs/tls.md has no block %q", kind)
	}
	return block[1]
}

// The story of docs/tls.md: the simulator's config with the documented change,
// an order without notify_url, and its notify through HTTPS. The simulator is
// started before there is a certificate.
func TestDevelopmentStory(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	dir := shortDir(t)
	root := filepath.Join(dir, "state", "tls-internal", "root.crt")
	w := startWeChat(t, dir, "--ca", root)
	port := fmt.Sprint(acmetest.FreePort(t))
	file := w.file("wxproxy.yaml")
	written, _, found := strings.Cut(string(w.read("wxproxy.yaml")), "\nnotify:\n")
	_, written, whole := strings.Cut(written, "\n")
	if !found || !whole {
		t.Fatal("the simulator's config is not as documented")
	}
	change := strings.NewReplacer("8443", port, "http://127.0.0.1:3000/wechat/paid", a.url).Replace(documented(t, "yaml"))
	writeFile(t, file, []byte(written+"\n"+change))

	code, said := output(t, nil, "trust", "-c", file, "--notify.listen", "127.0.0.1:"+port)
	if code != 0 {
		t.Fatalf("trust: exit code %d: %s", code, said)
	}
	p := start(t, nil, "serve", "-c", file, "--outbound.listen", "127.0.0.1:0", "--notify.listen", "127.0.0.1:"+port, "--admin.listen", "127.0.0.1:0")
	outbound := "http://" + p.out.await(t, 0, `for=outbound address=(\S+)`)[1]

	body := regexp.MustCompile(`,\s*"notify_url":\s*"[^"]*"`).ReplaceAllString(prepayBody(t, mchID, "ORDER0001", "x"), "")
	curl(t, nil, post(outbound+"/v3/pay/transactions/native", body)...).verified(t, 200)
	w.pay("ORDER0001")
	if got := a.take(204).resource(t)["out_trade_no"]; got != "ORDER0001" {
		t.Errorf("the app was told of %v", got)
	}

	_, line, found := strings.Cut(said, "\n  wxproxy trigger ")
	args, _, _ := strings.Cut(line, "\n")
	if !found {
		t.Fatalf("no trigger in:\n%s", said)
	}
	trigger := start(t, nil, append([]string{"trigger"}, strings.Fields(args)...)...)
	a.take(204)
	if code := trigger.code(); code != 0 {
		t.Errorf("trigger as printed: exit code %d", code)
	}
	p.stop()
}
