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
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/hashicorp/vault/api"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

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

	Now func() time.Time // nil: time.Now
}

// Client is one login to one Vault. It is safe for concurrent use.
type Client struct {
	api       *api.Client
	transport *transport
	namespace string
	auth      Auth
	timeout   time.Duration
	slots     chan struct{} // signatures at one time
	signing   *gobreaker.CircuitBreaker[string]
	reading   *gobreaker.CircuitBreaker[*api.Secret]
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics
	lost      chan struct{} // a request found the token invalid

	asking chan struct{} // one question after a denial at a time
	logins chan struct{} // one login at a time

	wrapping, secretID string // the secret ID that a wrapping token held, guarded by logins

	flights singleflight.Group // reads of KV, by path

	mu      sync.Mutex
	state   State
	trouble trouble
	login   *api.Secret // of the last login; nil before it
	loginAt time.Time
	denials denials
	kv      cache
	keys    map[string]*keyState // in Transit, by reference with version
}

var _ secret.Vault = (*Client)(nil)

// State is what operators see.
type State struct {
	LoggedIn bool      `json:"logged_in"`
	Expires  time.Time `json:"token_expires,omitzero"` // zero: never, or not known
	Problem  string    `json:"problem,omitempty"`      // of the last request that failed, until one succeeds
	Breaker  string    `json:"breaker"`                // of signatures: closed, half-open or open
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
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.Auth.check(); err != nil {
		return nil, err
	}
	transport, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: o.Address, Timeout: o.Timeout, DisableRedirects: true, HttpClient: &http.Client{Transport: transport},
		MaxRetries: maxRetries, MinRetryWait: minRetryWait, MaxRetryWait: maxRetryWait,
		CheckRetry: worthRetry, Backoff: retryablehttp.RateLimitLinearJitterBackoff,
	})
	if err != nil {
		return nil, errors.New("vault.address cannot be used; is one of the VAULT_… variables of this environment malformed?")
	}
	forgetEnvironment(client, o.Namespace)
	return &Client{
		api: client, transport: transport, namespace: o.Namespace, auth: o.Auth, timeout: o.Timeout,
		slots: make(chan struct{}, o.Conns), signing: newBreaker[string](down), reading: newBreaker[*api.Secret](down),
		keys: make(map[string]*keyState),
		now:  o.Now, log: o.Log, metrics: newMetrics(), lost: make(chan struct{}, 1), asking: make(chan struct{}, 1), logins: make(chan struct{}, 1),
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

// State is that of the moment.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Breaker = c.signing.State().String()
	return s
}

// Reload takes over changed certificates, and logs in anew where a login
// failed or the credentials are a token, which somebody may have replaced. It
// is what an operator asks for; what fails leaves all as it was.
func (c *Client) Reload(ctx context.Context) error {
	failed := c.transport.reload()
	c.mu.Lock()
	c.denials.missing, c.denials.until = nil, time.Time{}
	held := c.state.LoggedIn && c.trouble.kind != loginFailed
	c.mu.Unlock()
	if held && c.auth.Method != MethodToken && c.auth.Method != MethodTokenFile {
		return failed
	}
	return errors.Join(failed, c.Login(ctx))
}
