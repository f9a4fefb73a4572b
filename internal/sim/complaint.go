package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// complaint is one of the few that every merchant has; nobody can end them.
type complaint struct {
	ID       string           `json:"complaint_id"`
	Time     string           `json:"complaint_time"`
	Detail   string           `json:"complaint_detail"`
	State    string           `json:"complaint_state"`
	Phone    string           `json:"payer_phone,omitempty"` // sensitive
	Orders   []complaintOrder `json:"complaint_order_info"`
	Refunded bool             `json:"complaint_full_refunded"`
	Answered bool             `json:"incoming_user_response"`
	Times    int              `json:"user_complaint_times"`
}

type complaintOrder struct {
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
	Amount        int64  `json:"amount"`
}

const numComplaints = 3

// complaintOf makes the number-th complaint; the last payer left no phone.
func (s *Sim) complaintOf(c *call, number int) (complaint, error) {
	phone := ""
	if number < numComplaints {
		phone = fmt.Sprintf("1380013800%d", number)
	}
	sealed, err := s.answerField(c, phone)
	return complaint{
		ID: fmt.Sprintf("20020182020010108007661%04d", number), Time: s.timestamp(s.now().Add(-time.Hour)),
		Detail: "没有收到商品", State: "PENDING", Phone: sealed, Times: number,
		Orders: []complaintOrder{{fmt.Sprintf("42000000202001010000000%05d", number), fmt.Sprintf("COMPLAINT%03d", number), 100}},
	}, err
}

func (s *Sim) listComplaints(c *call) (answer, error) {
	for _, name := range []string{"begin_date", "end_date"} {
		if _, err := time.Parse(time.DateOnly, c.query.Get(name)); err != nil {
			return answer{}, paramError("query", name, "must be a date, as 2026-01-31")
		}
	}
	limit, offset := 10, 0
	for name, to := range map[string]*int{"limit": &limit, "offset": &offset} {
		if text := c.query.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 50 {
				return answer{}, paramError("query", name, "must be a number up to 50")
			}
			*to = n
		}
	}
	list := []complaint{}
	for number := 1 + offset; number <= numComplaints && len(list) < limit; number++ {
		one, err := s.complaintOf(c, number)
		if err != nil {
			return answer{}, err
		}
		list = append(list, one)
	}
	return ok(map[string]any{"data": list, "limit": limit, "offset": offset, "total_count": numComplaints})
}

func (s *Sim) queryComplaint(c *call) (answer, error) {
	for number := 1; number <= numComplaints; number++ {
		if fmt.Sprintf("20020182020010108007661%04d", number) == c.vars["complaint_id"] {
			one, err := s.complaintOf(c, number)
			if err != nil {
				return answer{}, err
			}
			return ok(one)
		}
	}
	return answer{}, businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "投诉单不存在", "no such complaint")
}

// searchBank decrypts a card number in the query and finds one bank for all.
func (s *Sim) searchBank(c *call) (answer, error) {
	const name = "account_number"
	sealed := c.query.Get(name)
	if sealed == "" {
		return answer{}, paramError("query", name, "is required")
	}
	number, err := s.decryptField(c, name, sealed)
	if err != nil {
		return answer{}, paramError("query", name, err.reason)
	}
	if len(number) < 8 || len(number) > 32 {
		return answer{}, paramError("query", name, "is not the number of a card")
	}
	return ok(map[string]any{"total_count": 1, "data": []any{map[string]any{
		"bank_alias": "工商银行", "bank_alias_code": "1000009561", "account_bank": "工商银行", "account_bank_code": 1002, "need_bank_branch": false,
	}}})
}
