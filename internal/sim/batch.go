package sim

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
)

// batch is a transfer to many customers at once; all of them succeed.
type batch struct {
	batchRequest

	fingerprint [sha256.Size]byte
	id          string
	createdAt   time.Time
}

type batchRequest struct {
	AppID       string        `json:"appid"`
	OutBatchNo  string        `json:"out_batch_no"`
	BatchName   string        `json:"batch_name"`
	BatchRemark string        `json:"batch_remark"`
	TotalAmount int64         `json:"total_amount"`
	TotalNum    int64         `json:"total_num"`
	Details     []batchDetail `json:"transfer_detail_list"`
}

type batchDetail struct {
	OutDetailNo    string `json:"out_detail_no"`
	TransferAmount int64  `json:"transfer_amount"`
	TransferRemark string `json:"transfer_remark"`
	OpenID         string `json:"openid"`
	UserName       string `json:"user_name,omitempty"` // in plain here; sensitive in requests and answers
}

type batchView struct {
	OutBatchNo  string `json:"out_batch_no"`
	BatchID     string `json:"batch_id"`
	CreateTime  string `json:"create_time"`
	BatchStatus string `json:"batch_status"`
}

type batchDetailView struct {
	batchDetail

	MchID        string `json:"mchid"`
	OutBatchNo   string `json:"out_batch_no"`
	BatchID      string `json:"batch_id"`
	AppID        string `json:"appid"`
	DetailID     string `json:"detail_id"`
	DetailStatus string `json:"detail_status"`
	InitiateTime string `json:"initiate_time"`
	UpdateTime   string `json:"update_time"`
}

func (s *Sim) transferBatch(c *call) (answer, error) {
	b := &batch{fingerprint: fingerprint(c.body), createdAt: s.now()}
	if err := decode(c, &b.batchRequest); err != nil {
		return answer{}, err
	}
	c.entry.OutTradeNo = cut(b.OutBatchNo, 64)
	if err := b.check(); err != nil {
		return answer{}, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	key := joinKey(c.merchant.MchID, b.OutBatchNo)
	old, exists := s.book.batches.get(key)
	if exists && old.fingerprint != b.fingerprint {
		return answer{}, businessError(http.StatusBadRequest, "PARAM_ERROR", "商家批次单号已存在，重入参数不一致", "out_batch_no was used with other parameters")
	}
	if exists {
		b = old
	} else {
		b.id = "1030" + randomDigits(28)
		s.book.batches.put(key, b)
	}
	return ok(batchView{b.OutBatchNo, b.id, s.timestamp(b.createdAt), "ACCEPTED"})
}

func (b *batch) check() *apiError {
	switch {
	case b.AppID == "", b.BatchName == "", b.BatchRemark == "":
		return bodyError("/", "appid, batch_name and batch_remark are required")
	case !billNoPattern.MatchString(b.OutBatchNo):
		return bodyError("/out_batch_no", "must have 1 to 32 of 0-9 A-Z a-z")
	case len(b.Details) == 0, len(b.Details) > 1000, int64(len(b.Details)) != b.TotalNum:
		return bodyError("/total_num", "must be the number of transfers, 1 to 1000")
	}
	sum := int64(0)
	for i, d := range b.Details {
		at := fmt.Sprintf("/transfer_detail_list/%d", i)
		switch {
		case !billNoPattern.MatchString(d.OutDetailNo), d.OpenID == "", d.TransferRemark == "":
			return bodyError(at, "out_detail_no, openid and transfer_remark are required")
		case d.TransferAmount < 1:
			return bodyError(at+"/transfer_amount", "must be at least 1, in fen")
		case d.UserName == "" && d.TransferAmount >= transferNameFrom:
			return bodyError(at+"/user_name", "is required from 2000 yuan on")
		}
		if err := checkLengths(at, d.OpenID, at, d.TransferRemark, at, d.UserName); err != nil {
			return err
		}
		sum += d.TransferAmount
	}
	if sum != b.TotalAmount {
		return bodyError("/total_amount", "must be the sum of the transfers")
	}
	return checkLengths("/appid", b.AppID, "/batch_name", b.BatchName, "/batch_remark", b.BatchRemark)
}

func (s *Sim) queryBatchDetail(c *call) (answer, error) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	b, exists := s.book.batches.get(joinKey(c.merchant.MchID, c.vars["out_batch_no"]))
	if !exists {
		return answer{}, businessError(http.StatusNotFound, "NOT_FOUND", "记录不存在", "no such batch")
	}
	for i, d := range b.Details {
		if d.OutDetailNo != c.vars["out_detail_no"] {
			continue
		}
		var err error
		if d.UserName, err = s.answerField(c, d.UserName); err != nil {
			return answer{}, err
		}
		return ok(batchDetailView{
			batchDetail: d, MchID: c.merchant.MchID, OutBatchNo: b.OutBatchNo, BatchID: b.id, AppID: b.AppID,
			DetailID: fmt.Sprintf("%s%03d", b.id[:29], i), DetailStatus: "SUCCESS",
			InitiateTime: s.timestamp(b.createdAt), UpdateTime: s.timestamp(b.createdAt),
		})
	}
	return answer{}, businessError(http.StatusNotFound, "NOT_FOUND", "记录不存在", "the batch has no such transfer")
}
