package verifier_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/utils"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

const apiv3Key = "0123456789abcdef0123456789abcdef"

// TestSDKSigns: what the official SDK signs we accept, over its own message.
func TestSDKSigns(t *testing.T) {
	t.Parallel()
	key := vectors.PrivateKey(t, keyFile)
	for name, body := range map[string]string{
		"answer": body, "204": "", "not text": "\xff\x00\n", "notify": `{"id":"EV-1","summary":"支付成功"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signature, err := utils.SignSHA256WithRSA(fmt.Sprintf("%d\n%s\n%s\n", signedAt, nonce, body), key)
			if err != nil {
				t.Fatal(err)
			}
			m := &message{header("1554208460", nonce, serial, signature), body}
			if err := verify(t.Context(), newKeys(t), m, time.Unix(signedAt, 0)); err != nil {
				t.Error(err)
			}
			if !sdkAccepts(t, m, time.Unix(signedAt, 0)) {
				t.Error("the SDK refuses it itself")
			}
		})
	}
}

// TestSDKNotifyHandler: a notify sealed by us opens in the official SDK's
// handler, which finds the same in it.
func TestSDKNotifyHandler(t *testing.T) {
	t.Parallel()
	const plaintext = `{"out_trade_no":"1217752501201407033233368018","amount":{"total":100}}`
	r := wire.Resource{OriginalType: "transaction", Algorithm: wire.AlgorithmAESGCM, AssociatedData: "transaction", Nonce: "fdasfjihihih"}
	var err error
	if r.Ciphertext, err = wire.Seal([]byte(apiv3Key), r.Nonce, r.AssociatedData, []byte(plaintext)); err != nil {
		t.Fatal(err)
	}
	envelope := wire.Envelope{
		ID: "EV-1", CreateTime: "2018-06-08T10:34:56+08:00", EventType: "TRANSACTION.SUCCESS",
		ResourceType: "encrypt-resource", Summary: "支付成功", Resource: r,
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	m := newMessage(t, signedAt, string(text))
	if err := verify(t.Context(), newKeys(t), m, time.Unix(signedAt, 0)); err != nil {
		t.Fatal(err)
	}
	if got, err := wire.ParseEnvelope(text); err != nil || got != envelope {
		t.Errorf("got %+v, %v, want %+v", got, err, envelope)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(signedAt, 0)))
		handler, err := notify.NewRSANotifyHandler(apiv3Key, sdkVerifier{newKeys(t)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := handler.ParseNotifyRequest(t.Context(), m.request(t), &map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != envelope.ID || got.EventType != envelope.EventType || got.Summary != envelope.Summary || got.Resource.Plaintext != plaintext {
			t.Errorf("got %+v", got)
		}
	})
}

// TestSDKNotifyVector runs the published notify through the SDK's handler at
// the time it was signed, to know that the oracle reads it as we do.
func TestSDKNotifyVector(t *testing.T) {
	t.Parallel()
	for _, v := range vectors.OfKind(t, "notify", 1) {
		envelope, err := wire.ParseEnvelope([]byte(v.Body))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := envelope.Resource.Open([]byte(v.APIv3Key))
		if err != nil {
			t.Fatal(err)
		}
		certificate, _, err := verifier.ParseCertificate(vectors.File(t, v.Cert))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(1624523846, 0)))
			certificates := core.NewCertificateMap(map[string]*x509.Certificate{v.Serial: certificate})
			handler, err := notify.NewRSANotifyHandler(v.APIv3Key, verifiers.NewSHA256WithRSAVerifier(certificates))
			if err != nil {
				t.Fatal(err)
			}
			m := &message{header(v.Timestamp, v.Nonce, v.Serial, v.Signature), v.Body}
			theirs, err := handler.ParseNotifyRequest(t.Context(), m.request(t), &map[string]any{})
			if err != nil || theirs.Resource.Plaintext != string(ours) {
				t.Errorf("the SDK got %+v, %v, want %s", theirs, err, ours)
			}
		})
	}
}
