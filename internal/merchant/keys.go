package merchant

import (
	"bytes"
	"context"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

func (i *inspection) apiv3Keys(ctx context.Context) {
	const current, previous = "apiv3_key", "apiv3_key_previous"
	if i.spec.APIv3Key.IsZero() {
		i.fail(current, "set it to where the APIv3 key (APIv3密钥) is", "no reference is given")
		return
	}
	key, ok := i.apiKey(ctx, current, i.spec.APIv3Key)
	if !ok {
		return
	}
	i.m.APIv3Keys = []secret.Value{key}
	if i.spec.APIv3KeyPrevious.IsZero() {
		return
	}
	old, ok := i.apiKey(ctx, previous, i.spec.APIv3KeyPrevious)
	switch {
	case !ok:
	case old.Equal(key):
		i.warn(previous, "remove it once the change of keys is over", "%s: it is the same key as apiv3_key", i.spec.APIv3KeyPrevious)
	default:
		i.m.APIv3Keys = append(i.m.APIv3Keys, old)
	}
}

// apiKey reads a key that is a text of 32 bytes. Editors end files with a line
// feed, which is no part of it.
func (i *inspection) apiKey(ctx context.Context, name string, ref secret.Ref) (secret.Value, bool) {
	v, ok := i.read(ctx, name, ref)
	if !ok {
		return secret.Value{}, false
	}
	key := v.Trimmed()
	switch n := len(key.Bytes()); {
	case bytes.HasPrefix(key.Bytes(), []byte("-----BEGIN")):
		i.fail(name, "point it to the key that was set as text in the merchant console (账户中心 > API安全)", "%s: this is a PEM file, not the text of an API key", ref)
	case n != wire.APIv3KeyLen:
		i.fail(name, "put the 32 characters there that were set in the merchant console (账户中心 > API安全); the APIv3 and the APIv2 key are two different keys, "+
			"and if it is lost a new one must be set", "%s: it has %d bytes, not %d", ref, n, wire.APIv3KeyLen)
	default:
		i.ok(name, "%s: %d bytes", ref, n)
		return key, true
	}
	v.Clear()
	return secret.Value{}, false
}

func (i *inspection) apiv2Key(ctx context.Context) {
	const name = "apiv2_key"
	if i.spec.APIv2Key.IsZero() {
		return
	}
	key, ok := i.apiKey(ctx, name, i.spec.APIv2Key)
	if !ok {
		return
	}
	i.m.APIv2Key = key
	if len(i.m.APIv3Keys) > 0 && key.Equal(i.m.APIv3Keys[0]) {
		i.warn(name, "check in the merchant console that both were set to the same text, and better set two", "%s: it is the same as apiv3_key", i.spec.APIv2Key)
	}
}

func (i *inspection) publicKey(ctx context.Context) {
	const name, nameID = "public_key", "public_key_id"
	ref, id := i.spec.PublicKey, i.spec.PublicKeyID
	if ref.IsZero() && id == "" {
		return
	}
	switch {
	case id == "":
		i.fail(nameID, "copy the ID (PUB_KEY_ID_…, 微信支付公钥ID) from the merchant console", "public_key is given without it")
	case !strings.HasPrefix(id, wire.PublicKeyIDPrefix) || wire.CheckSerial(id) != nil:
		i.fail(nameID, "copy it from the merchant console: PUB_KEY_ID_ and digits", "it is not the ID of a WeChat Pay public key")
		id = ""
	default:
		i.ok(nameID, "%s", id)
	}
	if ref.IsZero() {
		i.fail(name, "download pub_key.pem from the merchant console and name it", "public_key_id is given without it")
		return
	}
	text, ok := i.read(ctx, name, ref)
	if !ok {
		return
	}
	defer text.Clear() // it may be a private key
	key, err := verifier.ParsePublicKey(text.Bytes())
	switch {
	case err != nil:
		i.fail(name, "put the content of pub_key.pem there, as downloaded from the merchant console", "%s: %v", ref, err)
	case i.key != nil && key.Equal(i.key.Public()):
		i.fail(name, "download pub_key.pem (微信支付公钥) from the merchant console", "%s: this is your own key, not WeChat Pay's", ref)
	case id != "":
		i.m.PinnedSerial, i.m.Pinned = id, key
		i.ok(name, "%s: RSA, %d bits", ref, key.N.BitLen())
	}
}
