//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/cipher/decryptors"
	"github.com/wechatpay-apiv3/wechatpay-go/core/cipher/encryptors"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/profitsharing"
	"github.com/wechatpay-apiv3/wechatpay-go/services/transferbatch"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"
)

// openedByNode decrypts with Node's crypto.
func openedByNode(t *testing.T, key string, sealed []string) []string {
	t.Helper()
	given, err := json.Marshal(map[string]any{"key": key, "sealed": sealed})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "node/open-fields.mjs")
	cmd.Env, cmd.Stdin = []string{"PATH=" + os.Getenv("PATH")}, bytes.NewReader(given)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, &stderr)
	}
	var plain []string
	if err := json.Unmarshal(out, &plain); err != nil {
		t.Fatalf("node printed %q: %v", out, err)
	}
	return plain
}

var ciphertext = regexp.MustCompile(`[A-Za-z0-9+/]{342}==`)

const receiver = `{ "appid":"wxd678efh567hg6787", "type" : "PERSONAL_OPENID","account":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o","relation_type":"PARTNER", "name": "张三" }`

func batchBody(no string) string {
	return `{"appid":"wxd678efh567hg6787","out_batch_no":"` + no + `","batch_name":"b","batch_remark":"r","total_amount":400000,"total_num":2,"transfer_detail_list":[` +
		`{"out_detail_no":"D1","transfer_amount":200000,"transfer_remark":"r","openid":"o1","user_name":"李四"},{"out_detail_no":"D2","transfer_amount":200000,"transfer_remark":"r","openid":"o2","user_name":"王五"}]}`
}

// A plain HTTP client writes and reads plain text. On the wire there are
// ciphertexts, which Node's crypto opens, and nothing else has changed.
func TestSensitiveFieldsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, call := range []struct {
		target, body string
		plain        []string
	}{
		{"/v3/profitsharing/receivers/add", receiver, []string{"张三"}},
		{"/v3/transfer/batches", batchBody("B1"), []string{"李四", "王五"}},
		{"/v3/fund-app/mch-transfer/transfer-bills", `{"appid":"wx1","out_bill_no":"T1","transfer_scene_id":"1000","openid":"o1","user_name":"赵六","transfer_amount":200000,"transfer_remark":"r"}`, []string{"赵六"}},
	} {
		curl(t, nil, post(s.outbound+call.target, call.body)...).verified(t, 200)
		x := s.wire.last(t)
		if got := openedByNode(t, s.wechat.privateKey(), ciphertext.FindAllString(string(x.body), -1)); !slices.Equal(got, call.plain) {
			t.Errorf("%s: Node read %q, want %q", call.target, got, call.plain)
		}
		rest := string(x.body)
		for _, plain := range call.plain {
			rest = strings.Replace(rest, ciphertext.FindString(rest), plain, 1)
		}
		if rest != call.body || x.header.Get("Wechatpay-Serial") != s.wechat.publicKeyID() {
			t.Errorf("%s: sent %s with %s", call.target, x.body, x.header.Get("Wechatpay-Serial"))
		}
	}
	search := s.outbound + "/v3/capital/capitallhh/banks/search-banks-by-bank-account?account_number="
	curl(t, nil, search+"6222021234567890").verified(t, 200)
	sealed, err := url.QueryUnescape(strings.TrimPrefix(s.wire.last(t).target, strings.TrimPrefix(search, s.outbound)))
	if err != nil {
		t.Fatal(err)
	}
	if got := openedByNode(t, s.wechat.privateKey(), []string{sealed}); got[0] != "6222021234567890" {
		t.Errorf("Node read %q", got)
	}
}

// Answers: what WeChat Pay encrypted reaches the app in plain, unless it asks
// for the bytes as they came or something is wrong with one.
func TestSensitiveFieldsOfAnswers(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	list := s.outbound + "/v3/merchant-service/complaints-v2?begin_date=2026-01-01&end_date=2026-01-31"
	got := curl(t, nil, list).verified(t, 200)
	if got.header.Get("Wxproxy-Sensitive") != "decrypted" || got.header.Get("Wxproxy-Rewritten") != "true" || got.header.Get("Wechatpay-Signature") != "" {
		t.Errorf("got %s", got.raw)
	}
	sealed := ciphertext.FindAllString(string(s.wire.last(t).answer), -1)
	plain := openedByNode(t, string(s.wechat.read("apiclient_key.pem")), sealed)
	if !slices.Equal(plain, []string{"13800138001", "13800138002"}) {
		t.Fatalf("Node read %q", plain)
	}
	want := string(s.wire.last(t).answer)
	for i := range sealed {
		want = strings.Replace(want, sealed[i], plain[i], 1)
	}
	if got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
	for _, header := range []string{"Wxproxy-Sensitive: off", "Wxproxy-Rewrite: off"} {
		as := curl(t, nil, list, "-H", header).verified(t, 200)
		if as.body != string(s.wire.last(t).answer) || as.header.Get("Wechatpay-Signature") == "" {
			t.Errorf("%s: got %s", header, as.raw)
		}
	}
	s.wechat.fault(`{"kind":"bad_field"}`) // the first of the list
	got = curl(t, nil, list).verified(t, 200)
	if got.header.Get("Wxproxy-Sensitive") != "failed" || strings.Contains(got.body, "13800138001") || !strings.Contains(got.body, "13800138002") {
		t.Errorf("got %s", got.raw)
	}
	curl(t, nil, post(s.outbound+"/v3/transfer/batches", batchBody("B2"))...).verified(t, 200)
	detail := curl(t, nil, s.outbound+"/v3/transfer/batches/out-batch-no/B2/details/out-detail-no/D2").verified(t, 200)
	if name := detail.field(t, "user_name"); name != "王五" {
		t.Errorf("the name came back as %q", name)
	}
	added := curl(t, nil, post(s.outbound+"/v3/profitsharing/receivers/add", receiver)...).verified(t, 200)
	if name := added.field(t, "name"); name != "张三" {
		t.Errorf("the name came back as %q", name)
	}
	curl(t, nil, post(s.outbound+"/v3/profitsharing/receivers/add", strings.Replace(receiver, `"张三"`, "null", 1))...).refused(t, 400, "bad_sensitive_field")
	if off := curl(t, nil, post(s.outbound+"/v3/profitsharing/receivers/add", receiver, "-H", "Wxproxy-Sensitive: off")...); off.status != 400 || off.field(t, "code") != "PARAM_ERROR" {
		t.Errorf("WeChat Pay took plaintext: %s", off.raw)
	}
}

// What is encrypted once more inside a notify reaches the app in plain.
func TestSensitiveFieldsOfNotifies(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	done := make(chan int)
	go func() {
		code, _ := s.trigger(t, "BRAND_MEMBER_CARD_SP.USER_CARD.CREATE")
		done <- code
	}()
	d := s.app.take(http.StatusNoContent)
	if code := <-done; code != 0 {
		t.Errorf("not acknowledged: exit code %d", code)
	}
	r := d.resource(t)
	if d.header.Get("Wxproxy-Sensitive") != "decrypted" || r["phone_number"] != "invented phone_number" || r["user_chosen_values"] != "invented user_chosen_values" {
		t.Errorf("got %s with %s", d.body, d.header.Get("Wxproxy-Sensitive"))
	}
}

// The official SDK's own services, once without keys for fields, so that it
// sends plain text, and once with them, so that it encrypts for itself. Both
// ways the simulator knows the name, and gives it back encrypted in an answer
// that the SDK verifies.
func TestSDKServicesWithSensitiveFields(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	options, id, platform := s.sdkOptions(t)
	merchantKey, err := utils.LoadPrivateKey(string(s.wechat.read("apiclient_key.pem")))
	if err != nil {
		t.Fatal(err)
	}
	opens := decryptors.NewWechatPayDecryptor(merchantKey)
	for _, way := range []struct {
		name    string
		options []core.ClientOption
		ours    bool // wxproxy encrypts
	}{
		{"plain", options, true},
		{"encrypting", append(options, option.WithWechatPayCipher(encryptors.NewWechatPayPubKeyEncryptor(id, *platform), opens)), false},
	} {
		t.Run(way.name, func(t *testing.T) {
			c, err := core.NewClient(t.Context(), way.options...)
			if err != nil {
				t.Fatal(err)
			}
			no := strings.ToUpper(way.name)
			name := "张三" + way.name
			_, _, err = (&transferbatch.TransferBatchApiService{Client: c}).InitiateBatchTransfer(t.Context(), transferbatch.InitiateBatchTransferRequest{
				Appid: core.String("wxd678efh567hg6787"), OutBatchNo: core.String(no), BatchName: core.String("b"), BatchRemark: core.String("r"),
				TotalAmount: core.Int64(200000), TotalNum: core.Int64(1),
				TransferDetailList: []transferbatch.TransferDetailInput{{
					OutDetailNo: core.String("D1"), TransferAmount: core.Int64(200000), TransferRemark: core.String("r"), Openid: core.String("o"), UserName: core.String(name),
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			x := s.wire.last(t)
			if got := openedByNode(t, s.wechat.privateKey(), ciphertext.FindAllString(string(x.body), -1)); !slices.Equal(got, []string{name}) {
				t.Errorf("Node read %q, want %q", got, name)
			}
			detail, _, err := (&transferbatch.TransferDetailApiService{Client: c}).GetTransferDetailByOutNo(t.Context(),
				transferbatch.GetTransferDetailByOutNoRequest{OutBatchNo: core.String(no), OutDetailNo: core.String("D1")})
			if err != nil {
				t.Fatal(err)
			}
			added, _, err := (&profitsharing.ReceiversApiService{Client: c}).AddReceiver(t.Context(), profitsharing.AddReceiverRequest{
				Appid: core.String("wxd678efh567hg6787"), Account: core.String("o"), Name: core.String(name),
				Type: profitsharing.RECEIVERTYPE_PERSONAL_OPENID.Ptr(), RelationType: profitsharing.RECEIVERRELATIONTYPE_PARTNER.Ptr(),
			})
			if err != nil {
				t.Fatal(err)
			}
			for what, got := range map[string]string{"detail": *detail.UserName, "receiver": *added.Name} {
				if way.ours { // the SDK has no key to open it with, and its bytes stay as they came
					if got, err = opens.Decrypt(t.Context(), got); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				if got != name {
					t.Errorf("%s: got %q, want %q", what, got, name)
				}
			}
		})
	}
}

// privateKey is that of the WeChat Pay public key, which the simulator keeps.
func (w *wechat) privateKey() string {
	w.t.Helper()
	return string(w.read(fmt.Sprintf("sim_platform_%s.pem", w.publicKeyID())))
}
