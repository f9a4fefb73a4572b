package endpoint_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// delays writes a schedule the short way: each run of equal delays once.
func delays(d []time.Duration) string {
	var out []string
	for i := 0; i < len(d); {
		n := 1
		for i+n < len(d) && d[i+n] == d[i] {
			n++
		}
		text := d[i].String()
		if n > 1 {
			text = fmt.Sprintf("%s*%d", text, n)
		}
		out = append(out, text)
		i += n
	}
	return strings.Join(out, " ")
}

func TestEventFamilies(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	const (
		standard = "15s*2 30s 3m0s 10m0s 20m0s 30m0s*3 1h0m0s 3h0m0s*3 6h0m0s*2"
		short    = "15s*2 30s 3m0s 30m0s*4 1h0m0s"
		minutely = "1m0s*11"
		record   = "3s 1m0s 3m0s 10m0s 20m0s 1h0m0s*10"
		transfer = "15s*10 5m0s*10 30m0s*44"
		credit   = "10s*3 30s*3 5m0s*9"
		normal   = 4500 * time.Millisecond
	)
	for _, tt := range []struct {
		event          string
		retry          string
		budget         time.Duration
		answer, signed bool
	}{
		{"TRANSACTION.SUCCESS", standard, normal, false, false},
		{"REFUND.SUCCESS", standard, normal, false, false},
		{"COMPLAINT.CREATE", standard, normal, false, false},
		{"ENTRUST.SIGN", standard, normal, false, false},
		{"MCHTRANSFER.BILL.FINISHED", transfer, normal, false, false},
		{"MCHWITHDRAW.CHANGE", "15s*10 5m0s*10 30m0s*47", normal, false, false},
		{"WEBIZPAY.PAYMENTSUCCESS", short, normal, false, false},
		{"INSURANCE_POLICY_MANAGEMENT.GRANTED", short, normal, false, false},
		{"PAPAY.TERMINATE", short, normal, false, false},
		{"PAPAY.SIGN", standard, normal, false, false},
		{"COUPON.USE", "1m0s*9", normal, false, false},
		{"COUPON.SEND", minutely, normal, false, false},
		{"PAYSCORE.USER_SIGN_PLAN", minutely, normal, false, false},
		{"PAYSCORE.USER_CANCEL_SIGN_PLAN", minutely, normal, false, false},
		{"PAYSCORE.USER_PAID", standard, normal, false, false},
		{"PRODUCT_COUPON_SP.SEND", minutely, normal, false, false},
		{"BRAND_MEMBER_CARD_SP.USER_CARD.CREATE", minutely, normal, false, false},
		{"BLOCKRECORD.CHANGE", record, normal, false, false},
		{"BLOCKSUBMISSION.CHANGE", record, normal, false, false},
		{"MANAGERECORD.CHANGE", record, normal, false, false},
		{"CREDIT_REPAYMENT.SIGN_CONTRACT", credit, normal, false, false},
		{"PARKING_FEE.QUERY_TRANS_INFO", standard, 2700 * time.Millisecond, true, false},
		{"ENTRUST.TERMINATE_RETENTION", standard, 900 * time.Millisecond, true, false},
		{"CROSS_BORDER_PAY.GET_MCH_INFO", standard, 2700 * time.Millisecond, true, true},
		{"CROSS_BORDER_PAY.PUSH_ORDER_INFO", standard, 2700 * time.Millisecond, true, true},

		{"NEVER.HEARD_OF", standard, normal, false, false},
		{"MCHTRANSFER.NEW.KIND", transfer, normal, false, false},
		{"ENTRUST.TERMINATE_RETENTION_MORE", standard, normal, false, false},
		{"", standard, normal, false, false},
	} {
		t.Run(tt.event, func(t *testing.T) {
			t.Parallel()
			got := table.Event(tt.event)
			if got.Type != tt.event {
				t.Errorf("got type %q", got.Type)
			}
			if d := delays(got.Retry); d != tt.retry {
				t.Errorf("got delays %s, want %s", d, tt.retry)
			}
			if got.Budget != tt.budget {
				t.Errorf("got budget %s, want %s", got.Budget, tt.budget)
			}
			if got.Answer != tt.answer || got.AnswerSigned != tt.signed {
				t.Errorf("got answer %v, signed %v", got.Answer, got.AnswerSigned)
			}
		})
	}
}

func TestStandardScheduleTakesADay(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for _, d := range newTable(t).Event("TRANSACTION.SUCCESS").Retry {
		sum += d
	}
	if want := 24*time.Hour + 4*time.Minute; sum != want {
		t.Errorf("got %s, want %s, the total that WeChat Pay publishes", sum, want)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	events := table.Events()
	if len(events) != 105 {
		t.Errorf("got %d events, want 105", len(events))
	}
	var answered []string
	for i, e := range events {
		if i > 0 && events[i-1].Type >= e.Type {
			t.Errorf("%s is out of order", e.Type)
		}
		if !reflect.DeepEqual(table.Event(e.Type), e) {
			t.Errorf("%s differs when asked for", e.Type)
		}
		if e.TitleZh == "" || len(e.Retry) == 0 || e.Budget <= 0 {
			t.Errorf("%s is incomplete: %+v", e.Type, e)
		}
		if e.Answer {
			answered = append(answered, e.Type)
		}
	}
	compare(t, answered, []string{
		"CROSS_BORDER_PAY.GET_MCH_INFO",
		"CROSS_BORDER_PAY.PUSH_ORDER_INFO",
		"ENTRUST.TERMINATE_RETENTION",
		"PARKING_FEE.QUERY_TRANS_INFO",
	})
}

func TestEventDetails(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	e := table.Event("BRAND_MEMBER_CARD_SP.USER_CARD.CREATE")
	if want := []string{"phone_number", "value", "user_chosen_values"}; !slices.Equal(e.RSAFields, want) {
		t.Errorf("got RSA fields %q, want %q", e.RSAFields, want)
	}
	if e.OriginalType != "user_card" || e.TitleZh != "用户开通商家名片会员卡事件" {
		t.Errorf("got original type %q, title %q", e.OriginalType, e.TitleZh)
	}
	if got := table.Event("TRANSACTION.SUCCESS"); got.OriginalType != "transaction" || got.RSAFields != nil {
		t.Errorf("got %+v", got)
	}
}
