package sim

import (
	"crypto/sha256"
	"fmt"
	"net/http"
)

// sharing is a profit sharing order, as far as requests and answers go: no
// amounts are booked.
type sharing struct {
	fingerprint [sha256.Size]byte
	view        sharingView
}

type sharingRequest struct {
	AppID         string            `json:"appid"`
	TransactionID string            `json:"transaction_id"`
	OutOrderNo    string            `json:"out_order_no"`
	Receivers     []sharingReceiver `json:"receivers"`
}

type sharingReceiver struct {
	Type        string `json:"type"`
	Account     string `json:"account"`
	Name        string `json:"name,omitempty"`
	Amount      int64  `json:"amount"`
	Description string `json:"description"`
}

type sharingView struct {
	TransactionID string          `json:"transaction_id"`
	OutOrderNo    string          `json:"out_order_no"`
	OrderID       string          `json:"order_id"`
	State         string          `json:"state"`
	Receivers     []sharingResult `json:"receivers"`
}

type sharingResult struct {
	sharingReceiver
	Result     string `json:"result"`
	CreateTime string `json:"create_time"`
	FinishTime string `json:"finish_time"`
	DetailID   string `json:"detail_id"`
}

func (s *Sim) shareProfit(c *call) (answer, error) {
	var r sharingRequest
	if err := decode(c, &r); err != nil {
		return answer{}, err
	}
	if r.TransactionID == "" || !refundNoPattern.MatchString(r.OutOrderNo) || len(r.Receivers) == 0 || len(r.Receivers) > maxParts {
		return answer{}, bodyError("/", "transaction_id, out_order_no and 1 to 50 receivers are required")
	}
	now := s.timestamp(s.now())
	made := &sharing{fingerprint: fingerprint(c.body), view: sharingView{
		TransactionID: r.TransactionID, OutOrderNo: r.OutOrderNo, OrderID: "3008" + randomDigits(24), State: "PROCESSING",
	}}
	for i, to := range r.Receivers {
		if to.Name != "" {
			if _, err := s.decryptField(c, fmt.Sprintf("/receivers/%d/name", i), to.Name); err != nil {
				return answer{}, err
			}
		}
		to.Name = ""
		if err := checkLengths("/receivers", to.Type, "/receivers", to.Account, "/receivers", to.Description); err != nil {
			return answer{}, err
		}
		made.view.Receivers = append(made.view.Receivers, sharingResult{
			sharingReceiver: to, Result: "PENDING", CreateTime: now, FinishTime: now, DetailID: "3601" + randomDigits(24),
		})
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	o, exists := s.book.transactions.get(joinKey(c.merchant.MchID, r.TransactionID))
	if !exists {
		return answer{}, businessError(http.StatusBadRequest, "INVALID_REQUEST", messageNoOrder, "no such paid order")
	}
	c.entry.OutTradeNo = o.OutTradeNo
	key := joinKey(c.merchant.MchID, r.OutOrderNo)
	if old, exists := s.book.sharings.get(key); exists {
		if old.fingerprint != made.fingerprint {
			return answer{}, businessError(http.StatusBadRequest, "INVALID_REQUEST", "分账单号重复且参数不一致", "out_order_no was used with other parameters")
		}
		made = old
	} else {
		s.book.sharings.put(key, made)
	}
	return ok(made.view)
}

// querySharing finds the shares paid: nobody looks at them in between.
func (s *Sim) querySharing(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	h, exists := s.book.sharings.get(joinKey(c.merchant.MchID, c.vars["out_order_no"]))
	if !exists || c.query.Get("transaction_id") != h.view.TransactionID {
		return answer{}, businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", "记录不存在", "no such profit sharing order")
	}
	h.view.State = "FINISHED"
	for i := range h.view.Receivers {
		h.view.Receivers[i].Result = "SUCCESS"
	}
	return ok(h.view)
}
