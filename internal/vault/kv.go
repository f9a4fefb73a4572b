package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/vault/api"

	"github.com/wxproxy/wxproxy/internal/secret"
)

// Field reads one field of a secret in KV, version 2 or 1. Fields of one path
// are one read, until Forget.
func (c *Client) Field(ctx context.Context, mount, path, field string) (secret.Value, error) {
	fields, err := c.fields(ctx, mount, path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("vault:%s/%s#%s: %w", mount, path, field, err)
	}
	value, ok := fields[field]
	if !ok {
		return secret.Value{}, fmt.Errorf("vault:%s/%s#%s: %w; write it with: vault kv patch %s/%s %s=@FILE", mount, path, field, ErrNoField, mount, path, field)
	}
	text, ok := value.(string)
	if !ok {
		return secret.Value{}, fmt.Errorf("vault:%s/%s#%s: %w", mount, path, field, ErrField)
	}
	return secret.NewValue([]byte(text)), nil // a copy: its user overwrites it
}

// Forget makes the next Field read anew; a reload begins with it.
func (c *Client) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.kv)
}

func (c *Client) fields(ctx context.Context, mount, path string) (map[string]any, error) {
	c.mu.Lock()
	fields, ok := c.kv[mount+"/"+path]
	c.mu.Unlock()
	if ok {
		return fields, nil
	}
	fields, err := c.readKV(ctx, mount, path)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kv == nil {
		c.kv = make(map[string]map[string]any)
	}
	c.kv[mount+"/"+path] = fields
	return fields, nil
}

func (c *Client) readKV(ctx context.Context, mount, path string) (map[string]any, error) {
	where := mount + "/data/" + path
	version := c.kvVersion(ctx, mount)
	if version == 1 {
		where = mount + "/" + path
	}
	answer, err := c.request(ctx, "kv_read", func(ctx context.Context) (*api.Secret, error) {
		return c.api.Logical().ReadWithContext(ctx, where)
	})
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		return nil, fmt.Errorf("%w; %s (or mount %s does not exist)", err, policyFor(where, "read"), mount)
	case err != nil:
		return nil, err
	case answer == nil || answer.Data == nil:
		return nil, fmt.Errorf("%w (%s); write it with: vault kv put %s/%s FIELD=@FILE", ErrNotFound, where, mount, path)
	case version == 1:
		return answer.Data, nil
	}
	data, ok := answer.Data["data"].(map[string]any)
	if !ok || data == nil { // only metadata is left
		return nil, fmt.Errorf("%w (%s); write it anew, or undelete it: vault kv undelete -versions=N %s/%s", ErrDeleted, where, mount, path)
	}
	return data, nil
}

// kvVersion asks which KV a mount is, once. Every login that may read a path
// in the mount may ask; where not, it is taken for version 2.
func (c *Client) kvVersion(ctx context.Context, mount string) int {
	c.mu.Lock()
	version, known := c.mounts[mount]
	c.mu.Unlock()
	if known {
		return version
	}
	answer, err := c.once(ctx, func(ctx context.Context) (*api.Secret, error) {
		return c.api.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+mount)
	})
	if err != nil || answer == nil {
		return 2
	}
	version = 2
	options, _ := answer.Data["options"].(map[string]any)
	if kind, _ := answer.Data["type"].(string); kind == "generic" || kind == "kv" && options["version"] != "2" {
		version = 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mounts[mount] = version
	return version
}
