package sim

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // WeChat Pay promises the SHA-1 of bills
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// Kinds of bills.
const (
	tradeBill    = "trade"
	fundFlowBill = "fundflow"
)

const billRows = 1000

// bill makes the handler that prepares one kind of bill.
func (s *Sim) bill(kind string) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		date := c.query.Get("bill_date")
		day, err := time.ParseInLocation(time.DateOnly, date, beijing)
		if err != nil {
			return answer{}, paramError("query", "bill_date", "is required, as in 2026-01-31")
		}
		if !day.AddDate(0, 0, 1).Before(s.now()) {
			return answer{}, businessError(http.StatusBadRequest, "NO_STATEMENT_EXIST", "账单不存在", "the day is not over")
		}
		content := billContent(kind, day)
		sum := sha1.Sum(content)
		content, suffix, err := c.packed(content)
		if err != nil {
			return answer{}, err
		}
		return ok(map[string]string{
			"hash_type": "SHA1", "hash_value": hex.EncodeToString(sum[:]),
			"download_url": s.offer(c, pathBill, content) + suffix,
		})
	}
}

// packed compresses a bill if the request asks for it, and tells what its link
// then ends with.
func (c *call) packed(content []byte) (packed []byte, suffix string, err error) {
	switch c.query.Get("tar_type") {
	case "":
		return content, "", nil
	case "GZIP":
		packed, err = compress(content)
		return packed, "&tartype=gzip", err
	default:
		return nil, "", paramError("query", "tar_type", "must be GZIP or absent")
	}
}

func compress(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// billContent invents a day's business, the same each time it is asked for. Real
// bills begin with a byte order mark, and every field after a backquote.
func billContent(kind string, day time.Time) []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	if kind == tradeBill {
		b.WriteString("交易时间,公众账号ID,商户号,微信订单号,商户订单号,交易类型,交易状态,应结订单金额,手续费\r\n")
	} else {
		b.WriteString("记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元)\r\n")
	}
	total := 0
	for i := range billRows {
		at := day.Add(time.Duration(i) * 24 * time.Hour / billRows).Format(time.DateTime)
		fen := 100 + i*37%9900
		total += fen
		number := day.Format("20060102") + fmt.Sprintf("%015d", i+1)
		if kind == tradeBill {
			fmt.Fprintf(&b, "`%s,`wxsimulated,`%s,`42000%s,`ORDER%d,`NATIVE,`SUCCESS,`%d.%02d,`0.00000\r\n",
				at, SimulatedMchID, number, i+1, fen/100, fen%100)
		} else {
			fmt.Fprintf(&b, "`%s,`42000%s,`10000%s,`交易,`交易,`收入,`%d.%02d,`%d.%02d\r\n",
				at, number, number, fen/100, fen%100, total/100, total%100)
		}
	}
	if kind == tradeBill {
		fmt.Fprintf(&b, "总交易单数,应结订单总金额\r\n`%d,`%d.%02d\r\n", billRows, total/100, total%100)
	} else {
		fmt.Fprintf(&b, "资金流水总笔数,收入笔数,收入金额\r\n`%d,`%d,`%d.%02d\r\n", billRows, billRows, total/100, total%100)
	}
	return b.Bytes()
}
