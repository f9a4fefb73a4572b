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
		if err := checkLengths(fmt.Sprintf("/receivers/%d/name", i), to.Name); err != nil {
			return answer{}, err
		}
		to.Name = "" // answers do not have it
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

type receiverRequest struct {
	AppID          string `json:"appid"`
	Type           string `json:"type"`
	Account        string `json:"account"`
	Name           string `json:"name"`
	RelationType   string `json:"relation_type"`
	CustomRelation string `json:"custom_relation"`
}

type receiverView struct {
	Type           string `json:"type"`
	Account        string `json:"account"`
	Name           string `json:"name,omitempty"` // sensitive
	RelationType   string `json:"relation_type"`
	CustomRelation string `json:"custom_relation,omitempty"`
}

// addReceiver takes every receiver; orders do not ask for it.
func (s *Sim) addReceiver(c *call) (answer, error) {
	var r receiverRequest
	if err := decode(c, &r); err != nil {
		return answer{}, err
	}
	switch {
	case r.AppID == "", r.Account == "", r.RelationType == "":
		return answer{}, bodyError("/", "appid, account and relation_type are required")
	case r.Type != "MERCHANT_ID" && r.Type != "PERSONAL_OPENID" && r.Type != "PERSONAL_SUB_OPENID":
		return answer{}, bodyError("/type", "must be MERCHANT_ID, PERSONAL_OPENID or PERSONAL_SUB_OPENID")
	case r.Type == "MERCHANT_ID" && r.Name == "":
		return answer{}, bodyError("/name", "is required of a merchant")
	}
	name, err := s.answerField(c, r.Name)
	if err != nil {
		return answer{}, err
	}
	return ok(receiverView{r.Type, r.Account, name, r.RelationType, r.CustomRelation})
}
