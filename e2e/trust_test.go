//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
)

// development is a sidecar with a development certificate, and what wxproxy
// trust says of it.
type development struct {
	*sidecar
	wechat *wechat
	port   string
	said   string // by wxproxy trust
	home   string // an empty directory, where commands are run
}

func newDevelopment(t *testing.T) *development {
	t.Helper()
	w := startWeChat(t, shortDir(t))
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(app.Close)
	port := fmt.Sprint(acmetest.FreePort(t))
	env := []string{"WXPROXY_NOTIFY_LISTEN=127.0.0.1:" + port}
	c := startSidecar(t, setup{
		merchants: w.merchant("shop"), upstream: w.url, routes: route("/notify/shop", "shop", app.URL), env: env,
		notify: "  public_url: https://localhost:" + port + "\n  tls: {mode: internal, names: [localhost, pay.localhost, 127.0.0.1]}",
	})
	code, said := output(t, env, "trust", "-c", filepath.Join(c.dir, "wxproxy.yaml"))
	if code != 0 {
		t.Fatalf("trust: exit code %d: %s", code, said)
	}
	return &development{c, w, port, said, shortDir(t)}
}

// printed is the line of the instructions that begins so.
func (d *development) printed(beginning string) string {
	d.t.Helper()
	for line := range strings.SplitSeq(d.said, "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, beginning) {
			return line
		}
	}
	d.t.Fatalf("no line begins with %q in:\n%s", beginning, d.said)
	return ""
}

// sh runs lines as a user types them.
func (d *development) sh(lines ...string) (string, error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-ec", strings.Join(lines, "\n"))
	c.Dir = d.home
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.home, "LANG=C.UTF-8"}
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	return string(out), err
}

// accepted runs lines that must fail before the trust step, or without it, and
// succeed with it.
func (d *development) accepted(t *testing.T, without, with []string, shows string) {
	t.Helper()
	if out, err := d.sh(without...); err == nil && strings.Contains(out, shows) {
		t.Errorf("trusted without being told to:\n%s", out)
	}
	if out, err := d.sh(with...); err != nil || !strings.Contains(out, shows) {
		t.Errorf("not trusted: %v\n%s", err, out)
	}
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: this client was not tried", tool)
		}
	}
}

// refusal is what the notify port answers to a GET; who sees it has finished
// the handshake.
const refusal = `"code":"FAIL"`

func TestDevelopmentCertificate(t *testing.T) {
	t.Parallel()
	d := newDevelopment(t)
	url := "https://localhost:" + d.port

	t.Run("scan", func(t *testing.T) { acmetest.Scan(t, "127.0.0.1:"+d.port, "localhost", "ECDSA") })
	t.Run("curl", func(t *testing.T) {
		line := d.printed("curl ")
		d.accepted(t, []string{"curl -sS " + url + "/notify/shop"}, []string{line + "/notify/shop -sS"}, refusal)
		d.accepted(t, []string{line + "/ -sS --resolve other.localhost:" + d.port + ":127.0.0.1 --connect-to localhost::other.localhost: https://other.localhost:" + d.port},
			[]string{strings.ReplaceAll(line, url, "https://pay.localhost:"+d.port) + "/notify/shop -sS"}, refusal)
	})
	t.Run("node", func(t *testing.T) {
		need(t, "node")
		d.write(t, "app.js", `fetch(process.argv[2] ?? "`+url+`/notify/shop").then(r => r.text()).then(console.log, e => { console.error(e.cause ?? e); process.exit(1) })`)
		d.accepted(t, []string{"node app.js"}, []string{d.printed("NODE_EXTRA_CA_CERTS=")}, refusal)
	})
	t.Run("java", func(t *testing.T) {
		need(t, "java", "keytool")
		d.write(t, "App.java", `
import java.net.URI;
import java.net.http.*;
public class App {
	public static void main(String[] a) throws Exception {
		var request = HttpRequest.newBuilder(URI.create("`+url+`/notify/shop")).build();
		System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
	}
}`)
		d.accepted(t, []string{"java App.java"}, []string{d.printed("keytool "), d.printed("java ")}, refusal)
	})
	t.Run("chromium", func(t *testing.T) {
		need(t, "chromium", "certutil")
		browse := "chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir=profile --dump-dom https://pay.localhost:" + d.port + "/notify/shop 2>browser.log"
		d.accepted(t, []string{browse}, []string{d.printed("mkdir "), d.printed("certutil -d "), browse}, refusal)
	})
	t.Run("the system", func(t *testing.T) {
		need(t, "update-ca-certificates", "unshare", "curl")
		// In a file system of its own, so that the machine's stays as it is.
		private := `exec unshare --mount bash -ec '
for dir in /etc/ssl/certs /usr/local/share/ca-certificates; do
	rm -rf copy; cp -a $dir copy; mount -t tmpfs none $dir; cp -a copy/. $dir
done
sudo() { "$@"; }
%s
curl -sS ` + url + `/notify/shop'`
		if out, err := d.sh("unshare --mount true"); err != nil {
			t.Skipf("this user may make no mount of its own, so the system's store was not tried: %v %s", err, out)
		}
		d.accepted(t, []string{fmt.Sprintf(private, "")},
			[]string{fmt.Sprintf(private, d.printed("sudo cp ")+"\n"+d.printed("sudo update-ca-certificates"))}, refusal)
	})
	t.Run("wxproxy trigger", func(t *testing.T) {
		args := strings.Fields(d.printed("wxproxy trigger "))[1:]
		args[len(args)-1] = d.wechat.dir
		if code, out := output(t, nil, args...); code != 0 || !strings.Contains(out, "taken, answered 204") {
			t.Errorf("exit code %d: %s", code, out)
		}
		untrusted := append(args[:len(args)-4:len(args)-4], args[len(args)-2:]...)
		if code, out := output(t, nil, untrusted...); code != 1 || !strings.Contains(out, "certificate") {
			t.Errorf("without --ca: exit code %d: %s", code, out)
		}
	})
}

func (d *development) write(t *testing.T, name, text string) {
	t.Helper()
	writeFile(t, filepath.Join(d.home, name), []byte(text))
}

// A client that says nothing is shown the door. What else it may leave half said
// stands in the tests of cmd/wxproxy.
func TestSlowClientsAreDropped(t *testing.T) {
	t.Parallel()
	d := newDevelopment(t)
	conn, err := net.Dial("tcp", "127.0.0.1:"+d.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("read %d bytes, %v; want the connection ended", n, err)
	}
}
