package sim_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/wxproxy/wxproxy/internal/sim"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// listed is the answer of the certificates endpoint, decrypted.
func listed(t *testing.T, s *sim.Sim) map[string]wire.SealedCertificate {
	t.Helper()
	w := newRequest(s, "GET", "/v3/certificates", "").do(s)
	var answer struct {
		Data []wire.SealedCertificate `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	list := make(map[string]wire.SealedCertificate)
	for _, c := range answer.Data {
		plain, err := c.EncryptCertificate.Open([]byte(s.Merchants()[0].APIv3Key))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(plain)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || fmt.Sprintf("%X", cert.SerialNumber) != c.SerialNo {
			t.Fatalf("certificate listed as %s: %v", c.SerialNo, err)
		}
		list[c.SerialNo] = c
	}
	return list
}

func signer(t *testing.T, s *sim.Sim, requested string) (status int, serial string) {
	t.Helper()
	r := newRequest(s, "GET", orders+"out-trade-no/ORDER001"+mine, "")
	r.header["Wechatpay-Serial"] = requested
	w := r.do(s)
	return w.Code, w.Header().Get("Wechatpay-Serial")
}

func TestRotationSteps(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "ORDER001", notifyURL)
	_, first := signer(t, s, "")
	for _, step := range []string{sim.RotateSwitch, "sideways", ""} {
		if err := s.RotateCertificate(step); !errors.Is(err, sim.ErrStep) {
			t.Errorf("%q at the beginning: %v", step, err)
		}
	}
	rotate := func(step string) {
		t.Helper()
		if err := s.RotateCertificate(step); err != nil {
			t.Fatal(err)
		}
	}
	rotate(sim.RotateAnnounce)
	if err := s.RotateCertificate(sim.RotateRetire); !errors.Is(err, sim.ErrStep) {
		t.Errorf("retiring before the switch: %v", err)
	}
	list := listed(t, s)
	if _, now := signer(t, s, ""); len(list) != 2 || now != first {
		t.Fatalf("announced: %d listed, %s signs", len(list), now)
	}
	end, err := time.Parse(time.RFC3339, list[first].ExpireTime)
	if err != nil || end.After(time.Now().Add(25*time.Hour)) || !s.Certificates()[0].NotAfter.After(end) {
		t.Errorf("the old certificate expires %s, by the API %v, %v", s.Certificates()[0].NotAfter, end, err)
	}
	rotate(sim.RotateSwitch)
	_, second := signer(t, s, first)
	if second == first || len(listed(t, s)) != 2 {
		t.Error("the old certificate still signs, or is not listed, after the switch")
	}
	rotate(sim.RotateRetire)
	if list := listed(t, s); len(list) != 1 || list[second].SerialNo == "" {
		t.Errorf("after it was retired, listed: %v", list)
	}
	// Who has not noticed yet may still name it.
	if status, now := signer(t, s, first); status != http.StatusOK || now != second {
		t.Errorf("naming the retired certificate: %d, signed by %s", status, now)
	}
}

func TestPublicKeyModes(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{})
	order(t, s, "ORDER001", notifyURL)
	id, _ := s.PublicKey()
	cert := fmt.Sprintf("%X", s.Certificates()[0].SerialNumber)
	for _, row := range []struct {
		mode, requested string
		status          int
		signer          string
	}{
		{sim.PublicKeyOff, "", 200, cert},
		{sim.PublicKeyOff, id, 200, cert}, // known, but not activated
		{sim.PublicKeyOn, "", 200, cert},
		{sim.PublicKeyOn, id, 200, id},
		{sim.PublicKeyOn, cert, 200, cert},
		{sim.PublicKeyOnly, "", 200, id},
		{sim.PublicKeyOnly, id, 200, id},
		{sim.PublicKeyOnly, cert, 400, ""},
	} {
		if err := s.UsePublicKey(row.mode, 50); err != nil {
			t.Fatal(err)
		}
		if status, by := signer(t, s, row.requested); status != row.status || by != row.signer {
			t.Errorf("mode %s, asked for %q: %d, signed by %q", row.mode, row.requested, status, by)
		}
	}
	if status, answer := call(t, s, "GET", "/v3/certificates", ""); status != http.StatusNotFound || answer["code"] != "RESOURCE_NOT_EXISTS" {
		t.Errorf("certificates of a merchant that has none: %d %v", status, answer)
	}
	for _, err := range []error{s.UsePublicKey("maybe", 1), s.UsePublicKey(sim.PublicKeyOn, 101), s.UsePublicKey(sim.PublicKeyOn, math.NaN())} {
		if !errors.Is(err, sim.ErrMode) {
			t.Error(err)
		}
	}
}

func TestPublicKeyOnlyFromTheStart(t *testing.T) {
	t.Parallel()
	s := newSim(t, sim.Options{PublicKeyOnly: true})
	if o := s.Overview(); o.PublicKey != sim.PublicKeyOnly {
		t.Errorf("mode %s", o.PublicKey)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	good := newSim(t, sim.Options{}).Merchants()[0]
	pool := keyPool()
	other := pool[0]
	if other.Equal(good.PrivateKey) {
		other = pool[1]
	}
	for name, o := range map[string]sim.Options{
		"mchid":            {Merchants: []sim.Merchant{{MchID: "shop"}}},
		"APIv3 key":        {Merchants: []sim.Merchant{{MchID: "1900000001", APIv3Key: "short"}}},
		"twice":            {Merchants: []sim.Merchant{good, good}},
		"key of another":   {Merchants: []sim.Merchant{{MchID: good.MchID, Certificate: good.Certificate, PrivateKey: other}}},
		"public key ID":    {Platform: []sim.PlatformKey{{ID: "1234", PrivateKey: other}}},
		"no private key":   {Platform: []sim.PlatformKey{{ID: "PUB_KEY_ID_1"}}},
		"no pair":          {Platform: []sim.PlatformKey{{Certificate: good.Certificate, PrivateKey: other}}},
		"notify base":      {NotifyBase: "127.0.0.1:8443"},
		"notify base path": {NotifyBase: "http://127.0.0.1:8443/notify"},
		"speed":            {SpeedUp: -1},
		"key generation":   {NewKey: func() (*sim.Key, error) { return nil, errors.New("no") }},
	} {
		if o.NewKey == nil {
			o.NewKey = keys
		}
		if _, err := sim.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
