package sim

import (
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed help.txt
var help string

const maxCommand = 64 << 10

func isControl(path string) bool { return path == "/_sim" || strings.HasPrefix(path, "/_sim/") }

// control is the API that tells the simulator what to do. It mirrors the
// methods of Sim.
func (s *Sim) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/{$}", s.showOverview)
	mux.HandleFunc("GET /_sim/help", s.showHelp)
	mux.HandleFunc("GET /_sim/log", s.showLog)
	mux.HandleFunc("GET /_sim/pub_key.pem", s.showPublicKey)
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Faults(), nil) })
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		reply(w, s.Faults(), nil)
	})
	mux.HandleFunc("POST /_sim/faults", command(func(f Fault) (any, error) { return s.Fault(f) }))
	mux.HandleFunc("POST /_sim/pay", command(func(in struct {
		OutTradeNo string `json:"out_trade_no"`
	}) (any, error) {
		return done, s.Pay(in.OutTradeNo)
	}))
	mux.HandleFunc("POST /_sim/refund", command(func(in struct {
		OutRefundNo string `json:"out_refund_no"`
		Status      string `json:"status"`
	}) (any, error) {
		return done, s.EndRefund(in.OutRefundNo, orDefault(in.Status, RefundSuccess))
	}))
	mux.HandleFunc("POST /_sim/transfer", command(func(in struct {
		OutBillNo string `json:"out_bill_no"`
		State     string `json:"state"`
	}) (any, error) {
		return done, s.EndTransfer(in.OutBillNo, orDefault(in.State, TransferSuccess))
	}))
	mux.HandleFunc("POST /_sim/rotate", command(func(in struct {
		Step string `json:"step"`
	}) (any, error) {
		return done, s.RotateCertificate(in.Step)
	}))
	mux.HandleFunc("POST /_sim/public-key", command(func(in struct {
		Mode    string  `json:"mode"`
		Percent float64 `json:"percent"`
	}) (any, error) {
		return done, s.UsePublicKey(in.Mode, in.Percent)
	}))
	mux.HandleFunc("POST /_sim/trigger", command(func(in trigger) (any, error) { return in.send(s) }))
	return guard(mux)
}

// trigger is a notify ordered through the control API.
type trigger struct {
	Event    string          `json:"event"`
	To       string          `json:"to"`
	Resource json.RawMessage `json:"resource"`
	MchID    string          `json:"mchid"`
}

func (t trigger) send(s *Sim) (any, error) {
	n := Notice{Event: t.Event, MchID: t.MchID}
	if n.Event == "" {
		return nil, errors.New("event is missing, as in TRANSACTION.SUCCESS")
	}
	if len(t.Resource) > 0 {
		n.Resource = t.Resource
	}
	id, err := s.Notify(t.To, n)
	return map[string]string{"notify_id": id}, err
}

// done answers commands that have nothing to tell.
var done = map[string]bool{"ok": true}

// guard keeps web pages out: what a browser sends for a page carries Origin or
// Sec-Fetch-*, and a page that rebound its name to our address carries that
// name as Host.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") && name != "Sec-Fetch-Mode" { // Node's fetch sends that alone
				refuse(w, http.StatusForbidden, "requests of web pages are refused")
				return
			}
		}
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			refuse(w, http.StatusForbidden, "the control API answers to localhost and loopback addresses only, not to this Host")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// command reads the JSON of an order strictly: a misspelt key must not do
// something else.
func command[T any](do func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCommand))
		d.DisallowUnknownFields()
		var in T
		if err := d.Decode(&in); err != nil {
			refuse(w, http.StatusBadRequest, "reading the command: "+err.Error())
			return
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			refuse(w, http.StatusBadRequest, "something follows the command")
			return
		}
		out, err := do(in)
		reply(w, out, err)
	}
}

func reply(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, ErrUnknown):
		refuse(w, http.StatusNotFound, err.Error())
		return
	case errors.Is(err, ErrState), errors.Is(err, ErrStep):
		refuse(w, http.StatusConflict, err.Error())
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the caller is gone
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

func (s *Sim) showHelp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.ReplaceAll(help, "{base}", "http://"+r.Host))
}

func (s *Sim) showPublicKey(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(publicKeyPEM(s.platform.public))
}

func publicKeyPEM(k *PlatformKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: marshalPublicKey(&k.PrivateKey.PublicKey)})
}

func (s *Sim) showLog(w http.ResponseWriter, r *http.Request) {
	since := int64(0)
	if text := r.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = strconv.ParseInt(text, 10, 64); err != nil {
			refuse(w, http.StatusBadRequest, "since must be the seq of a log entry")
			return
		}
	}
	entries := s.Log(since)
	if entries == nil {
		entries = []Entry{}
	}
	reply(w, entries, nil)
}

// Overview is the state of the simulator at a glance.
type Overview struct {
	Time         time.Time         `json:"time"`
	SpeedUp      float64           `json:"speed_up"`
	Merchants    []MerchantView    `json:"merchants"`
	PublicKeyID  string            `json:"public_key_id"`
	PublicKey    string            `json:"public_key_mode"`
	Percent      float64           `json:"public_key_percent"`
	Certificates []CertificateView `json:"certificates"`
	Orders       int               `json:"orders"`
	Refunds      int               `json:"refunds"`
	Transfers    int               `json:"transfers"`
	Waiting      int               `json:"waiting"` // notifies, refunds and payments to come
	Faults       []Fault           `json:"faults"`
	LastSeq      int64             `json:"last_seq"` // of the log
	Help         string            `json:"help"`
}

// MerchantView names a merchant, without its keys.
type MerchantView struct {
	MchID    string `json:"mchid"`
	SerialNo string `json:"serial_no"`
	AppID    string `json:"appid,omitempty"`
}

// CertificateView is a platform certificate.
type CertificateView struct {
	SerialNo   string    `json:"serial_no"`
	ExpireTime time.Time `json:"expire_time"`
	Signs      bool      `json:"signs"`
}

// Overview returns the state at a glance.
func (s *Sim) Overview() Overview {
	o := Overview{Time: s.now(), SpeedUp: s.courier.speedUp(), Faults: s.Faults(), Waiting: s.agenda.waiting(), Help: "/_sim/help"}
	for i := range s.merchants {
		m := &s.merchants[i]
		o.Merchants = append(o.Merchants, MerchantView{m.MchID, m.serial(), m.AppID})
	}
	s.platform.mu.Lock()
	o.PublicKeyID, o.PublicKey, o.Percent = s.platform.public.ID, orDefault(s.platform.mode, PublicKeyOff), s.platform.percent
	for _, k := range s.platform.certificates {
		o.Certificates = append(o.Certificates, CertificateView{k.ID, k.ExpireTime, k == s.platform.signing})
	}
	s.platform.mu.Unlock()
	s.book.mu.Lock()
	o.Orders, o.Refunds, o.Transfers = len(s.book.orders.items), len(s.book.refunds.items), len(s.book.transfers.items)
	s.book.mu.Unlock()
	s.journal.mu.Lock()
	o.LastSeq = s.journal.last
	s.journal.mu.Unlock()
	return o
}

func (s *Sim) showOverview(w http.ResponseWriter, _ *http.Request) { reply(w, s.Overview(), nil) }
