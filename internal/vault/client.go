// Package vault reads secrets from HashiCorp Vault and signs with keys that
// stay there.
//
// It keeps the login alive and knows what went wrong, with the path and the
// line of policy that would mend it. It keeps no secret longer than a reload
// takes: whoever uses a value keeps the last good one. Only its Options count;
// the VAULT_… variables of Vault's own tools change nothing that is sent.
package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// Options says where Vault is and who we are.
type Options struct {
	Address    string        // https://…, required
	Namespace  string        // Vault Enterprise; empty: none
	CA         string        // PEM file; empty: the system's certificates
	ClientCert string        // PEM file, with ClientKey; empty: none
	ClientKey  string        // PEM file
	Auth       Auth          // required
	Timeout    time.Duration // of one request; zero: 5 s
	Conns      int           // connections, and signatures at one time; zero: 16
	Log        *slog.Logger  // nil: none
}

// Client is one login to one Vault. It is safe for concurrent use.
type Client struct {
	api       *api.Client
	namespace string
	auth      Auth
	timeout   time.Duration
	slots     chan struct{} // signatures at one time
	breaker   *gobreaker.CircuitBreaker[string]
	log       *slog.Logger
	metrics   *metrics
	lost      chan struct{} // a request found the token invalid

	denials sync.Mutex // one question after a denial at a time
	logins  sync.Mutex // one login at a time

	wrapping, secretID string // the secret ID that a wrapping token held, guarded by logins

	mu      sync.Mutex
	state   State
	loginAt time.Time
	probed  time.Time   // when a denial last made us ask whether the token is still good
	login   *api.Secret // of the last login; nil before it
	kv      map[string]map[string]any
	mounts  map[string]int // KV version by mount
}

var _ secret.Vault = (*Client)(nil)

// State is what operators see.
type State struct {
	LoggedIn bool      `json:"logged_in"`
	Expires  time.Time `json:"token_expires,omitzero"` // zero: never, or not known
	Problem  string    `json:"problem,omitempty"`      // of the last request that failed, until one succeeds
	Breaker  string    `json:"breaker"`                // closed, half-open or open
}

// New checks the options. It does not connect; Login and Run do.
func New(o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Conns == 0 {
		o.Conns = 16
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.Auth.check(); err != nil {
		return nil, err
	}
	transport, err := o.transport()
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: o.Address, Timeout: o.Timeout, MaxRetries: 0, DisableRedirects: true,
		HttpClient: &http.Client{Transport: direct{transport}},
	})
	if err != nil {
		return nil, errors.New("vault.address cannot be used; is one of the VAULT_… variables of this environment malformed?")
	}
	forgetEnvironment(client, o.Namespace)
	return &Client{
		api: client, namespace: o.Namespace, auth: o.Auth, timeout: o.Timeout, slots: make(chan struct{}, o.Conns), breaker: newBreaker(),
		log: o.Log, metrics: newMetrics(), lost: make(chan struct{}, 1), mounts: make(map[string]int),
	}, nil
}

// forgetEnvironment undoes what vault/api takes from the VAULT_… variables.
func forgetEnvironment(c *api.Client, namespace string) {
	c.ClearToken()
	c.SetHeaders(http.Header{"X-Vault-Request": {"true"}})
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	if namespace != "" {
		c.SetNamespace(namespace)
	}
}

// direct refuses redirects: a standby sends them, they would carry the token to
// another host, and vault/api takes one that it does not follow for a success.
type direct struct{ http.RoundTripper }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.RoundTripper.RoundTrip(r)
	if err != nil || answer.StatusCode < 300 || answer.StatusCode >= 400 {
		return answer, err
	}
	return nil, errors.Join(errRedirect, answer.Body.Close())
}

func (o Options) transport() (*http.Transport, error) {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: o.Timeout,
		MaxIdleConnsPerHost: o.Conns, MaxConnsPerHost: 2 * o.Conns, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: 64 << 10, // HTTP/1.1: one dead connection must not hold up all signatures
	}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("vault.ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("vault.ca: %s holds no certificate in PEM", o.CA)
		}
	}
	if o.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(o.ClientCert, o.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("vault.client_certificate: it and vault.client_key are not a certificate and its key: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// State is that of the moment.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Breaker = c.breaker.State().String()
	return s
}

// request makes one request within the timeout. A denial may mean a missing
// permission or a token that is no longer good: the token is asked, and only
// for the latter is there a new login, and the request once more.
func (c *Client) request(ctx context.Context, operation string, do func(context.Context) (*api.Secret, error)) (*api.Secret, error) {
	began := time.Now()
	answer, err := c.once(ctx, do)
	if errors.Is(err, ErrDenied) {
		again, failed := c.afterDenial(ctx, began)
		switch {
		case failed != nil:
			err = failed
		case again:
			answer, err = c.once(ctx, do)
		}
	}
	c.note(operation, err)
	return answer, err
}

func (c *Client) once(ctx context.Context, do func(context.Context) (*api.Secret, error)) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := do(ctx)
	return answer, explain(ctx, err)
}

// probeInterval bounds what denials cost Vault when the token is good and only
// a permission is missing, or when no login succeeds.
const probeInterval = 5 * time.Second

// loginInterval bounds how often denials lead to a login.
const loginInterval = time.Second

// afterDenial says whether a request that was denied should be made again: the
// token was replaced since it began, by somebody else or now. Requests that are
// denied together wait for the one that asks.
func (c *Client) afterDenial(ctx context.Context, began time.Time) (again bool, err error) {
	c.denials.Lock()
	defer c.denials.Unlock()
	c.mu.Lock()
	replaced, asked := c.loginAt.After(began), time.Since(c.probed) < probeInterval
	c.mu.Unlock()
	if replaced || asked {
		return replaced, nil
	}
	if !c.tokenLost(ctx) {
		c.setProbed(time.Now())
		return false, nil
	}
	if err := c.relogin(ctx, began); err != nil {
		c.setProbed(time.Now())
		return false, err
	}
	// A login that may not look itself up seems lost each time.
	c.setProbed(time.Now().Add(loginInterval - probeInterval))
	return true, nil
}

func (c *Client) setProbed(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probed = t
}

// tokenLost asks Vault whether it still knows our token.
func (c *Client) tokenLost(ctx context.Context) bool {
	_, err := c.once(ctx, func(ctx context.Context) (*api.Secret, error) {
		return c.api.Auth().Token().LookupSelfWithContext(ctx)
	})
	if !errors.Is(err, ErrDenied) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.LoggedIn = false
	return true
}

// note keeps the state, and logs each change of it once.
func (c *Client) note(operation string, err error) {
	c.metrics.request(operation, err)
	problem := ""
	if outage(err) || errors.Is(err, ErrLogin) { // the rest is about one path, and its user tells
		problem = err.Error()
	}
	c.mu.Lock()
	before := c.state.Problem
	c.state.Problem = problem
	c.mu.Unlock()
	switch problem {
	case before:
	case "":
		c.log.Info("Vault answers again")
	default:
		c.log.Warn("Vault fails", "operation", operation, "error", problem)
	}
}
