package proxy

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// outcome says what became of a notify; it is a metric label, and the table
// below is the one place that maps it to what WeChat Pay is told.
type outcome string

const (
	outcomeDelivered   outcome = "delivered"
	outcomeDuplicate   outcome = "duplicate"
	outcomeNotFound    outcome = "not_found"
	outcomeMethod      outcome = "method_not_allowed"
	outcomeSource      outcome = "source_refused"
	outcomeRate        outcome = "rate_limited"
	outcomeTooLarge    outcome = "too_large"
	outcomeIncomplete  outcome = "body_incomplete"
	outcomeCrowded     outcome = "crowded_out"
	outcomeUnsigned    outcome = "unsigned"
	outcomeHeaders     outcome = "bad_headers"
	outcomeType        outcome = "signature_type"
	outcomeStale       outcome = "stale"
	outcomeSignature   outcome = "bad_signature"
	outcomeProbe       outcome = "signtest_probe"
	outcomeSerial      outcome = "serial_unknown"
	outcomeKeys        outcome = "platform_keys_unavailable"
	outcomeEnvelope    outcome = "bad_envelope"
	outcomeDecrypt     outcome = "decrypt_failed"
	outcomeCipher      outcome = "cipher_unsupported"
	outcomeMerchant    outcome = "merchant_mismatch"
	outcomeNoRoute     outcome = "no_route"
	outcomeBusy        outcome = "busy"
	outcomeAppRefused  outcome = "app_refused"
	outcomeUnreachable outcome = "app_unreachable"
	outcomeAppTimeout  outcome = "app_timeout"
	outcomeKeyMissing  outcome = "key_unavailable"
)

// Sentences for the public side. They are the same for causes that a stranger
// shall not tell apart.
const (
	sentenceSignature = "signature verification failed"
	sentenceLater     = "not taken, send it again"
)

// replies holds the status and the sentence of every outcome that is not a
// success. Whatever WeChat Pay shall send again is a 5xx.
var replies = map[outcome]struct {
	status   int
	sentence string
}{
	outcomeNotFound:    {http.StatusNotFound, "not found"},
	outcomeMethod:      {http.StatusMethodNotAllowed, "method not allowed"},
	outcomeSource:      {http.StatusForbidden, "forbidden"},
	outcomeRate:        {http.StatusServiceUnavailable, sentenceLater},
	outcomeTooLarge:    {http.StatusRequestEntityTooLarge, "too large"},
	outcomeIncomplete:  {http.StatusBadRequest, "body incomplete"},
	outcomeCrowded:     {http.StatusServiceUnavailable, sentenceLater},
	outcomeUnsigned:    {http.StatusUnauthorized, sentenceSignature},
	outcomeHeaders:     {http.StatusUnauthorized, sentenceSignature},
	outcomeType:        {http.StatusUnauthorized, sentenceSignature},
	outcomeStale:       {http.StatusUnauthorized, sentenceSignature},
	outcomeSignature:   {http.StatusUnauthorized, sentenceSignature},
	outcomeProbe:       {http.StatusUnauthorized, sentenceSignature},
	outcomeSerial:      {http.StatusUnauthorized, sentenceSignature},
	outcomeKeys:        {http.StatusServiceUnavailable, sentenceLater},
	outcomeEnvelope:    {http.StatusInternalServerError, sentenceLater},
	outcomeDecrypt:     {http.StatusInternalServerError, sentenceLater},
	outcomeCipher:      {http.StatusInternalServerError, sentenceLater},
	outcomeMerchant:    {http.StatusInternalServerError, sentenceLater},
	outcomeNoRoute:     {http.StatusServiceUnavailable, sentenceLater},
	outcomeBusy:        {http.StatusServiceUnavailable, sentenceLater},
	outcomeAppRefused:  {http.StatusBadGateway, sentenceLater},
	outcomeUnreachable: {http.StatusBadGateway, sentenceLater},
	outcomeAppTimeout:  {http.StatusServiceUnavailable, sentenceLater},
	outcomeKeyMissing:  {http.StatusServiceUnavailable, sentenceLater},
}

// charged reports whether an outcome is charged to its source: whatever was not
// verified, but for WeChat Pay's own probes, which cost us nothing, and for want
// of room, which says nothing of who came.
func (o outcome) charged() bool {
	switch o {
	case outcomeIncomplete, outcomeTooLarge,
		outcomeUnsigned, outcomeHeaders, outcomeType, outcomeStale, outcomeSignature, outcomeSerial, outcomeKeys:
		return true
	default:
		return false
	}
}

func verifyOutcome(err error) outcome {
	for _, row := range []struct {
		err error
		o   outcome
	}{
		{verifier.ErrUnsigned, outcomeUnsigned}, {verifier.ErrSignatureType, outcomeType}, {verifier.ErrHeaders, outcomeHeaders}, {verifier.ErrStale, outcomeStale},
		{verifier.ErrProbe, outcomeProbe}, {verifier.ErrSignature, outcomeSignature}, {verifier.ErrSerialUnknown, outcomeSerial},
	} {
		if errors.Is(err, row.err) {
			return row.o
		}
	}
	return outcomeKeys // not verified, but not proved wrong: WeChat Pay shall send it again
}

func bodyOutcome(err error) outcome {
	switch {
	case errors.Is(err, errTooLarge):
		return outcomeTooLarge
	case errors.Is(err, errCrowded):
		return outcomeCrowded
	default:
		return outcomeIncomplete
	}
}

func openOutcome(err error) outcome {
	switch {
	case errors.Is(err, errNoAPIv3Key):
		return outcomeKeyMissing
	case errors.Is(err, errMchID), errors.Is(err, errAmbiguous):
		return outcomeMerchant
	case errors.Is(err, wire.ErrAlgorithm):
		return outcomeCipher
	case errors.Is(err, wire.ErrEnvelope):
		return outcomeEnvelope
	default:
		return outcomeDecrypt
	}
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if bodyAllowed(status) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
