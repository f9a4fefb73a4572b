package vault_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/wxproxy/wxproxy/internal/vault"
)

// What is read: the mount and its version are Vault's to tell, and slashes may
// be part of its name.
func TestField(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path, mount, at, answer string
	}{
		"version 2": {"secret/shop", `{"path":"secret/","type":"kv","options":{"version":"2"}}`, "secret/data/shop", `{"data":{"key":"value"},"metadata":{}}`},
		"version 1": {"old/shop", `{"path":"old/","type":"kv","options":{"version":"1"}}`, "old/shop", `{"key":"value"}`},
		"of old":    {"old/shop", `{"path":"old/","type":"generic","options":null}`, "old/shop", `{"key":"value"}`},
		"slashes":   {"team/kv/a/shop", `{"path":"team/kv/","type":"kv","options":{"version":"2"}}`, "team/kv/data/a/shop", `{"data":{"key":"value"}}`},
		"not told":  {"secret/a/shop", "", "secret/data/a/shop", `{"data":{"key":"value"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if test.mount != "" {
				f.on("sys/internal/ui/mounts/"+test.path, data(test.mount))
			}
			f.on(test.at, data(test.answer))
			got, err := loggedIn(t, f, nil).Field(t.Context(), test.path, "key")
			if err != nil || string(got.Bytes()) != "value" {
				t.Errorf("got %q, %v", got.Bytes(), err)
			}
		})
	}
}

// Each row changes one thing of a read that succeeds.
func TestFieldRefused(t *testing.T) {
	t.Parallel()
	const at = "secret/data/shop"
	answer := func(text string) func(*fake) { return func(f *fake) { f.on(at, data(text)) } }
	for name, test := range map[string]struct {
		change      func(*fake)
		path, field string
		want        error
		says        string
	}{
		"no such field": {nil, "secret/shop", "nothing", vault.ErrNoField, "vault kv patch secret/shop nothing=@FILE"},
		"not a text":    {answer(`{"data":{"key":7}}`), "", "", vault.ErrField, "in quotes"},
		"nothing there": {func(f *fake) { f.on(at, nil) }, "", "", vault.ErrNotFound, "vault kv put secret/shop FIELD=@FILE"},
		"deleted":       {func(f *fake) { f.on(at, deleted(`"destroyed":false`)) }, "", "", vault.ErrDeleted, "vault kv undelete -versions=N secret/shop"},
		"destroyed":     {func(f *fake) { f.on(at, deleted(`"destroyed":true`)) }, "", "", vault.ErrDestroyed, "vault kv put secret/shop"},
		"denied":        {func(f *fake) { f.on(at, status(http.StatusForbidden)) }, "", "", vault.ErrDenied, `path "secret/data/shop" { capabilities = ["read"] }`},
		"no such mount": {nil, "mistyped/shop", "key", vault.ErrNotFound, "mistyped/shop"},
		"mount denied": {func(f *fake) { f.on("mistyped/data/shop", status(http.StatusForbidden)) }, "mistyped/shop", "key",
			vault.ErrDenied, "there is no mount mistyped"},
		"not a KV": {func(f *fake) { f.on(mountPath, data(`{"path":"secret/","type":"transit"}`)) }, "", "",
			vault.ErrNotKV, "of type transit"},
		"no object":    {answer(`{"data":"text"}`), "", "", vault.ErrDeleted, "secret/data/shop"},
		"not of Vault": {func(f *fake) { f.on(at, body(http.StatusOK, "<html>"+outside)) }, "", "", vault.ErrAnswer, "vault.address"},
		"endless":      {func(f *fake) { f.on(at, data(`{"data":{"key":"`+strings.Repeat("x", 5<<20)+`"}}`)) }, "", "", vault.ErrAnswer, "vault.address"},
		"redirected": {func(f *fake) {
			f.on(at, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://192.0.2.1/", 307) })
		}, "", "",
			vault.ErrUnavailable, "standby"},
		"bad request":  {func(f *fake) { f.on(at, status(http.StatusBadRequest)) }, "", "", vault.ErrRefused, "status 400"},
		"sealed":       {func(f *fake) { f.on(at, status(http.StatusServiceUnavailable, "Vault is sealed")) }, "", "", vault.ErrSealed, ""},
		"standby":      {func(f *fake) { f.on(at, status(http.StatusServiceUnavailable)) }, "", "", vault.ErrUnavailable, "status 503"},
		"broken":       {func(f *fake) { f.on(at, status(http.StatusInternalServerError)) }, "", "", vault.ErrInternal, "status 500"},
		"rate limited": {func(f *fake) { f.on(at, status(http.StatusTooManyRequests)) }, "", "", vault.ErrRateLimited, ""},
		"resets":       {func(f *fake) { f.on(at, reset) }, "", "", vault.ErrUnreachable, ""},
		"gone":         {(*fake).close, "", "", vault.ErrUnreachable, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c := loggedIn(t, f, nil)
			if err := c.field(t); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			if test.change != nil {
				test.change(f)
			}
			if test.path == "" {
				test.path, test.field = "secret/shop", "key"
			}
			c.Forget()
			_, err := c.Field(t.Context(), test.path, test.field)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			says(t, err.Error(), "vault:"+test.path+"#"+test.field, test.says)
		})
	}
}

func (f *fake) close() { f.Server.Close() }

// deleted is what Vault answers when only metadata is left.
func deleted(about string) http.HandlerFunc {
	return body(http.StatusNotFound, `{"data":{"data":null,"metadata":{"deletion_time":"2026-11-23T00:00:00Z",`+about+`}}}`)
}

// Fields of one path are one read, also for many who ask at one time, until
// the next reload; a value that its user overwrote comes whole to the next.
func TestOnePathIsOneRead(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := c.Field(t.Context(), "secret/shop", "key")
			if err != nil || string(got.Bytes()) != aSecret {
				t.Errorf("got %q, %v", got.Bytes(), err)
			}
			got.Clear()
		})
	}
	all.Wait()
	if n, mounts := f.requests("secret/data/shop"), f.requests(mountPath); n != 1 || mounts != 1 {
		t.Errorf("%d reads, %d questions for the mount", n, mounts)
	}
	f.on("secret/data/shop", data(`{"data":{"key":"new"}}`))
	c.Forget()
	if got, err := c.Field(t.Context(), "secret/shop", "key"); err != nil || string(got.Bytes()) != "new" {
		t.Errorf("not read anew: %q, %v", got.Bytes(), err)
	}
}

// A read that was on its way when its reload ended serves no later one.
func TestForgottenReadIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := loggedIn(t, f, nil)
	reached, answer := make(chan struct{}), make(chan struct{})
	old := data(`{"data":{"key":"old"}}`)
	f.on("secret/data/shop", func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		<-answer
		old(w, r)
	})
	first := make(chan error)
	go func() {
		_, err := c.Field(t.Context(), "secret/shop", "key")
		first <- err
	}()
	<-reached
	f.on("secret/data/shop", data(`{"data":{"key":"new"}}`))
	c.Forget()
	read := func() {
		t.Helper()
		if got, err := c.Field(t.Context(), "secret/shop", "key"); err != nil || string(got.Bytes()) != "new" {
			t.Errorf("got %q, %v", got.Bytes(), err)
		}
	}
	read()
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	read()
}

// What a login lost meanwhile was told of a mount is not taken for its kind.
func TestRevokedTokenDoesNotHideTheMount(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("sys/internal/ui/mounts/team/kv/shop", data(`{"path":"team/kv/","type":"kv","options":{"version":"1"}}`))
	f.on("team/kv/shop", data(`{"key":"value"}`))
	c := byRole(t, f)
	f.accept("hvs.revoked")
	if got, err := c.Field(t.Context(), "team/kv/shop", "key"); err != nil || string(got.Bytes()) != "value" {
		t.Errorf("got %q, %v", got.Bytes(), err)
	}
}
