package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
)

// Shop is the app of the demo. It makes plain HTTP calls and takes plain JSON;
// of signatures, certificates and encryption it knows nothing. This file
// imports no cryptography and nothing of wxproxy, and a test keeps it so.
type Shop struct {
	MchID     string       // merchant number
	NotifyURL string       // where WeChat Pay shall report payments and refunds
	Client    *http.Client // plain; nil: http.DefaultClient

	mu     sync.Mutex
	orders map[string]Order
	events []Event
	news   chan struct{} // closed and replaced when an event comes
}

// States of an order, as the shop sees it.
const (
	Unpaid   = "unpaid"
	Paid     = "paid"
	Refunded = "refunded"
)

// Order is what the shop knows of one order.
type Order struct {
	Number string `json:"out_trade_no"`
	Fen    int64  `json:"fen"` // price in hundredths of a yuan
	State  string `json:"state"`
}

// Amount is money in fen.
type Amount struct {
	Total    int64  `json:"total,omitempty"`
	Refund   int64  `json:"refund,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// Reply holds what the shop reads of WeChat Pay's answers.
type Reply struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	PrepayID   string `json:"prepay_id"`
	TradeState string `json:"trade_state"`
	Status     string `json:"status"`
	Amount     Amount `json:"amount"`
}

// Answer is an HTTP answer as the shop got it.
type Answer struct {
	Sent   []byte // body of the request
	Status int
	Header http.Header
	Body   []byte
	Reply  Reply // of Body; zero if that is no JSON
}

// Event is a notify as it arrives at the shop: plain JSON.
type Event struct {
	ID       string `json:"id"`
	Type     string `json:"event_type"`
	Resource struct {
		OutTradeNo   string `json:"out_trade_no"`
		TradeState   string `json:"trade_state"`
		OutRefundNo  string `json:"out_refund_no"`
		RefundStatus string `json:"refund_status"`
		Amount       Amount `json:"amount"`
	} `json:"resource"`
	Body []byte `json:"-"` // as it came
}

// Who pays, and in which mini program. The simulator takes any.
const (
	AppID  = "wxd678efh567hg6787"
	OpenID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
)

type prepayBody struct {
	AppID       string            `json:"appid"`
	MchID       string            `json:"mchid"`
	Description string            `json:"description"`
	OutTradeNo  string            `json:"out_trade_no"`
	NotifyURL   string            `json:"notify_url"`
	Amount      Amount            `json:"amount"`
	Payer       map[string]string `json:"payer"`
}

// Prepay orders a payment at the API under base.
func (s *Shop) Prepay(ctx context.Context, base, number string, fen int64) (Answer, error) {
	body, err := json.Marshal(prepayBody{
		AppID: AppID, MchID: s.MchID, Description: "tea", OutTradeNo: number, NotifyURL: s.NotifyURL,
		Amount: Amount{Total: fen, Currency: "CNY"}, Payer: map[string]string{"openid": OpenID},
	})
	if err != nil {
		return Answer{}, err
	}
	a, err := s.call(ctx, http.MethodPost, base+"/v3/pay/transactions/jsapi", body)
	if err == nil && a.Reply.PrepayID != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.keep(Order{Number: number, Fen: fen, State: Unpaid})
	}
	return a, err
}

// Query asks what became of an order.
func (s *Shop) Query(ctx context.Context, base, number string) (Answer, error) {
	return s.call(ctx, http.MethodGet, base+"/v3/pay/transactions/out-trade-no/"+number+"?mchid="+s.MchID, nil)
}

// Refund gives an order's money back.
func (s *Shop) Refund(ctx context.Context, base, number string, fen int64) (Answer, error) {
	body, err := json.Marshal(map[string]any{
		"out_trade_no": number, "out_refund_no": "R-" + number, "notify_url": s.NotifyURL,
		"amount": Amount{Total: fen, Refund: fen, Currency: "CNY"},
	})
	if err != nil {
		return Answer{}, err
	}
	return s.call(ctx, http.MethodPost, base+"/v3/refund/domestic/refunds", body)
}

func (s *Shop) call(ctx context.Context, method, url string, body []byte) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(http.MaxBytesReader(nil, resp.Body, 1<<20)); err != nil {
		return Answer{}, err
	}
	a := Answer{Sent: body, Status: resp.StatusCode, Header: resp.Header, Body: content.Bytes()}
	_ = json.Unmarshal(a.Body, &a.Reply) // an answer that is no JSON has no reply
	return a, nil
}

// Handler serves the shop's own port: POST /notify takes events, GET /orders
// shows what the shop knows.
func (s *Shop) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /notify", s.takeEvent)
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Orders())
	})
	return mux
}

func (s *Shop) takeEvent(w http.ResponseWriter, r *http.Request) {
	var content bytes.Buffer
	var e Event
	if _, err := content.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil || json.Unmarshal(content.Bytes(), &e) != nil {
		http.Error(w, "not plain JSON", http.StatusBadRequest)
		return
	}
	e.Body = content.Bytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	o := s.orders[e.Resource.OutTradeNo]
	switch {
	case o.Number == "": // not ours
	case e.Type == "TRANSACTION.SUCCESS" && e.Resource.TradeState == "SUCCESS":
		o.State = Paid
		s.keep(o)
	case e.Type == "REFUND.SUCCESS" && e.Resource.RefundStatus == "SUCCESS":
		o.State = Refunded
		s.keep(o)
	}
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
	w.WriteHeader(http.StatusNoContent)
}

// keep stores an order; the caller holds mu.
func (s *Shop) keep(o Order) {
	if s.orders == nil {
		s.orders = make(map[string]Order)
	}
	s.orders[o.Number] = o
}

// Orders returns all orders by number.
func (s *Shop) Orders() map[string]Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make(map[string]Order, len(s.orders))
	maps.Copy(list, s.orders)
	return list
}

// State is the state of an order, empty for one that the shop does not have.
func (s *Shop) State(number string) string { return s.Orders()[number].State }

// Arrivals counts how often the event with that id has arrived.
func (s *Shop) Arrivals(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if e.ID == id {
			n++
		}
	}
	return n
}

// Events returns the events from the one numbered since on, as they arrived,
// and a channel that closes at the next.
func (s *Shop) Events(since int) ([]Event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return append([]Event(nil), s.events[since:]...), s.news
}
