package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/wxproxy/wxproxy/internal/secret"
)

var (
	// ErrUnreachable: no answer from Vault.
	ErrUnreachable error = outageError("Vault is unreachable")
	// ErrTimeout: no answer in time.
	ErrTimeout error = outageError("Vault did not answer in time")
	// ErrSealed: Vault is sealed.
	ErrSealed error = outageError("Vault is sealed")
	// ErrUnavailable: Vault is starting or in standby.
	ErrUnavailable error = outageError("Vault is not available")
	// ErrInternal: Vault failed at this one request.
	ErrInternal error = outageError("Vault has an internal error")
	// ErrRateLimited: Vault wants fewer requests.
	ErrRateLimited error = outageError("Vault limits the rate of requests; raise its quota for them, or vault.refresh")
	// ErrDenied: the token may not do this, or is no longer valid.
	ErrDenied = errors.New("Vault denies it")
	// ErrRefused: Vault finds the request itself wrong.
	ErrRefused = errors.New("Vault refuses the request")
	// ErrLogin: Vault does not let us in.
	ErrLogin = errors.New("login to Vault failed")
	// ErrNotFound: there is nothing at the path.
	ErrNotFound = errors.New("there is nothing at this path in Vault")
	// ErrDeleted: the newest version of the secret was deleted, and can be had back.
	ErrDeleted = errors.New("the newest version of this secret was deleted")
	// ErrDestroyed: the newest version of the secret is gone for good.
	ErrDestroyed = errors.New("the newest version of this secret was destroyed")
	// ErrNoField: the secret has no such field.
	ErrNoField = errors.New("the secret has no such field")
	// ErrField: the field is not a text.
	ErrField = errors.New("the field is not a text")
	// ErrNotKV: the mount holds no secrets to read.
	ErrNotKV = errors.New("a vault: reference needs a mount of type kv")
	// ErrKeyType: the key is not RSA of at least 2048 bits.
	ErrKeyType = errors.New("the key is not RSA of 2048 bits or more")
	// ErrVersion: the key has no such version, or none that fits.
	ErrVersion = errors.New("the key has no such version")
	// ErrMinVersion: the version of the key is too old to sign.
	ErrMinVersion = errors.New("the key's min_encryption_version forbids this version")
	// ErrSignature: what Vault returned is not a signature of the key.
	ErrSignature = errors.New("Vault returned no valid signature")
	// ErrBroken: too many requests failed, so none is made for a moment.
	ErrBroken error = outageError("Vault failed repeatedly; waiting a moment before the next try")
)

var (
	// ErrAnswer: what answers does not speak as Vault does.
	ErrAnswer error = outageError("what answers at vault.address is not Vault, or something between us changes its answers")
	// ErrBusy: all connections are in use by other signatures.
	ErrBusy = errors.New("no connection to Vault became free in time; allow more with vault.connections")

	// errGaveUp: the caller has no time left; that says nothing of Vault.
	errGaveUp = errors.New("no time was left to wait for Vault")
	// errRedirect: Vault sends us elsewhere, as a node in standby does.
	errRedirect = errors.New("redirected")
	errTooLarge = errors.New("the answer is too large")
)

// gaveUp reports whether it was the caller who ended a request.
func gaveUp(err error) bool { return errors.Is(err, errGaveUp) || errors.Is(err, context.Canceled) }

// explain turns an error of vault/api into one of ours. Texts of Vault are not
// repeated: they are outside words, and can hold paths of other tenants.
func explain(ctx context.Context, err error) error {
	response, ok := errors.AsType[*api.ResponseError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrTimeout):
		return errGaveUp
	case errors.Is(err, errRedirect):
		return fmt.Errorf("%w: it redirects to another address, as a node in standby does; give the address of the active one, or of the load balancer", ErrUnavailable)
	case !ok && (ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)):
		return ErrTimeout
	case !ok && notVault(err):
		return ErrAnswer
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
	case status == http.StatusServiceUnavailable && saying(response.Errors, "sealed"):
		return ErrSealed
	case status == http.StatusInternalServerError && saying(response.Errors, "minimum encryption key version"):
		return ErrMinVersion
	case status == http.StatusInternalServerError:
		return fmt.Errorf("%w (status %d)", ErrInternal, status)
	case status > http.StatusInternalServerError:
		return fmt.Errorf("%w (status %d)", ErrUnavailable, status)
	default:
		return fmt.Errorf("%w (status %d)", ErrRefused, status)
	}
}

// notVault reports whether there was an answer, of another kind.
func notVault(err error) bool {
	if errors.Is(err, errTooLarge) {
		return true
	}
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind
}

// saying looks into Vault's own words, where nothing else tells one cause from
// another: a sealed Vault from one in standby, a key from Vault's own trouble.
func saying(words []string, what string) bool {
	for _, w := range words {
		if strings.Contains(w, what) {
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
	return clip(err.Error())
}

// clip shortens outside words for messages.
func clip(s string) string { return s[:min(len(s), 128)] }

// outageError is Vault's state rather than its answer: it is worth waiting
// for.
type outageError string

func (e outageError) Error() string { return string(e) }

// Is makes every one of them secret.ErrOutage to those who know no Vault.
func (outageError) Is(target error) bool { return target == secret.ErrOutage }

func outage(err error) bool { return errors.Is(err, secret.ErrOutage) }

// down reports whether the next request would fare no better, whatever it is
// for: these open the breakers that all share. A Vault that limits the rate
// takes others, and one with an internal error may have it with one key alone.
func down(err error) bool {
	return isOne(err, ErrUnreachable, ErrTimeout, ErrSealed, ErrUnavailable, ErrAnswer)
}

// stuck reports whether a key fails by itself, in a way that Vault calls its
// own error, so that each try is made several times.
func stuck(err error) bool { return isOne(err, ErrInternal, ErrMinVersion) }

// Unfit reports whether Vault gave what was asked for, and it cannot be used.
// It says nothing of how old the last good value is.
func Unfit(err error) bool { return isOne(err, ErrVersion, ErrKeyType, ErrMinVersion, ErrField) }

func isOne(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(e error) bool { return errors.Is(err, e) })
}

// policyFor is the line that a policy lacks, for the error that says so.
func policyFor(path, capability string) string {
	return fmt.Sprintf(`the policy of this login needs: path %q { capabilities = [%q] }`, path, capability)
}
