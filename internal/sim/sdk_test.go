package sim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/downloader"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	"github.com/wechatpay-apiv3/wechatpay-go/services/fileuploader"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/jsapi"
	"github.com/wechatpay-apiv3/wechatpay-go/services/refunddomestic"
	"github.com/wxproxy/wxproxy/internal/sim"
)

// toSim sends the SDK's requests, whose host is fixed, to the simulator.
type toSim struct{ base *url.URL }

func (t toSim) RoundTrip(r *http.Request) (*http.Response, error) {
	clone := r.Clone(r.Context())
	clone.URL.Scheme, clone.URL.Host, clone.Host = t.base.Scheme, t.base.Host, t.base.Host
	return http.DefaultTransport.RoundTrip(clone)
}

type sdk struct {
	s    *sim.Sim
	m    sim.Merchant
	http *http.Client
}

func newSDK(t *testing.T, o sim.Options) *sdk {
	t.Helper()
	s := newSim(t, o)
	base, err := url.Parse(serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return &sdk{s: s, m: s.Merchants()[0], http: &http.Client{Transport: toSim{base}}}
}

func (k *sdk) serial() string { return fmt.Sprintf("%X", k.m.Certificate.SerialNumber) }

// withCertificates is a client that verifies with certificates it downloaded.
func (k *sdk) withCertificates(t *testing.T) (*core.Client, *downloader.CertificateDownloader) {
	t.Helper()
	plain := k.client(t, option.WithoutValidator())
	d, err := downloader.NewCertificateDownloaderWithClient(t.Context(), plain, k.m.APIv3Key)
	if err != nil {
		t.Fatal(err)
	}
	return k.client(t, option.WithVerifier(verifiers.NewSHA256WithRSAVerifier(d))), d
}

func (k *sdk) withPublicKey(t *testing.T) *core.Client {
	t.Helper()
	id, key := k.s.PublicKey()
	return k.client(t, option.WithVerifier(verifiers.NewSHA256WithRSAPubkeyVerifier(id, *key)))
}

func (k *sdk) client(t *testing.T, validator core.ClientOption) *core.Client {
	t.Helper()
	c, err := core.NewClient(t.Context(), option.WithMerchantCredential(k.m.MchID, k.serial(), k.m.PrivateKey),
		validator, option.WithHTTPClient(k.http))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (k *sdk) prepay(ctx context.Context, c *core.Client, outTradeNo, notifyURL string) error {
	api := jsapi.JsapiApiService{Client: c}
	_, _, err := api.Prepay(ctx, jsapi.PrepayRequest{
		Appid: core.String("wx1"), Mchid: core.String(k.m.MchID), Description: core.String("茶"),
		OutTradeNo: core.String(outTradeNo), NotifyUrl: core.String(notifyURL),
		Amount: &jsapi.Amount{Total: core.Int64(100), Currency: core.String("CNY")},
		Payer:  &jsapi.Payer{Openid: core.String("oUser")},
	})
	return err
}

// The official SDK is the judge of our signatures: it downloads the
// certificates, prepays, queries, refunds and closes, and verifies each answer.
func TestSDKAcceptsAnswers(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{})
	withCertificates, _ := k.withCertificates(t)
	if err := k.s.UsePublicKey(sim.PublicKeyOn, 100); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*core.Client{"certificate": withCertificates, "public-key": k.withPublicKey(t)} {
		no := "SDK-" + name
		if err := k.prepay(t.Context(), c, no, "http://127.0.0.1:1/notify"); err != nil {
			t.Fatalf("%s: prepay: %v", name, err)
		}
		if err := k.s.Pay(no); err != nil {
			t.Fatal(err)
		}
		api := jsapi.JsapiApiService{Client: c}
		paid, _, err := api.QueryOrderByOutTradeNo(t.Context(), jsapi.QueryOrderByOutTradeNoRequest{
			OutTradeNo: core.String(no), Mchid: core.String(k.m.MchID)})
		if err != nil || *paid.TradeState != "SUCCESS" || *paid.Payer.Openid != "oUser" {
			t.Fatalf("%s: query: %v, %v", name, paid, err)
		}
		refunds := refunddomestic.RefundsApiService{Client: c}
		refunded, _, err := refunds.Create(t.Context(), refunddomestic.CreateRequest{
			TransactionId: paid.TransactionId, OutRefundNo: core.String("R-" + no),
			Amount: &refunddomestic.AmountReq{Refund: core.Int64(30), Total: core.Int64(100), Currency: core.String("CNY")}})
		if err != nil || *refunded.Status != refunddomestic.STATUS_PROCESSING {
			t.Fatalf("%s: refund: %v, %v", name, refunded, err)
		}
		if _, _, err := refunds.QueryByOutRefundNo(t.Context(), refunddomestic.QueryByOutRefundNoRequest{
			OutRefundNo: refunded.OutRefundNo}); err != nil {
			t.Fatalf("%s: query refund: %v", name, err)
		}
		if err := k.prepay(t.Context(), c, no+"-2", "http://127.0.0.1:1/notify"); err != nil {
			t.Fatal(err)
		}
		if _, err := api.CloseOrder(t.Context(), jsapi.CloseOrderRequest{
			OutTradeNo: core.String(no + "-2"), Mchid: core.String(k.m.MchID)}); err != nil {
			t.Fatalf("%s: close, whose answer is empty but signed: %v", name, err)
		}
	}
}

// Every spoiled signature must be noticed by the SDK: the faults are real.
func TestSDKRefusesSpoiledAnswers(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{})
	c, _ := k.withCertificates(t)
	for i, kind := range []string{sim.FaultProbe, sim.FaultWrongSerial, sim.FaultSkew, sim.FaultFlipBody, sim.FaultFlipSignature, sim.FaultUnsigned} {
		if _, err := k.s.Fault(sim.Fault{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		no := fmt.Sprintf("SPOIL%03d", i)
		if err := k.prepay(t.Context(), c, no, "http://127.0.0.1:1/n"); err == nil {
			t.Errorf("%s: the SDK accepted the answer", kind)
		}
		if err := k.prepay(t.Context(), c, no, "http://127.0.0.1:1/n"); err != nil {
			t.Errorf("%s: afterwards: %v", kind, err)
		}
	}
}

// Rotation: the SDK's downloader sees both certificates, and whoever downloaded
// again verifies after the switch.
func TestSDKFollowsRotation(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{})
	c, d := k.withCertificates(t)
	for _, step := range []string{sim.RotateAnnounce, sim.RotateSwitch, sim.RotateRetire} {
		if err := k.s.RotateCertificate(step); err != nil {
			t.Fatal(err)
		}
		if step != sim.RotateSwitch {
			if err := d.DownloadCertificates(t.Context()); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
		}
		want := map[string]int{sim.RotateAnnounce: 2, sim.RotateSwitch: 2, sim.RotateRetire: 1}[step]
		if got := len(d.GetAll(t.Context())); got != want {
			t.Errorf("after %s the SDK knows %d certificates, want %d", step, got, want)
		}
		if err := k.prepay(t.Context(), c, "ROTATE-"+step, "http://127.0.0.1:1/n"); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
	}
}

func TestSDKUploads(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{})
	c, _ := k.withCertificates(t)
	up := fileuploader.ImageUploader{Client: c}
	answer, _, err := up.Upload(t.Context(), strings.NewReader("not really a picture"), "a.png", "image/png")
	if err != nil || answer.MediaId == nil || *answer.MediaId == "" {
		t.Fatalf("upload: %v, %v", answer, err)
	}
}

// Notifies are judged by the SDK's own handler: signature, clock, decryption,
// and the fields of its models.
func TestSDKAcceptsNotifies(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{RefundDelay: 1})
	id, key := k.s.PublicKey()
	verifier := verifiers.NewSHA256WithRSACombinedVerifier(core.NewCertificateMapWithList(k.s.Certificates()), id, *key)
	handler := notify.NewNotifyHandler(k.m.APIv3Key, verifier)
	type received struct {
		serial, id, event string
		transaction       payments.Transaction
	}
	got := make(chan received, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var content payments.Transaction
		n, err := handler.ParseNotifyRequest(r.Context(), r, &content)
		if err != nil {
			t.Errorf("the SDK refused a notify: %v", err)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		got <- received{r.Header.Get("Wechatpay-Serial"), n.ID, n.EventType, content}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	start(t, k.s)
	for _, mode := range []string{sim.PublicKeyOff, sim.PublicKeyOn, sim.PublicKeyOnly} {
		if err := k.s.UsePublicKey(mode, 100); err != nil {
			t.Fatal(err)
		}
		order(t, k.s, "NOTIFY-"+mode, receiver.URL+"/notify")
		if err := k.s.Pay("NOTIFY-" + mode); err != nil {
			t.Fatal(err)
		}
		n := <-got
		if n.event != "TRANSACTION.SUCCESS" || *n.transaction.OutTradeNo != "NOTIFY-"+mode || *n.transaction.Amount.PayerTotal != 100 {
			t.Errorf("%s: got %+v", mode, n)
		}
		if byKey := n.serial == id; byKey != (mode != sim.PublicKeyOff) {
			t.Errorf("%s: signed by %s", mode, n.serial)
		}
		if status, answer := call(t, k.s, "POST", "/v3/refund/domestic/refunds", refundBody("NOTIFY-"+mode, "R-"+mode, 100, 100)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
		if n := <-got; n.event != "REFUND.SUCCESS" {
			t.Errorf("%s: got %s, want REFUND.SUCCESS", mode, n.event)
		}
	}
}

// Spoiled notifies must be refused by the SDK.
func TestSDKRefusesSpoiledNotifies(t *testing.T) {
	t.Parallel()
	k := newSDK(t, sim.Options{})
	handler := notify.NewNotifyHandler(k.m.APIv3Key, verifiers.NewSHA256WithRSAVerifier(core.NewCertificateMapWithList(k.s.Certificates())))
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := handler.ParseNotifyRequest(r.Context(), r, new(map[string]any)); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(receiver.Close)
	for _, kind := range []string{sim.FaultProbe, sim.FaultWrongSerial, sim.FaultSkew, sim.FaultFlipBody, sim.FaultFlipSignature, sim.FaultUnsigned, sim.FaultBadCipher} {
		e, err := k.s.Send(t.Context(), receiver.URL, sim.Notice{Event: "REFUND.SUCCESS"}, &sim.Fault{Kind: kind})
		if err != nil || e.Status != http.StatusUnauthorized || e.Verdict != sim.VerdictNotTaken {
			t.Errorf("%s: %+v, %v", kind, e, err)
		}
	}
	for _, event := range []string{"REFUND.SUCCESS", "SECURITY_ECHO.SUCCESS", "MEMBERCARD.ACCEPT_CARD", "NEVER.HEARD_OF"} {
		e, err := k.s.Send(t.Context(), receiver.URL, sim.Notice{Event: event}, nil)
		if err != nil || e.Verdict != sim.VerdictTaken {
			t.Errorf("%s: %+v, %v", event, e, err)
		}
	}
}
