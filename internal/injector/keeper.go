package injector

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// keeper keeps an OwnCertificate. It remembers for how long API servers have
// known which CAs: a bundle that could not be written for a while is younger
// than its CA. After a restart the time begins anew, which is the safe way.
type keeper struct {
	OwnCertificate
	bundle []byte    // that was there when we looked, nil if it was not
	since  time.Time // when we first found it there
}

// settled reports whether API servers have had the time to take a bundle over.
// known: it was in the webhook's configuration already.
func (k *keeper) settled(now time.Time, bundle []byte, known bool) bool {
	switch {
	case !known:
		k.bundle = nil
		return false
	case !bytes.Equal(bundle, k.bundle):
		k.bundle, k.since = bundle, now
	}
	return now.Sub(k.since) >= k.Lifetimes.Settle
}

// sync brings Secret, webhook configuration and time together. Every replica
// does so; of several that change the Secret at once the API lets one win, and
// the others see its work at their next look.
func (k *keeper) sync(ctx context.Context, now time.Time) (*tls.Certificate, error) {
	p, version, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	settled := false
	if p.ca != nil {
		known, err := k.Cluster.trust(ctx, k.Webhook, p.bundle())
		if settled = k.settled(now, p.bundle(), known); err != nil {
			return nil, fmt.Errorf("writing caBundle of %s: %w", k.Webhook, err)
		}
	}
	changed, err := p.rotate(now, k.Lifetimes, k.DNSNames, settled)
	if err != nil {
		return nil, err
	}
	if changed {
		if err := k.write(ctx, p, version); err != nil {
			return nil, err
		}
		// A promoted CA was in the bundle before; a new one must get there.
		if _, err := k.Cluster.trust(ctx, k.Webhook, p.bundle()); err != nil {
			return nil, fmt.Errorf("writing caBundle of %s: %w", k.Webhook, err)
		}
	}
	return p.served(), nil
}

func (k *keeper) read(ctx context.Context) (p *pki, version string, err error) {
	var s secret
	if err := k.Cluster.do(ctx, http.MethodGet, secretURL(k.Namespace, k.Name), "", nil, &s); err != nil {
		return nil, "", fmt.Errorf("reading Secret %s/%s: %w", k.Namespace, k.Name, err)
	}
	p, err = readPKI(s.Data)
	if err != nil {
		return nil, "", fmt.Errorf("secret %s/%s: %w", k.Namespace, k.Name, err)
	}
	return p, s.Metadata.ResourceVersion, nil
}

func (k *keeper) write(ctx context.Context, p *pki, version string) error {
	data, err := p.data()
	if err != nil {
		return err
	}
	body := map[string]any{"metadata": map[string]any{"resourceVersion": version}, "data": data}
	if err := k.Cluster.do(ctx, http.MethodPatch, secretURL(k.Namespace, k.Name), mergePatch, body, &struct{}{}); err != nil {
		if failed, ok := errors.AsType[*kubeError](err); ok && failed.code == http.StatusConflict {
			return errors.New("another replica has just changed the certificate; looking again")
		}
		return fmt.Errorf("writing Secret %s/%s: %w", k.Namespace, k.Name, err)
	}
	return nil
}
