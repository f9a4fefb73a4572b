package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/vault"
)

// A thousand merchants are loaded some at one time; what fails is told in the
// order of the config.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	const n = 1000
	var done, running, tooMany atomic.Int64
	err := atOnce(n, func(i int) error {
		defer running.Add(-1)
		if running.Add(1) > loaders {
			tooMany.Add(1)
		}
		done.Add(1)
		if i%400 == 7 {
			return fmt.Errorf("merchant %d", i)
		}
		return nil
	})
	if err == nil || err.Error() != "merchant 7\nmerchant 407\nmerchant 807" {
		t.Errorf("got %v", err)
	}
	if done.Load() != n || tooMany.Load() != 0 {
		t.Errorf("%d of %d loaded, %d times too many at once", done.Load(), n, tooMany.Load())
	}
}

// Those to whom Vault said nothing for the longest are first; what fails is told in the order of
// the config.
func TestInTurn(t *testing.T) {
	t.Parallel()
	accounts := make([]*account, 3*loaders)
	place := make(map[*account]int)
	for i := range accounts {
		accounts[i] = &account{}
		accounts[i].lastTurn.Store(int64(len(accounts) - i)) // the last of the config is the oldest
		place[accounts[i]] = i
	}
	var mu sync.Mutex
	var first []int
	all := make(chan struct{})
	err := inTurn(accounts, func(a *account) error {
		mu.Lock()
		if len(first) < loaders {
			if first = append(first, place[a]); len(first) == loaders {
				close(all)
			}
		}
		mu.Unlock()
		<-all
		if i := place[a]; i%10 == 3 {
			return fmt.Errorf("merchant %d", i)
		}
		return nil
	})
	if err == nil || err.Error() != "merchant 3\nmerchant 13\nmerchant 23" {
		t.Errorf("got %v", err)
	}
	for _, i := range first {
		if i < len(accounts)-loaders {
			t.Errorf("merchant %d was among the first %v", i, first)
		}
	}
}

func TestVaried(t *testing.T) {
	t.Parallel()
	const d = 5 * time.Minute
	least, most := d, d
	for range 10_000 {
		v := varied(d)
		least, most = min(least, v), max(most, v)
	}
	if least < d*9/10 || most > d*11/10 || most-least < d/10 {
		t.Errorf("from %s to %s", least, most)
	}
}

// The log has a line when reading begins to fail, when it fails otherwise and
// when it succeeds again. While Vault itself is in trouble, whose messages
// change from one poll to the next, that is one state.
func TestPollLogsChangesAlone(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	nothing := func(context.Context) (secret.Value, error) { return secret.NewValue([]byte("token")), nil }
	client, err := vault.New(vault.Options{Address: "http://127.0.0.1:1", Auth: vault.Auth{Method: vault.MethodToken, Token: nothing}})
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{cfg: &config.Config{}, vault: client, log: slog.New(slog.NewTextHandler(&log, nil))}
	state := ""
	poll := func(message string) (lines string) {
		var err error
		if message != "" {
			err = errors.New(message)
		}
		log.Reset()
		state = s.tellPoll(state, err)
		return log.String()
	}
	for i, step := range []struct{ message, says string }{
		{"", ""}, {"a field is missing", "a field is missing"}, {"a field is missing", ""}, {"a key is broken", "a key is broken"},
		{"", "can be read again"}, {"", ""}, {strings.Repeat("a merchant\n", 1000), "and 996 more"},
	} {
		if got := poll(step.message); (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("step %d: got %q, want %q", i, got, step.says)
		}
	}
	if err := client.Login(t.Context()); err == nil {
		t.Fatal("there is a Vault at port 1")
	}
	if first, second := poll("it is sealed"), poll("it is unreachable"); first == "" || second != "" {
		t.Errorf("got %q, then %q", first, second)
	}
}
