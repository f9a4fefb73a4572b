package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a fault spoils.
const (
	OnAnswer = "answer" // of the API
	OnNotify = "notify"
)

// Kinds of faults.
const (
	FaultProbe         = "probe"          // signature is a WECHATPAY/SIGNTEST/ fake
	FaultWrongSerial   = "wrong_serial"   // signed by a key that nobody knows
	FaultSkew          = "skew"           // timestamp is skew away from the clock, truly signed
	FaultFlipBody      = "flip_body"      // one byte of the body changed after signing
	FaultFlipSignature = "flip_signature" // one bit of the signature changed
	FaultUnsigned      = "unsigned"       // no signature headers
	FaultSlow          = "slow"           // delay before anything is sent

	FaultStatus = "status" // answers only: error status; the request is executed only with after
	FaultReset  = "reset"  // answers only: the connection breaks in the middle of the body
	FaultStall  = "stall"  // answers only: delay in the middle of the body

	FaultBadField = "bad_field" // answers only: a sensitive field encrypted for another key
	FaultCorrupt  = "corrupt"   // downloads only: one byte of the file changed
	FaultCut      = "cut"       // downloads only: half of the file, as if it were all

	FaultDuplicate  = "duplicate"    // notifies only: sent twice, the same id
	FaultOutOfOrder = "out_of_order" // notifies only: held until another went out
	FaultDrop       = "drop"         // notifies only: this delivery gets lost
	FaultBadCipher  = "bad_cipher"   // notifies only: truly signed, sealed with another APIv3 key
)

var (
	faultBefore    = []string{FaultSlow, FaultStatus}
	faultAnyAnswer = []string{FaultReset, FaultStall, faultStatusAfter}
	faultSignature = []string{FaultProbe, FaultWrongSerial, FaultSkew, FaultFlipBody, FaultFlipSignature, FaultUnsigned}
	faultFile      = []string{FaultCorrupt, FaultCut}
	faultNotify    = []string{FaultSlow, FaultDuplicate, FaultOutOfOrder, FaultDrop, FaultBadCipher}
)

// faultStatusAfter is FaultStatus with After, among the kinds to take.
const faultStatusAfter = "status after"

// ErrFault: a fault cannot be ordered as described.
var ErrFault = errors.New("bad fault")

// Duration is a time.Duration that reads and writes as text, as in 1m30s.
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Fault is an order to misbehave.
type Fault struct {
	ID   int64  `json:"id"` // given by the simulator
	Kind string `json:"kind"`
	// On is answer or notify. Empty: answer, or notify for kinds that notifies
	// alone have.
	On string `json:"on"`
	// Match is the beginning of what is spoiled: of "METHOD /path?query" for
	// answers, of the event type for notifies. Empty: anything.
	Match string `json:"match,omitempty"`
	// Count is how often. 0: once; negative: until cleared.
	Count  int      `json:"count"`
	Status int      `json:"status,omitempty"` // of FaultStatus. 0: 503
	Code   string   `json:"code,omitempty"`   // of FaultStatus. Empty: WeChat Pay's for the status
	After  bool     `json:"after,omitempty"`  // of FaultStatus: the request is executed first
	Delay  Duration `json:"delay,omitzero"`   // of FaultSlow and FaultStall. 0: 3s
	Skew   Duration `json:"skew,omitzero"`    // of FaultSkew. 0: -301s
}

// forges reports whether a receiver that takes a delivery with this fault does
// not verify.
func (f *Fault) forges() bool {
	return f != nil && (slices.Contains(faultSignature, f.Kind) || f.Kind == FaultBadCipher)
}

const (
	maxFaults = 100
	maxDelay  = time.Minute
)

type faults struct {
	mu sync.Mutex

	list []*Fault
	last int64
}

func newFaults() *faults { return &faults{} }

// Fault orders a fault and returns it with its defaults and ID.
func (s *Sim) Fault(f Fault) (Fault, error) {
	if err := f.complete(); err != nil {
		return Fault{}, err
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if len(s.faults.list) >= maxFaults {
		return Fault{}, fmt.Errorf("%w: %d are waiting already; clear them", ErrFault, maxFaults)
	}
	s.faults.last++
	f.ID = s.faults.last
	s.faults.list = append(s.faults.list, &f)
	return f, nil
}

func (f *Fault) complete() error {
	forNotify := slices.Contains(faultNotify, f.Kind)
	forAnswer := slices.Contains([]string{FaultSlow, FaultStatus, FaultReset, FaultStall, FaultBadField}, f.Kind) || slices.Contains(faultFile, f.Kind)
	if slices.Contains(faultSignature, f.Kind) {
		forNotify, forAnswer = true, true
	}
	if f.On == "" {
		f.On = OnAnswer
		if !forAnswer {
			f.On = OnNotify
		}
	}
	switch {
	case !forNotify && !forAnswer:
		return fmt.Errorf("%w: kind %.64q is none", ErrFault, f.Kind)
	case f.On == OnAnswer && !forAnswer, f.On == OnNotify && !forNotify, f.On != OnAnswer && f.On != OnNotify:
		return fmt.Errorf("%w: kind %s does not go with on %.64q", ErrFault, f.Kind, f.On)
	case f.Delay < 0 || time.Duration(f.Delay) > maxDelay:
		return fmt.Errorf("%w: delay must be between 0 and 1m", ErrFault)
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("%w: status must be between 400 and 599", ErrFault)
	}
	if f.Count == 0 {
		f.Count = 1
	}
	if f.Kind == FaultStatus && f.Status == 0 {
		f.Status = 503
	}
	if (f.Kind == FaultSlow || f.Kind == FaultStall) && f.Delay == 0 {
		f.Delay = Duration(3 * time.Second)
	}
	if f.Kind == FaultSkew && f.Skew == 0 {
		f.Skew = Duration(-301 * time.Second)
	}
	return nil
}

// Faults returns those that still wait to happen.
func (s *Sim) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	list := make([]Fault, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		list = append(list, *f)
	}
	return list
}

// ClearFaults removes all that still wait to happen.
func (s *Sim) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// take returns the first fault that fits, and counts it. The kinds keep a fault
// from being used up where it could have no effect.
func (f *faults) take(on, what string, kinds []string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, o := range f.list {
		kind := o.Kind
		if kind == FaultStatus && o.After {
			kind = faultStatusAfter
		}
		if o.On != on || !slices.Contains(kinds, kind) || !strings.HasPrefix(what, o.Match) {
			continue
		}
		taken := *o
		if o.Count > 0 {
			o.Count--
		}
		if o.Count == 0 {
			f.list = slices.Delete(f.list, i, i+1)
		}
		return &taken
	}
	return nil
}

func faultName(list ...*Fault) string {
	var names []string
	for _, f := range list {
		if f != nil {
			names = append(names, f.Kind)
		}
	}
	return strings.Join(names, ",")
}
