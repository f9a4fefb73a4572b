package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Callback is the TLS of the notify port.
type Callback struct {
	Mode         string   // off, files, acme or internal; empty: off
	Names        []string // answered for
	Storage      string   // directory for keys and certificates; empty: none
	Certificates []CallbackCertificate

	// Of mode acme.
	Directory, TestDirectory string         // URLs; the latter may be empty
	Roots                    *x509.CertPool // for both; nil: the system's
	Bound                    bool           // there is an external account binding
	Profile                  string         // empty: the authority's choice
}

// CallbackCertificate is what would be shown for a name, or for all.
type CallbackCertificate struct {
	Name string
	// Load reads the chain, the server's own certificate first; none is no error.
	Load func(context.Context) ([]*x509.Certificate, error)
	Fix  string // of what keeps it from being loaded
}

func (c *checker) callback(ctx context.Context, l *list) {
	c.writable(l, "tls storage", c.in.Callback.Storage)
	switch t := c.in.Callback; t.Mode {
	case "files", "acme":
		for _, shown := range t.Certificates {
			c.callbackCertificate(ctx, l, shown)
		}
	case "internal":
		l.warn("tls", "`wxproxy trust -c FILE` tells how clients learn to trust it", "development certificate for %s: WeChat Pay does not trust it", strings.Join(t.Names, ", "))
		return
	default:
		return
	}
	if c.Offline {
		return
	}
	for _, name := range c.in.Callback.Names {
		c.resolves(ctx, l, name)
	}
	if c.in.Callback.Mode != "acme" {
		return
	}
	if test := c.in.Callback.TestDirectory; c.Send != nil && test != "" { // staging first
		c.directory(ctx, l, "acme test_directory", test)
	}
	c.directory(ctx, l, "acme directory", c.in.Callback.Directory)
}

func (c *checker) callbackCertificate(ctx context.Context, l *list, shown CallbackCertificate) {
	const renew = "renew it, or see in the log and in /readyz why it was not renewed"
	name := "tls " + shown.Name
	chain, err := shown.Load(ctx)
	switch {
	case err != nil:
		l.tried(Trial{Name: name, Fix: shown.Fix}, err)
		return
	case len(chain) == 0:
		l.ok(name, "no certificate yet: it is ordered when serve starts")
		return
	}
	leaf, now := chain[0], c.Now()
	life, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now)
	until := "until " + leaf.NotAfter.UTC().Format(time.DateTime) + " UTC"
	switch {
	case now.Before(leaf.NotBefore):
		l.fail(name, "check this machine's clock first", "the certificate is not valid before %s UTC", leaf.NotBefore.UTC().Format(time.DateTime))
	case left <= 0:
		l.fail(name, renew, "the certificate has expired: it was valid %s", until)
	case left < life/4:
		l.warn(name, renew, "the certificate is valid only %s", until)
	case untrusted(chain, now):
		l.warn(name, "put the whole chain into the file, intermediate certificates included; or get a certificate from a public authority",
			"valid %s, but signed by nobody that this machine trusts: WeChat Pay will hardly trust it", until)
	default:
		l.ok(name, "valid %s", until)
	}
}

func untrusted(chain []*x509.Certificate, now time.Time) bool {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: now})
	return err != nil
}

func (c *checker) resolves(ctx context.Context, l *list, name string) {
	if net.ParseIP(name) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	addresses, err := c.Lookup(ctx, name)
	if err != nil || len(addresses) == 0 {
		l.fail("name "+name, "make a DNS record (A or AAAA) that leads to this port, and check the spelling", "does not resolve here: WeChat Pay cannot call it, and no authority certifies it")
		return
	}
	if i := slices.IndexFunc(addresses, func(a string) bool { return privateHost(a) != "" }); i >= 0 {
		l.warn("name "+name, "fine if the Internet resolves it to another address", "%s %s", addresses[i], privateHost(addresses[i]))
		return
	}
	l.ok("name "+name, "%s", strings.Join(addresses, ", "))
}

// directory asks for an authority's directory, which orders nothing.
func (c *checker) directory(ctx context.Context, l *list, name, text string) {
	base, err := url.Parse(text)
	if err != nil {
		l.fail(name, "correct the URL", "not a URL")
		return
	}
	d, err := c.readDirectory(ctx, text)
	switch {
	case errors.Is(err, errNoDirectory):
		l.fail(name, "check the URL, and whether a gateway or portal intercepts the connection", "%s: %v", text, err)
		return
	case err != nil:
		problem, fix := c.unreachable(base, err)
		fix = strings.ReplaceAll(strings.ReplaceAll(fix, "outbound.upstream_ca", "notify.tls.acme.ca"), ", or remove it from outbound.upstreams", "")
		l.fail(name, fix, "%s: %s", base.Host, problem)
		return
	}
	switch t := c.in.Callback; {
	case d.Meta.Bound && !t.Bound:
		l.fail(name, "get a key identifier and key from the authority, and write them into notify.tls.acme.eab", "%s wants an external account binding", base.Host)
	case t.Profile != "" && d.Meta.Profiles[t.Profile] == "":
		l.fail(name, "write one that it has, or remove notify.tls.acme.profile", "%s has no profile %.64q", base.Host, t.Profile)
	case d.Meta.Terms != "":
		l.ok(name, "%s answers; its terms: %.200s", base.Host, d.Meta.Terms)
	default:
		l.ok(name, "%s answers", base.Host)
	}
}

// directory is what is read of an ACME directory (RFC 8555, section 7.1.1).
type directory struct {
	NewOrder string `json:"newOrder"`
	Meta     struct {
		Terms    string            `json:"termsOfService"`
		Bound    bool              `json:"externalAccountRequired"`
		Profiles map[string]string `json:"profiles"`
	} `json:"meta"`
}

var errNoDirectory = errors.New("what answers there is no ACME directory")

const maxDirectory = 64 << 10

func (c *checker) readDirectory(ctx context.Context, text string) (d directory, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	transport := &http.Transport{
		DialContext:       c.Dial,
		TLSClientConfig:   &tls.Config{RootCAs: c.in.Callback.Roots, MinVersion: tls.VersionTLS12, Time: c.Now},
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, text, nil)
	if err != nil {
		return d, err
	}
	r.Header.Set("User-Agent", "wxproxy")
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return d, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return d, fmt.Errorf("%w: status %d", errNoDirectory, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxDirectory))
	if err != nil {
		return d, err
	}
	if json.Unmarshal(body, &d) != nil || d.NewOrder == "" {
		return d, errNoDirectory
	}
	return d, nil
}
