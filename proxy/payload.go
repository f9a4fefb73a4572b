package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// opened is a notify that was verified and decrypted.
type opened struct {
	merchant *Merchant
	envelope wire.Envelope
	resource []byte // plaintext
	raw      []byte // the body as it came
	header   http.Header

	sensitive string // what Wxproxy-Sensitive says of the resource; empty: nothing
}

var errNotJSON = errors.New("the decrypted resource is not a JSON object")

// payload writes the notify for the app. The resource's own bytes go in as
// they are: numbers and unknown fields keep their exact text.
func (n *opened) payload(form BodyForm) (body []byte, contentType string, err error) {
	const plain = "application/json; charset=utf-8"
	e := n.envelope
	switch form {
	case BodyRaw:
		return n.raw, plain, nil
	case BodyResource:
		return n.resource, plain, nil
	case BodyCloudEvents:
		fields := []field{
			{"specversion", "1.0"}, {"id", e.ID}, {"source", n.merchant.source()},
			{"type", "cn.wechatpay." + e.EventType}, {"datacontenttype", "application/json"},
		}
		if _, err := time.Parse(time.RFC3339, e.CreateTime); err == nil {
			fields = append(fields, field{"time", e.CreateTime})
		}
		body, err = object(fields, "data", n.resource)
		return body, "application/cloudevents+json; charset=utf-8", err
	default:
		body, err = object([]field{
			{"id", e.ID}, {"create_time", e.CreateTime}, {"event_type", e.EventType}, {"resource_type", e.ResourceType},
			{"original_type", e.Resource.OriginalType}, {"summary", e.Summary},
			{"merchant", n.merchant.Name}, {wire.IDName(n.merchant.scheme()), n.merchant.MchID},
		}, "resource", n.resource)
		return body, plain, err
	}
}

// source names who a CloudEvent is from.
func (m *Merchant) source() string {
	if m.isBrand() {
		return "/wechatpay/brands/" + m.MchID
	}
	return "/wechatpay/merchants/" + m.MchID
}

type field struct{ name, value string }

// object writes strings and one raw JSON object. encoding/json would compact
// the raw part, so it is put together here.
func object(fields []field, rawName string, raw []byte) ([]byte, error) {
	if !json.Valid(raw) || !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, errNotJSON
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range fields {
		b.WriteString(`"` + f.name + `":`)
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(f.value); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		b.Truncate(b.Len() - 1) // Encode ends with a line feed
		b.WriteByte(',')
	}
	b.WriteString(`"` + rawName + `":`)
	b.Write(raw)
	b.WriteByte('}')
	return b.Bytes(), nil
}

// rawHeaders are those an app needs that verifies and decrypts for itself.
var rawHeaders = []string{
	wire.HeaderTimestamp, wire.HeaderNonce, wire.HeaderSignature, wire.HeaderSerial, wire.HeaderSignatureType, wire.HeaderRequestID,
}

// headers are those of a delivery. They are made new: nothing that came from
// outside gets in but the raw form's own.
func (n *opened) headers(form BodyForm, contentType string) http.Header {
	h := make(http.Header)
	if form == BodyRaw {
		for _, name := range rawHeaders {
			if v := n.header.Get(name); v != "" {
				h.Set(name, v)
			}
		}
	}
	h.Set("Content-Type", contentType)
	h.Set("User-Agent", userAgent)
	h.Set(headerEventID, outside(n.envelope.ID))
	h.Set(headerEventType, outside(n.envelope.EventType))
	h.Set(headerMerchant, n.merchant.Name)
	if n.sensitive != "" {
		h.Set(headerSensitive, n.sensitive)
	}
	h.Set("Idempotency-Key", n.idempotencyKey())
	return h
}

// idempotencyKey is the notify's id; an id that no header can hold whole is
// hashed instead of cut, so that two never become one.
func (n *opened) idempotencyKey() string {
	if id := n.envelope.ID; outside(id) == id && !strings.ContainsAny(id, " ,") {
		return id
	}
	sum := sha256.Sum256([]byte(n.envelope.ID))
	return hex.EncodeToString(sum[:])
}

// ErrWebhookSecret: not a Standard Webhooks secret.
var ErrWebhookSecret = errors.New("not a webhook secret: expected whsec_ and the base64 of 24 to 64 random bytes")

// CheckWebhookSecret reports whether a secret can sign deliveries.
func CheckWebhookSecret(v secret.Value) error {
	_, err := webhookKey(v)
	return err
}

func webhookKey(v secret.Value) ([]byte, error) {
	text := strings.TrimPrefix(strings.TrimSpace(string(v.Bytes())), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, ErrWebhookSecret
	}
	return key, nil
}

// signWebhook adds the Standard Webhooks signature: HMAC-SHA256 over id,
// timestamp and body, joined by dots.
func signWebhook(h http.Header, v secret.Value, id string, now time.Time, body []byte) error {
	key, err := webhookKey(v)
	if err != nil {
		return err
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}
