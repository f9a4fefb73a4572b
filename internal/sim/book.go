package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"
)

// Bounds of what is remembered; the oldest is forgotten first.
const (
	maxOrders = 10_000
	maxNonces = 20_000
	maxTokens = 1_000
)

// book holds the state of the business: orders, refunds and the rest. Values
// on its shelves are read and changed under mu only.
type book struct {
	mu sync.Mutex

	orders       *shelf[*order]    // by merchant and out_trade_no
	transactions *shelf[*order]    // by merchant and transaction_id
	combined     *shelf[*combined] // by merchant and combine_out_trade_no
	refunds      *shelf[*refund]   // by merchant and out_refund_no
	transfers    *shelf[*transfer] // by merchant and out_bill_no
	transferIDs  *shelf[*transfer] // by merchant and transfer_bill_no
	batches      *shelf[*batch]    // by merchant and out_batch_no
	sharings     *shelf[*sharing]  // by merchant and out_order_no
	files        *shelf[*file]     // by token
	nonces       *shelf[struct{}]  // by merchant and nonce
}

func newBook() *book {
	return &book{
		orders:       newShelf[*order](maxOrders),
		transactions: newShelf[*order](maxOrders),
		combined:     newShelf[*combined](maxOrders),
		refunds:      newShelf[*refund](maxOrders),
		transfers:    newShelf[*transfer](maxOrders),
		transferIDs:  newShelf[*transfer](maxOrders),
		batches:      newShelf[*batch](maxTokens),
		sharings:     newShelf[*sharing](maxOrders),
		files:        newShelf[*file](maxTokens),
		nonces:       newShelf[struct{}](maxNonces),
	}
}

// repeated reports whether the merchant used the nonce before, and remembers it.
func (b *book) repeated(mchID, nonce string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := joinKey(mchID, nonce)
	if _, ok := b.nonces.get(key); ok {
		return true
	}
	b.nonces.put(key, struct{}{})
	return false
}

// joinKey separates by a byte that neither a merchant number nor the names
// behind it can have.
func joinKey(mchID, name string) string { return mchID + "\x00" + name }

// shelf is a map that forgets its oldest entry when it is full.
type shelf[T any] struct {
	items  map[string]T
	keys   []string // a ring when full, the oldest at oldest
	oldest int
	limit  int
}

func newShelf[T any](limit int) *shelf[T] {
	return &shelf[T]{items: make(map[string]T), limit: limit}
}

func (s *shelf[T]) get(key string) (T, bool) {
	v, ok := s.items[key]
	return v, ok
}

func (s *shelf[T]) put(key string, v T) {
	_, exists := s.items[key]
	s.items[key] = v
	if exists {
		return
	}
	if len(s.keys) < s.limit {
		s.keys = append(s.keys, key)
		return
	}
	delete(s.items, s.keys[s.oldest])
	s.keys[s.oldest] = key
	s.oldest = (s.oldest + 1) % s.limit
}

// fingerprint tells whether two bodies have the same parameters, whatever the
// order of their keys.
func fingerprint(body []byte) [sha256.Size]byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return sha256.Sum256(body)
	}
	canonical, err := json.Marshal(v)
	if err != nil {
		canonical = body
	}
	return sha256.Sum256(canonical)
}

// beijing is where WeChat Pay's times are; they carry +08:00.
var beijing = time.FixedZone("CST", 8*60*60)

func (s *Sim) timestamp(t time.Time) string { return t.In(beijing).Format(time.RFC3339) }
