package vault

import (
	"context"
	"errors"
	"fmt"
)

// unwrap opens a wrapping token. It opens once, so what was in it serves for
// further logins, until the reference holds another.
func (c *Client) unwrap(ctx context.Context, wrapping string) (string, error) {
	if wrapping == c.wrapping {
		return c.secretID, nil
	}
	if err := checkToken(wrapping); err != nil {
		return "", fmt.Errorf("the wrapping token of the secret ID: %w", err)
	}
	plain, err := c.plain()
	if err != nil {
		return "", err
	}
	plain.SetToken(wrapping)
	answer, err := plain.Logical().UnwrapWithContext(ctx, "")
	if err != nil {
		return "", fmt.Errorf("unwrapping the secret ID (it opens once; was it used before, perhaps by somebody else?): %w", explain(ctx, err))
	}
	if answer == nil {
		return "", errors.New("the wrapped secret is empty")
	}
	text, ok := answer.Data["secret_id"].(string)
	if !ok {
		return "", errors.New("the wrapped secret is not a secret ID")
	}
	c.wrapping, c.secretID = wrapping, text
	return text, nil
}

// CheckWrapping asks Vault whether the wrapping token of the secret ID would
// open, and leaves it closed: who opens it takes it away from who needs it.
func (c *Client) CheckWrapping(ctx context.Context) error {
	id, err := c.auth.SecretID(ctx)
	if err != nil {
		return err
	}
	plain, err := c.plain()
	if err != nil {
		return err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	_, err = plain.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", map[string]any{"token": string(id.Trimmed().Bytes())})
	switch err = explain(ctx, err); {
	case errors.Is(err, ErrRefused), errors.Is(err, ErrDenied):
		return fmt.Errorf("%w: the wrapping token in vault.auth.secret_id was opened already, perhaps by somebody else, or is past its time; wrap a new secret ID", err)
	case err != nil:
		return fmt.Errorf("looking up the wrapping token in vault.auth.secret_id: %w", err)
	}
	return nil
}
