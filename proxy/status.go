package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Reason says why wxproxy itself, not WeChat Pay, answered the app. It stands
// in the header Wxproxy-Error, and the list is closed.
type Reason string

// The reasons. What each means to the app, and its HTTP status, stands in the
// reasons table below and nowhere else.
const (
	ReasonBadRequest       Reason = "bad_request"
	ReasonForbidden        Reason = "forbidden"
	ReasonMethodNotAllowed Reason = "method_not_allowed"
	ReasonUnknownMerchant  Reason = "unknown_merchant"
	ReasonMerchantMismatch Reason = "merchant_mismatch"
	ReasonBodyTooLarge     Reason = "body_too_large"
	ReasonBadUpload        Reason = "bad_upload"
	ReasonBadField         Reason = "bad_sensitive_field"
	ReasonRateLimited      Reason = "rate_limited"
	ReasonBusy             Reason = "busy"
	ReasonKeyUnavailable   Reason = "key_unavailable"
	ReasonUnreachable      Reason = "upstream_unreachable"
	ReasonTimeout          Reason = "upstream_timeout"
	ReasonBroken           Reason = "upstream_broken"
	ReasonTooLarge         Reason = "response_too_large"
	ReasonUnsigned         Reason = "response_unsigned"
	ReasonSignature        Reason = "response_signature_invalid"
	ReasonStale            Reason = "response_stale"
	ReasonSerialUnknown    Reason = "serial_unknown"
	ReasonKeysNotRefreshed Reason = "platform_keys_unavailable"
	ReasonProbe            Reason = "signtest_probe"
	ReasonDownload         Reason = "download_corrupt"
	ReasonResultUnknown    Reason = "result_unknown"
	ReasonNotFound         Reason = "not_found"
	ReasonBadParameter     Reason = "bad_parameter"
	ReasonDecryptFailed    Reason = "decrypt_failed"
	ReasonNotifyInvalid    Reason = "notify_invalid"
	ReasonInternal         Reason = "internal"
	reasonClientGone       Reason = "client_gone" // for the log only: nobody is left to read it
)

// reasonRow maps a reason to what goes over the wire: the status and the code
// of WeChat Pay's own error shape, so that an app's error handling works.
type reasonRow struct {
	status int
	code   string
}

var reasons = map[Reason]reasonRow{
	ReasonBadRequest:       {http.StatusBadRequest, "INVALID_REQUEST"},
	ReasonForbidden:        {http.StatusForbidden, "NO_AUTH"},
	ReasonMethodNotAllowed: {http.StatusMethodNotAllowed, "INVALID_REQUEST"},
	ReasonUnknownMerchant:  {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonMerchantMismatch: {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonBodyTooLarge:     {http.StatusRequestEntityTooLarge, "INVALID_REQUEST"},
	ReasonBadUpload:        {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonBadField:         {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonRateLimited:      {http.StatusTooManyRequests, "FREQUENCY_LIMITED"},
	ReasonBusy:             {http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE"},
	ReasonKeyUnavailable:   {http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE"},
	ReasonUnreachable:      {http.StatusBadGateway, "SERVICE_UNAVAILABLE"},
	ReasonTimeout:          {http.StatusGatewayTimeout, "SYSTEM_ERROR"},
	ReasonBroken:           {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonTooLarge:         {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonUnsigned:         {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonSignature:        {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonStale:            {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonSerialUnknown:    {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonKeysNotRefreshed: {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonProbe:            {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonDownload:         {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonResultUnknown:    {http.StatusBadGateway, "SYSTEM_ERROR"},
	ReasonNotFound:         {http.StatusNotFound, "RESOURCE_NOT_EXISTS"},
	ReasonBadParameter:     {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonDecryptFailed:    {http.StatusBadRequest, "PARAM_ERROR"},
	ReasonNotifyInvalid:    {http.StatusBadRequest, "SIGN_ERROR"},
	ReasonInternal:         {http.StatusInternalServerError, "SYSTEM_ERROR"},
	reasonClientGone:       {499, "SYSTEM_ERROR"},
}

// Reasons lists what may stand in Wxproxy-Error, sorted, with the status.
func Reasons() map[Reason]int {
	list := make(map[Reason]int, len(reasons))
	for r, row := range reasons {
		if r != reasonClientGone {
			list[r] = row.status
		}
	}
	return list
}

// failure is an answer of our own: what the app is told, and the cause that
// only the log may see.
type failure struct {
	reason  Reason
	message string
	detail  map[string]any
	cause   error
}

// Error implements error.
func (f *failure) Error() string {
	if f.cause != nil {
		return fmt.Sprintf("%s: %v", f.reason, f.cause)
	}
	return fmt.Sprintf("%s: %s", f.reason, f.message)
}

func (f *failure) Unwrap() error { return f.cause }

func (f *failure) status() int { return reasons[f.reason].status }

func fail(reason Reason, format string, args ...any) *failure {
	return &failure{reason: reason, message: fmt.Sprintf(format, args...)}
}

func (f *failure) because(err error) *failure {
	f.cause = err
	return f
}

func (f *failure) with(key string, value any) *failure {
	if f.detail == nil {
		f.detail = make(map[string]any)
	}
	f.detail[key] = value
	return f
}

// write answers in WeChat Pay's error shape. A result that is unknown names
// its cause in a header of its own, so that "failed" is never read into it.
func (f *failure) write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Detail  map[string]any `json:"detail,omitempty"`
	}{reasons[f.reason].code, "wxproxy: " + f.message, f.detail})
	if err != nil {
		body = []byte(`{"code":"SYSTEM_ERROR","message":"wxproxy: internal error"}`)
	}
	h := w.Header()
	h.Set(headerError, string(f.reason))
	if f.reason == ReasonMethodNotAllowed && h.Get("Allow") == "" {
		h.Set("Allow", "GET, POST, PUT, PATCH, DELETE")
	}
	if f.reason == ReasonRateLimited || f.reason == ReasonBusy {
		h.Set("Retry-After", "1")
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.status())
	_, _ = w.Write(body)
}

// unknownResult turns a failure that came after the request was sent into
// "result unknown", unless a repeat is harmless: the call may have been
// executed, and an app that believes it failed may pay twice.
func (f *failure) unknownResult(idempotencyKey string) *failure {
	hint := "ask WeChat Pay what became of it before you repeat it"
	if idempotencyKey != "" {
		hint = "query it, or repeat it with the same " + idempotencyKey + " and the same parameters"
	}
	u := fail(ReasonResultUnknown, "the request was sent, but whether WeChat Pay executed it is unknown: %s; %s", f.message, hint)
	u.detail, u.cause = f.detail, f
	return u
}

// maxOutside bounds every value from outside that reaches a log, an error or a
// header.
const maxOutside = 64

// outside makes such a value printable.
func outside(s string) string {
	if len(s) > maxOutside {
		s = s[:maxOutside]
	}
	if slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c >= 0x7f }) {
		s = strconv.QuoteToASCII(s)
		s = s[1 : len(s)-1]
		if len(s) > maxOutside {
			s = s[:maxOutside]
		}
	}
	return s
}
