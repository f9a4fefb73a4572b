package sim

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// Notice is the content of a notify.
type Notice struct {
	Event string // event type, as in TRANSACTION.SUCCESS
	// OriginalType of the resource. Empty: what the event table says.
	OriginalType string
	// Summary. Empty: the event's title.
	Summary string
	// Resource becomes the JSON that is encrypted; a json.RawMessage stays as it
	// is. Nil: a sample for the event.
	Resource any
	// OutTradeNo is for the log only.
	OutTradeNo string
	// ID of the notify. Empty: a new one. Retries keep it.
	ID string
	// MchID of the merchant. Empty: the first one.
	MchID string
}

// parcel is a notify on its way.
type parcel struct {
	Notice
	merchant *Merchant
	to       string
	created  string
	plain    []byte
	body     []byte
	retry    []time.Duration // still ahead
	attempt  int             // of the delivery in progress
}

// pack fills in what the notice leaves open and encrypts its resource. The
// result is the same for all attempts; only the signature is made anew.
func (s *Sim) pack(to string, n Notice) (*parcel, error) {
	m := &s.merchants[0]
	if n.MchID != "" {
		if m = s.merchant(n.MchID); m == nil {
			return nil, fmt.Errorf("%w: no merchant %.64q", ErrUnknown, n.MchID)
		}
	}
	event := s.events.Event(n.Event)
	n.OriginalType = orDefault(n.OriginalType, event.OriginalType)
	n.Summary = orDefault(n.Summary, orDefault(event.TitleZh, n.Event))
	n.ID = orDefault(n.ID, randomUUID())
	if n.Resource == nil {
		n.Resource = s.sample(m, event)
	}
	var err error
	plain, given := n.Resource.(json.RawMessage) // byte for byte
	if !given {
		plain, err = json.Marshal(n.Resource)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the resource of %s: %w", n.Event, err)
	}
	p := &parcel{Notice: n, merchant: m, to: to, plain: plain, retry: event.Retry, created: s.timestamp(s.now())}
	p.body, err = p.seal([]byte(m.APIv3Key))
	return p, err
}

// seal makes the body of the notify. The associated data is what WeChat Pay
// uses: the original type.
func (p *parcel) seal(key []byte) ([]byte, error) {
	nonce := randomHex(12)
	ciphertext, err := wire.Seal(key, nonce, p.OriginalType, p.plain)
	if err != nil {
		return nil, fmt.Errorf("encrypting the resource of %s: %w", p.Event, err)
	}
	return json.Marshal(wire.Envelope{
		ID: p.ID, CreateTime: p.created, EventType: p.Event, ResourceType: "encrypt-resource", Summary: p.Summary,
		Resource: wire.Resource{
			OriginalType: p.OriginalType, Algorithm: wire.AlgorithmAESGCM,
			Ciphertext: ciphertext, AssociatedData: p.OriginalType, Nonce: nonce,
		},
	})
}

const maxNotifyURL = 255

// checkNotifyURL judges an address as WeChat Pay does when it is given.
func checkNotifyURL(field, raw string) *apiError {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil:
		return bodyError(field, "must be an http or https URL")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bodyError(field, "must not have a query or fragment")
	case len(raw) > maxNotifyURL:
		return bodyError(field, fmt.Sprintf("must not be longer than %d bytes", maxNotifyURL))
	}
	return nil
}

func checkNotifyBase(raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("%w: notify base %.128q is not like http://127.0.0.1:8443", ErrOptions, raw)
	}
	return nil
}

// destination is where a notify really goes, or why it goes nowhere.
func (s *Sim) destination(notifyURL string) (to, refused string) {
	u, err := url.Parse(notifyURL)
	if err != nil {
		return "", "the notify URL cannot be read"
	}
	if s.opts.NotifyBase != "" {
		return strings.TrimSuffix(s.opts.NotifyBase, "/") + u.EscapedPath(), ""
	}
	if !s.opts.AllowRemoteNotify && !isLoopback(u.Hostname()) && !belowLocalhost(u.Hostname()) {
		return "", "the notify URL is not on this machine; allow remote notifies, or set a notify base"
	}
	return notifyURL, ""
}

// isLoopback wants an address or the reserved name: another name could lead
// anywhere by the time it is used.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
