package sim

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

// States of a transfer to a customer.
const (
	transferWaiting = "WAIT_USER_CONFIRM"
	TransferSuccess = "SUCCESS"
	TransferFail    = "FAIL"
)

// transferNameFrom is the amount in fen from which the payee's name is required.
const transferNameFrom = 200_000

type transferRequest struct {
	AppID           string `json:"appid"`
	OutBillNo       string `json:"out_bill_no"`
	TransferSceneID string `json:"transfer_scene_id"`
	OpenID          string `json:"openid"`
	UserName        string `json:"user_name"`
	TransferAmount  int64  `json:"transfer_amount"`
	TransferRemark  string `json:"transfer_remark"`
	NotifyURL       string `json:"notify_url"`
}

type transfer struct {
	transferRequest
	fingerprint [sha256.Size]byte
	merchant    *Merchant
	id          string
	state       string
	createdAt   time.Time
	updatedAt   time.Time
	packageInfo string
}

type transferView struct {
	MchID          string `json:"mch_id,omitempty"`
	OutBillNo      string `json:"out_bill_no"`
	TransferBillNo string `json:"transfer_bill_no"`
	AppID          string `json:"appid,omitempty"`
	State          string `json:"state"`
	TransferAmount int64  `json:"transfer_amount,omitempty"`
	TransferRemark string `json:"transfer_remark,omitempty"`
	FailReason     string `json:"fail_reason,omitempty"`
	OpenID         string `json:"openid,omitempty"`
	UserName       string `json:"user_name,omitempty"` // sensitive; in answers alone
	CreateTime     string `json:"create_time"`
	UpdateTime     string `json:"update_time,omitempty"`
	PackageInfo    string `json:"package_info,omitempty"`
}

var billNoPattern = regexp.MustCompile(`^[0-9A-Za-z]{1,32}$`)

func (s *Sim) transfer(c *call) (answer, error) {
	now := s.now()
	t := &transfer{fingerprint: fingerprint(c.body), merchant: c.merchant, state: transferWaiting, createdAt: now, updatedAt: now}
	if err := decode(c, &t.transferRequest); err != nil {
		return answer{}, err
	}
	c.entry.OutTradeNo = cut(t.OutBillNo, 64)
	if err := t.check(); err != nil {
		return answer{}, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	key := joinKey(c.merchant.MchID, t.OutBillNo)
	old, exists := s.book.transfers.get(key)
	if exists && old.fingerprint != t.fingerprint {
		return answer{}, businessError(http.StatusBadRequest, "PARAM_ERROR", "商户单号已存在，重入参数不一致", "out_bill_no was used with other parameters")
	}
	if exists {
		t = old
	} else {
		t.id = "133" + now.In(beijing).Format("20060102") + randomDigits(20)
		t.packageInfo = randomHex(40)
		s.book.transfers.put(key, t)
		s.book.transferIDs.put(joinKey(c.merchant.MchID, t.id), t)
	}
	return ok(transferView{
		OutBillNo: t.OutBillNo, TransferBillNo: t.id, State: t.state,
		CreateTime: s.timestamp(t.createdAt), PackageInfo: t.packageInfo,
	})
}

func (t *transfer) check() *apiError {
	switch {
	case t.AppID == "", t.TransferSceneID == "", t.OpenID == "", t.TransferRemark == "":
		return bodyError("/", "appid, transfer_scene_id, openid and transfer_remark are required")
	case !billNoPattern.MatchString(t.OutBillNo):
		return bodyError("/out_bill_no", "must have 1 to 32 of 0-9 A-Z a-z")
	case t.TransferAmount < 1:
		return bodyError("/transfer_amount", "must be at least 1, in fen")
	case t.UserName == "" && t.TransferAmount >= transferNameFrom:
		return bodyError("/user_name", "is required from 2000 yuan on")
	}
	if t.NotifyURL != "" {
		if err := checkNotifyURL("/notify_url", t.NotifyURL); err != nil {
			return err
		}
	}
	return checkLengths("/user_name", t.UserName, "/appid", t.AppID, "/transfer_scene_id", t.TransferSceneID, "/openid", t.OpenID, "/transfer_remark", t.TransferRemark)
}

func (s *Sim) queryTransfer(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	shelf, number := s.book.transfers, c.vars["out_bill_no"]
	if number == "" {
		shelf, number = s.book.transferIDs, c.vars["transfer_bill_no"]
	}
	t, exists := shelf.get(joinKey(c.merchant.MchID, number))
	if !exists {
		return answer{}, businessError(http.StatusNotFound, "NOT_FOUND", "记录不存在", "no such transfer")
	}
	c.entry.OutTradeNo = t.OutBillNo
	v := s.transferView(t)
	var err error
	if v.UserName, err = s.answerField(c, t.UserName); err != nil {
		return answer{}, err
	}
	return ok(v)
}

func (s *Sim) transferView(t *transfer) transferView {
	v := transferView{
		MchID: t.merchant.MchID, OutBillNo: t.OutBillNo, TransferBillNo: t.id, AppID: t.AppID, State: t.state,
		TransferAmount: t.TransferAmount, TransferRemark: t.TransferRemark, OpenID: t.OpenID,
		CreateTime: s.timestamp(t.createdAt), UpdateTime: s.timestamp(t.updatedAt),
	}
	if t.state == TransferFail {
		v.FailReason = "PAYEE_ACCOUNT_ABNORMAL"
	}
	return v
}

// EndTransfer ends a transfer that waits for the customer, with TransferSuccess
// or TransferFail, and has its notify sent.
func (s *Sim) EndTransfer(outBillNo, state string) error {
	if state != TransferSuccess && state != TransferFail {
		return fmt.Errorf("%w: a transfer cannot become %.64q", ErrState, state)
	}
	for _, m := range s.merchants {
		s.book.mu.Lock()
		t, exists := s.book.transfers.get(joinKey(m.MchID, outBillNo))
		if !exists {
			s.book.mu.Unlock()
			continue
		}
		if t.state != transferWaiting {
			s.book.mu.Unlock()
			return fmt.Errorf("%w: transfer %s is %s", ErrState, outBillNo, t.state)
		}
		t.state, t.updatedAt = state, s.now()
		v, to := s.transferView(t), t.NotifyURL
		s.book.mu.Unlock()
		if to == "" {
			return nil
		}
		return s.notify(m.MchID, to, Notice{Event: "MCHTRANSFER.BILL.FINISHED", OutTradeNo: outBillNo, Resource: v})
	}
	return fmt.Errorf("%w: no transfer %.64q", ErrUnknown, outBillNo)
}
