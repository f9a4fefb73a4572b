package sim

import (
	"crypto/sha1" //nolint:gosec // statements are named by their SHA-1
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// answer is what a handler wants to be sent, before signature and faults.
type answer struct {
	status      int
	body        []byte
	contentType string
	unsigned    bool // downloads
	statement   bool // the signature covers the SHA-1 of the body, in a header
	number      uint32
}

func ok(v any) (answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: body, contentType: "application/json; charset=utf-8"}, nil
}

func noContent() (answer, error) { return answer{status: http.StatusNoContent}, nil }

// refusal is an error in WeChat Pay's shape. It comes unsigned, as observed for
// all 4xx of the real API.
func refusal(e *apiError) answer {
	a := answer{status: e.status, unsigned: true, number: e.number()}
	if e.empty {
		return a
	}
	a.body, _ = json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}{e.code, e.message, e.detail})
	a.contentType = "application/json; charset=utf-8"
	return a
}

// serveAPI is one API request from reading to the log.
func (s *Sim) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := newCall(r)
	f := s.faults.take(OnAnswer, c.method+" "+c.target, faultBefore)
	if f != nil && f.Kind == FaultSlow && !wait(r, time.Duration(f.Delay)) {
		return
	}
	var a answer
	err := s.refuseByFault(f)
	if err == nil {
		a, err = s.judge(w, r, c)
	}
	if err != nil {
		e := asAPIError(err)
		a, c.entry.Reason = refusal(e), e.reason
	}
	s.send(w, r, c, a, f)
}

// judge runs all checks, then the endpoint.
func (s *Sim) judge(w http.ResponseWriter, r *http.Request, c *call) (answer, error) {
	if !strings.HasPrefix(c.target, "/") {
		return answer{}, headerError("INVALID_REQUEST", "请求地址错误", "the request target is not an absolute path")
	}
	t, vars, otherMethod := s.find(c.method, c.path)
	isUpload := t != nil && t.upload
	if t != nil && t.agent {
		if err := checkAgent(c.header); err != nil {
			return answer{}, err
		}
	}
	if otherMethod {
		return answer{}, &apiError{status: http.StatusMethodNotAllowed, code: "405", empty: true, reason: "the endpoint has another method"}
	}
	if err := c.readBody(w, r, isUpload); err != nil {
		return answer{}, err
	}
	if err := s.authorize(c); err != nil {
		return answer{}, err
	}
	if t == nil {
		return answer{}, businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "请求的资源不存在",
			"the simulator does not have this endpoint")
	}
	if err := s.checkSerial(c); err != nil {
		return answer{}, err
	}
	if err := c.checkContent(isUpload); err != nil {
		return answer{}, err
	}
	if err := s.openFields(c, t.sensitive); err != nil {
		return answer{}, err
	}
	c.vars = vars
	return t.handle(c)
}

// send signs the answer, spoils it if a fault says so, and logs it.
func (s *Sim) send(w http.ResponseWriter, r *http.Request, c *call, a answer, before *Fault) {
	allowed := faultAnyAnswer
	switch {
	case !a.unsigned:
		allowed = append(allowed, faultSignature...)
	case a.status == http.StatusOK:
		allowed = append(allowed, faultFile...)
	}
	after := s.faults.take(OnAnswer, c.method+" "+c.target, allowed)
	if err := s.refuseByFault(after); err != nil {
		e := asAPIError(err)
		a, c.entry.Reason = refusal(e), e.reason
	}
	header := w.Header()
	c.entry.RequestID = strings.ToUpper(randomHex(40)) + "-" + strconv.FormatUint(uint64(a.number), 10)
	header.Set(wire.HeaderRequestID, c.entry.RequestID)
	header.Set("Keep-Alive", "timeout="+strconv.Itoa(int(IdleTimeout/time.Second)))
	if a.contentType != "" {
		header.Set("Content-Type", a.contentType)
	}
	body := s.signAnswer(header, c, a, after)
	c.entry.Status, c.entry.Fault = a.status, faultName(before, after)
	c.entry.Verdict = VerdictAccepted
	if a.status >= 300 {
		c.entry.Verdict = VerdictRefused
	}
	s.record(c.entry)
	write(w, r, a.status, body, after)
}

// signAnswer puts the signature into the header, and returns the body that goes
// with it.
func (s *Sim) signAnswer(header http.Header, c *call, a answer, f *Fault) []byte {
	if a.unsigned {
		return spoil(a.body, f)
	}
	text := a.body
	if a.statement {
		sum := sha1.Sum(a.body)
		header.Set(wire.HeaderStatementSHA1, hex.EncodeToString(sum[:]))
		text = []byte(`{"sha1":"` + hex.EncodeToString(sum[:]) + `"}`)
	}
	signature, body := s.sign(s.platform.forAnswer(c.serial), text, f)
	maps.Copy(header, signature)
	switch {
	case !a.statement:
		return body
	case f != nil && f.Kind == FaultFlipBody:
		return flip(a.body)
	default:
		return a.body
	}
}

// write sends the body, whole or as the fault wants it.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte, f *Fault) {
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	half := body
	if f != nil && (f.Kind == FaultReset || f.Kind == FaultStall) {
		half = body[:len(body)/2]
	}
	if _, err := w.Write(half); err != nil || len(half) == len(body) && !isReset(f) {
		return // the caller is gone: there is nobody to tell
	}
	_ = http.NewResponseController(w).Flush()
	if isReset(f) {
		panic(http.ErrAbortHandler) // net/http's way to break a connection off
	}
	if wait(r, time.Duration(f.Delay)) {
		_, _ = w.Write(body[len(half):])
	}
}

func isReset(f *Fault) bool { return f != nil && f.Kind == FaultReset }

// wait reports false when the caller went away first.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// refuseByFault is the error status that a fault asks for.
func (s *Sim) refuseByFault(f *Fault) error {
	if f == nil || f.Kind != FaultStatus {
		return nil
	}
	code, message := f.Code, messageSystem
	switch {
	case code != "":
	case f.Status == http.StatusTooManyRequests:
		code, message = "FREQUENCY_LIMITED", messageFrequency
	case f.Status == http.StatusInternalServerError:
		code = "SYSTEM_ERROR"
	case f.Status > http.StatusInternalServerError:
		code = "SERVICE_UNAVAILABLE"
	default:
		code, message = "INVALID_REQUEST", "请求被模拟故障拒绝"
	}
	return businessError(f.Status, code, message, "fault ordered")
}
