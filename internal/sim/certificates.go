package sim

import (
	"encoding/pem"
	"net/http"

	"github.com/wxproxy/wxproxy/internal/wire"
)

func (s *Sim) listCertificates(c *call) (answer, error) {
	if kind := c.query.Get("algorithm_type"); kind != "" && kind != "RSA" && kind != "ALL" {
		return answer{}, paramError("query", "algorithm_type", "the simulator has RSA certificates only")
	}
	keys := s.platform.listed()
	if len(keys) == 0 {
		return answer{}, businessError(http.StatusNotFound, "RESOURCE_NOT_EXISTS", messageNoCert, "the merchant has no platform certificates, only the public key")
	}
	list := make([]wire.SealedCertificate, 0, len(keys))
	for _, k := range keys {
		sealed, err := sealCertificate(k, []byte(c.merchant.APIv3Key))
		if err != nil {
			return answer{}, err
		}
		sealed.EffectiveTime, sealed.ExpireTime = s.timestamp(k.Certificate.NotBefore), s.timestamp(k.ExpireTime)
		list = append(list, sealed)
	}
	return ok(map[string]any{"data": list})
}

func sealCertificate(k *PlatformKey, key []byte) (wire.SealedCertificate, error) {
	const associated = "certificate"
	nonce := randomHex(12)
	ciphertext, err := wire.Seal(key, nonce, associated, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate.Raw}))
	return wire.SealedCertificate{
		SerialNo: k.ID,
		EncryptCertificate: wire.Resource{
			Algorithm: wire.AlgorithmAESGCM, Ciphertext: ciphertext, AssociatedData: associated, Nonce: nonce,
		},
	}, err
}

type echoRequest struct {
	EchoMessage          string `json:"echo_message"`
	EncryptedEchoMessage string `json:"encrypted_echo_message,omitempty"`
	NotifyURL            string `json:"notify_url,omitempty"`
}

// echo is WeChat Pay's self-test: signature, encryption and notify, with no
// money moved.
func (s *Sim) echo(c *call) (answer, error) {
	var r echoRequest
	if err := decode(c, &r); err != nil {
		return answer{}, err
	}
	if r.EchoMessage == "" {
		return answer{}, bodyError("/echo_message", "is required")
	}
	if c.serial == "" {
		return answer{}, headerError("PARAM_ERROR", messageNoSerial, "Wechatpay-Serial is required here")
	}
	reply := echoRequest{EchoMessage: r.EchoMessage}
	if r.EncryptedEchoMessage != "" {
		var err error
		if reply.EncryptedEchoMessage, err = s.answerField(c, r.EncryptedEchoMessage); err != nil {
			return answer{}, err
		}
	}
	if r.NotifyURL != "" {
		if err := checkNotifyURL("/notify_url", r.NotifyURL); err != nil {
			return answer{}, err
		}
		if err := s.notify(c.merchant.MchID, r.NotifyURL, Notice{Event: "SECURITY_ECHO.SUCCESS", Resource: reply}); err != nil {
			return answer{}, err
		}
	}
	return ok(reply)
}
