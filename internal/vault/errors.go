package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"
)

var (
	// ErrUnreachable: no answer from Vault.
	ErrUnreachable = errors.New("Vault is unreachable")
	// ErrTimeout: no answer in time.
	ErrTimeout = errors.New("Vault did not answer in time")
	// ErrSealed: Vault is sealed.
	ErrSealed = errors.New("Vault is sealed")
	// ErrUnavailable: Vault is starting, in standby, or has an internal error.
	ErrUnavailable = errors.New("Vault is not available")
	// ErrRateLimited: Vault wants fewer requests.
	ErrRateLimited = errors.New("Vault limits the rate of requests")
	// ErrDenied: the token may not do this, or is no longer valid.
	ErrDenied = errors.New("Vault denies it")
	// ErrRefused: Vault finds the request itself wrong.
	ErrRefused = errors.New("Vault refuses the request")
	// ErrLogin: Vault does not let us in.
	ErrLogin = errors.New("login to Vault failed")
	// ErrNotFound: there is nothing at the path.
	ErrNotFound = errors.New("there is nothing at this path in Vault")
	// ErrDeleted: the newest version of the secret was deleted or destroyed.
	ErrDeleted = errors.New("the newest version of this secret was deleted")
	// ErrNoField: the secret has no such field.
	ErrNoField = errors.New("the secret has no such field")
	// ErrField: the field is not a text.
	ErrField = errors.New("the field is not a text")
	// ErrKeyType: the key is not RSA of at least 2048 bits.
	ErrKeyType = errors.New("the key is not RSA of 2048 bits or more")
	// ErrVersion: the key has no such version, or none that fits.
	ErrVersion = errors.New("the key has no such version")
	// ErrSignature: what Vault returned is not a signature of the key.
	ErrSignature = errors.New("Vault returned no valid signature")
	// ErrBroken: too many requests failed, so none is made for a moment.
	ErrBroken = errors.New("Vault failed repeatedly; waiting a moment before the next try")
)

// errRedirect: Vault sends us elsewhere, as a node in standby does.
var errRedirect = errors.New("redirected")

// explain turns an error of vault/api into one of ours. Texts of Vault are not
// repeated: they are outside words, and can hold paths of other tenants.
func explain(ctx context.Context, err error) error {
	response, ok := errors.AsType[*api.ResponseError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, errRedirect):
		return fmt.Errorf("%w: it redirects to another address, as a node in standby does; give the address of the active one, or of the load balancer", ErrUnavailable)
	case !ok && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)):
		return ErrTimeout
	case !ok:
		return fmt.Errorf("%w: %s", ErrUnreachable, networkReason(err))
	}
	switch status := response.StatusCode; {
	case status == http.StatusForbidden:
		return ErrDenied
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusTooManyRequests:
		return ErrRateLimited
	case status == http.StatusServiceUnavailable && sealed(response.Errors):
		return ErrSealed
	case status >= http.StatusInternalServerError:
		return fmt.Errorf("%w (status %d)", ErrUnavailable, status)
	default:
		return fmt.Errorf("%w (status %d)", ErrRefused, status)
	}
}

// sealed reads Vault's own words, which are all that tells a sealed Vault from
// one in standby in the answer to an ordinary request.
func sealed(words []string) bool {
	for _, w := range words {
		if strings.Contains(w, "sealed") {
			return true
		}
	}
	return false
}

// networkReason keeps the last part of a network error, which has neither URL
// nor header.
func networkReason(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	s := err.Error()
	if len(s) > 128 {
		s = s[:128]
	}
	return s
}

// outage reports whether an error is Vault's state rather than its answer:
// these are worth waiting for, and open the breaker.
func outage(err error) bool {
	for _, e := range []error{ErrUnreachable, ErrTimeout, ErrSealed, ErrUnavailable, ErrRateLimited} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// policyFor is the line that a policy lacks, for the error that says so.
func policyFor(path, capability string) string {
	return fmt.Sprintf(`the policy of this login needs: path %q { capabilities = [%q] }`, path, capability)
}
