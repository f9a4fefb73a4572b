package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// cache is what was read of KV since Forget.
type cache struct {
	age     int // how often it was forgotten
	secrets map[string]map[string]any
	mounts  []mount
}

// mount is a secrets engine.
type mount struct {
	name    string // may have slashes
	version int    // of KV
	guessed bool   // Vault did not tell: the first segment of the path, and version 2
}

// Field reads one field of a secret in KV, version 2 or 1. The path begins
// with the mount. Fields of one path are one read, until Forget.
func (c *Client) Field(ctx context.Context, path, field string) (secret.Value, error) {
	fields, err := c.fields(ctx, path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("vault:%s#%s: %w", path, field, err)
	}
	value, ok := fields[field]
	if !ok {
		return secret.Value{}, fmt.Errorf("vault:%s#%s: %w; write it with: vault kv patch %s %s=@FILE", path, field, ErrNoField, path, field)
	}
	text, ok := value.(string)
	if !ok {
		return secret.Value{}, fmt.Errorf("vault:%s#%s: %w; write it anew, in quotes", path, field, ErrField)
	}
	return secret.NewValue([]byte(text)), nil // a copy: its user overwrites it
}

// Forget makes the next Field read anew. A reload begins and ends with it, so
// that no secret is kept here between reloads.
func (c *Client) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kv = cache{age: c.kv.age + 1}
}

// fields reads a secret once for all who ask at one time.
func (c *Client) fields(ctx context.Context, path string) (map[string]any, error) {
	for {
		c.mu.Lock()
		fields, ok := c.kv.secrets[path]
		age := c.kv.age
		c.mu.Unlock()
		if ok {
			return fields, nil
		}
		// By age, so that nobody gets what was on its way when it was forgotten.
		got, err, _ := c.flights.Do(strconv.Itoa(age)+" "+path, func() (any, error) { return c.readKV(ctx, path, age) })
		if gaveUp(err) && ctx.Err() == nil {
			continue // it was another who gave up
		}
		fields, _ = got.(map[string]any)
		return fields, err
	}
}

func (c *Client) readKV(ctx context.Context, path string, age int) (map[string]any, error) {
	m, err := c.mountOf(ctx, path, age)
	if err != nil {
		return nil, err
	}
	where := path
	if m.version == 2 {
		where = m.name + "/data/" + strings.TrimPrefix(path, m.name+"/")
	}
	answer, err := c.ask(ctx, c.read("kv_read", m.name, where))
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin) && m.guessed:
		return nil, fmt.Errorf("%w; %s (or there is no mount %s; if slashes are part of its name, data/ stands behind the last of them)", err, policyFor(where, "read"), m.name)
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return nil, fmt.Errorf("%w; %s", err, policyFor(where, "read"))
	case err != nil:
		return nil, err
	case answer == nil || answer.Data == nil:
		return nil, fmt.Errorf("%w (%s); write it with: vault kv put %s FIELD=@FILE", ErrNotFound, where, path)
	}
	fields := answer.Data
	if m.version == 2 {
		if fields, err = newest(fields, where, path); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kv.age == age {
		if c.kv.secrets == nil {
			c.kv.secrets = make(map[string]map[string]any)
		}
		c.kv.secrets[path] = fields
	}
	return fields, nil
}

// newest is what the newest version of a secret holds, unless only what is
// known about it is left.
func newest(answer map[string]any, where, path string) (map[string]any, error) {
	if data, ok := answer["data"].(map[string]any); ok && data != nil {
		return data, nil
	}
	about, _ := answer["metadata"].(map[string]any)
	if gone, _ := about["destroyed"].(bool); gone {
		return nil, fmt.Errorf("%w (%s), for good; write it anew: vault kv put %s FIELD=@FILE", ErrDestroyed, where, path)
	}
	return nil, fmt.Errorf("%w (%s); write it anew, or undelete it: vault kv undelete -versions=N %s", ErrDeleted, where, path)
}

// mountOf asks Vault which part of a path is the mount, and which KV it is, as
// Vault's own tool does. Every login that may read a path in the mount may ask.
func (c *Client) mountOf(ctx context.Context, path string, age int) (mount, error) {
	c.mu.Lock()
	i := slices.IndexFunc(c.kv.mounts, func(m mount) bool { return strings.HasPrefix(path, m.name+"/") })
	if i >= 0 {
		defer c.mu.Unlock()
		return c.kv.mounts[i], nil
	}
	c.mu.Unlock()
	answer, err := c.ask(ctx, c.read("kv_mount", "sys", aboutMount+path))
	first, _, _ := strings.Cut(path, "/")
	guess := mount{name: first, version: 2, guessed: true}
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return guess, nil // to be denied there, with the line of policy
	case err != nil:
		return mount{}, err
	case answer == nil:
		return guess, nil
	}
	m := mount{version: 2}
	name, _ := answer.Data["path"].(string)
	if m.name = strings.TrimSuffix(name, "/"); !strings.HasPrefix(path, m.name+"/") {
		m.name = first
	}
	options, _ := answer.Data["options"].(map[string]any)
	switch kind, _ := answer.Data["type"].(string); {
	case kind != "kv" && kind != "generic":
		return mount{}, fmt.Errorf("%w: %s is of type %s", ErrNotKV, m.name, clip(kind))
	case options["version"] != "2":
		m.version = 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kv.age == age {
		c.kv.mounts = append(c.kv.mounts, m)
	}
	return m, nil
}
