package proxy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a goroutine outlives the tests: every one has an owner.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Who plays what. Everything that is not ours is played with the standard
// library alone, so that no code of ours vouches for itself.
const (
	mchID          = "1900000001"
	merchantSerial = "3775B6A45ACD588826D15E583A95F5DD08B9A2C4"
	apiv3Key       = "0123456789abcdef0123456789ABCDEF"

	otherMchID  = "1900000002"
	otherAPIv3  = "ffffffffffffffff0123456789ABCDEF"
	otherSerial = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"

	platformSerial = "PUB_KEY_ID_0119000000012024110100001234567890"
	rotatedSerial  = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
)

type keyring struct{ merchant, other, platform, rotated *rsa.PrivateKey }

// keys are made once: making them is slow.
var keys = sync.OnceValue(func() (k keyring) {
	var wg sync.WaitGroup
	for _, to := range []**rsa.PrivateKey{&k.merchant, &k.other, &k.platform, &k.rotated} {
		wg.Go(func() {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			*to = key
		})
	}
	wg.Wait()
	return k
})
