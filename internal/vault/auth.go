package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// The methods of Auth.
const (
	MethodKubernetes = "kubernetes"
	MethodAppRole    = "approle"
	MethodToken      = "token"
	MethodTokenFile  = "token_file"
)

// defaultJWTFile is where Kubernetes puts a pod's token.
const defaultJWTFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// maxTokenFile bounds what is read of a token's file, in bytes.
const maxTokenFile = 64 << 10

// Auth is how to log in. What it refers to is read anew at each login.
type Auth struct {
	Method    string // one of the above
	Mount     string // of the auth method; empty: its name
	Role      string // kubernetes
	JWTFile   string // kubernetes; empty: the pod's own token
	TokenFile string // token_file
	Wrapped   bool   // approle: SecretID gives a response-wrapping token, good for one login

	Token, RoleID, SecretID func(context.Context) (secret.Value, error)
}

func (a *Auth) check() error {
	if a.Mount == "" {
		a.Mount = a.Method
	}
	if a.JWTFile == "" {
		a.JWTFile = defaultJWTFile
	}
	switch a.Method {
	case MethodKubernetes, MethodTokenFile:
		return nil
	case MethodAppRole:
		if a.RoleID != nil && a.SecretID != nil {
			return nil
		}
	case MethodToken:
		if a.Token != nil {
			return nil
		}
	}
	return fmt.Errorf("vault.auth: method %q lacks what it needs", a.Method)
}

// Login gets a token. A login that has just been made by somebody else serves.
func (c *Client) Login(ctx context.Context) error {
	return c.loginSince(ctx, c.now(), func(error) {})
}

// loginSince logs in, unless somebody else has since then. A login that has
// begun goes on when ctx ends: it may have opened a wrapping token, which opens
// once, and others wait for it. So what follows from it, for Run or by failed,
// happens even when nobody is left who asked for it.
func (c *Client) loginSince(ctx context.Context, since time.Time, failed func(error)) error {
	select {
	case c.logins <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrLogin, explain(ctx, ctx.Err()))
	}
	c.mu.Lock()
	fresh := c.loginAt.After(since)
	c.mu.Unlock()
	if fresh || ctx.Err() != nil {
		<-c.logins
		return explain(ctx, ctx.Err())
	}
	ended := make(chan error, 1)
	go func() {
		defer func() { <-c.logins }()
		ctx, cancel := c.limit(context.WithoutCancel(ctx))
		defer cancel()
		err := c.logIn(ctx)
		if err == nil {
			c.wake()
		} else {
			failed(err)
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrLogin, explain(ctx, ctx.Err()))
	}
}

func (c *Client) logIn(ctx context.Context) error {
	answer, err := c.loginBy(ctx)
	if err != nil { // the old token may still be good: it stays
		err = fmt.Errorf("%w (method %s): %w", ErrLogin, c.auth.Method, err)
	} else {
		c.set(answer)
	}
	c.note("login", err)
	return err
}

// set takes over a login: token and time together, so that whoever finds the
// new token good knows that it is not the one of before.
func (c *Client) set(login *api.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.api.SetToken(login.Auth.ClientToken)
	c.login, c.state.LoggedIn, c.state.Expires = login, true, time.Time{}
	c.loginAt, c.denials.refused = c.now(), nil
	if login.Auth.LeaseDuration > 0 {
		c.state.Expires = c.loginAt.Add(time.Duration(login.Auth.LeaseDuration) * time.Second)
	}
}

func (c *Client) loginBy(ctx context.Context) (*api.Secret, error) {
	switch c.auth.Method {
	case MethodKubernetes:
		jwt, err := secret.ReadFile(c.auth.JWTFile, maxTokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading vault.auth.jwt_file: %w", err)
		}
		return c.loginWith(ctx, map[string]any{"role": c.auth.Role, "jwt": string(bytes.TrimSpace(jwt))})
	case MethodAppRole:
		return c.loginAppRole(ctx)
	case MethodTokenFile:
		text, err := secret.ReadFile(c.auth.TokenFile, maxTokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading vault.auth.token_file: %w", err)
		}
		return c.loginToken(ctx, string(bytes.TrimSpace(text)))
	default:
		token, err := c.auth.Token(ctx)
		if err != nil {
			return nil, err
		}
		return c.loginToken(ctx, string(token.Trimmed().Bytes()))
	}
}

func (c *Client) loginAppRole(ctx context.Context) (*api.Secret, error) {
	role, err := c.auth.RoleID(ctx)
	if err != nil {
		return nil, err
	}
	id, err := c.auth.SecretID(ctx)
	if err != nil {
		return nil, err
	}
	secretID := string(id.Trimmed().Bytes())
	if c.auth.Wrapped {
		if secretID, err = c.unwrap(ctx, secretID); err != nil {
			return nil, err
		}
	}
	return c.loginWith(ctx, map[string]any{"role_id": string(role.Trimmed().Bytes()), "secret_id": secretID})
}

// plain is a client without our token, which may be what is wrong.
func (c *Client) plain() (*api.Client, error) {
	plain, err := c.api.Clone()
	if err != nil {
		return nil, errors.New("preparing the login")
	}
	forgetEnvironment(plain, c.namespace)
	plain.SetCheckRetry(unprocessed)
	return plain, nil
}

// loginWith asks the auth method for a token.
func (c *Client) loginWith(ctx context.Context, data map[string]any) (*api.Secret, error) {
	plain, err := c.plain()
	if err != nil {
		return nil, err
	}
	answer, err := plain.Logical().WriteWithContext(ctx, "auth/"+strings.Trim(c.auth.Mount, "/")+"/login", data)
	if err != nil {
		return nil, c.auth.remedy(explain(ctx, err))
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return nil, errors.New("the answer has no token")
	}
	return answer, nil
}

// loginToken takes a token that somebody else made, and asks how long it lasts.
func (c *Client) loginToken(ctx context.Context, token string) (*api.Secret, error) {
	if err := checkToken(token); err != nil {
		return nil, err
	}
	plain, err := c.plain()
	if err != nil {
		return nil, err
	}
	plain.SetToken(token)
	answer, err := plain.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return nil, c.auth.remedy(explain(ctx, err))
	}
	if answer == nil {
		return nil, ErrAnswer
	}
	ttl, err := answer.TokenTTL()
	if err != nil {
		return nil, errors.New("the token's time to live is not told")
	}
	if ttl == 0 && answer.Data["expire_time"] != nil {
		return nil, errors.New("the token is at its end")
	}
	renewable, _ := answer.TokenIsRenewable()
	return &api.Secret{Auth: &api.SecretAuth{ClientToken: token, LeaseDuration: int(ttl.Seconds()), Renewable: renewable}}, nil
}

// checkToken finds what cannot be in a header. The error of whoever sends it
// would look like a Vault that is unreachable, and be waited for.
func checkToken(token string) error {
	if token == "" {
		return errors.New("the token is empty")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token has a line feed, space or other character within that no token has; write the token there alone")
	}
	return nil
}

// remedy says what mends a login that Vault does not let in.
func (a *Auth) remedy(err error) error {
	if !isOne(err, ErrDenied, ErrRefused) {
		return err
	}
	switch a.Method {
	case MethodAppRole:
		return fmt.Errorf("%w: it does not know this role_id with this secret_id at auth/%s, or the secret ID is used up or past its time; make a new one: vault write -f auth/%[2]s/role/NAME/secret-id", err, a.Mount)
	case MethodKubernetes:
		return fmt.Errorf("%w: see that role %s at auth/%s binds the pod's service account, namespace and audience: vault read auth/%[3]s/role/%[2]s", err, a.Role, a.Mount)
	default:
		return fmt.Errorf("%w: the token is revoked, past its time or of another Vault; put a new one there", err)
	}
}
