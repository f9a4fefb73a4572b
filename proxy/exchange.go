package proxy

import (
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// exchange is one request on its way; it is what the log line and the metrics
// are made from.
type exchange struct {
	id        string // request id of ours
	start     time.Time
	caller    *Caller
	merchant  *Merchant
	key       PrivateKey // of the attempt that is made, or was made last
	target    wire.Target
	group     string // of the upstream's hosts
	endpoint  *endpoint.Endpoint
	number    string // out_trade_no and its like
	attempts  int
	read      bool   // the app's body was read to its end
	sent      bool   // the request left, or may have
	doubt     bool   // one before it may have been executed
	before    string // what became of the last attempt that was sent and repeated
	held      int64
	isForm    bool
	began     time.Time // what the call's time counts from: start, or the end of an upload's reading
	upload    *upload   // nil: the body is not a form, or was not begun
	answered  int64     // of held, the answer's part
	beyond    bool      // it has the turn to take more than in_flight
	answer    *http.Response
	body      []byte // of a verified answer
	verified  string // what Wxproxy-Verified says
	watch     *watchdog
	streaming bool    // the header of a download is out: errors can only break it
	rewritten bool    // the answer's body was changed for the app
	base      string  // scheme and host by which the caller reached us
	decrypt   bool    // the caller wants encrypted bills decrypted
	encrypted bool    // though it wants that, a link leads to an encrypted file
	promise   promise // what the link of a download carries
	checked   string  // what Wxproxy-Checked says
	untouched bool    // the caller verifies the answer itself: no byte of it may change
	hints     string  // what Wxproxy-Hint says
	local     int     // status of an answer that is all ours; zero: it is WeChat Pay's or an error

	fieldsAlone bool   // the caller encrypts and decrypts sensitive fields itself
	sensitive   string // what Wxproxy-Sensitive says of the answer; empty: nothing
}

// watchdog ends a call that takes too long. A context's own deadline could not
// be put off when a long download begins.
type watchdog struct {
	timer *time.Timer
	limit time.Duration
}

func (d *watchdog) progress() { d.timer.Reset(d.limit) }
func (d *watchdog) stop()     { d.timer.Stop() }
