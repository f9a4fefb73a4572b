package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/wxproxy/wxproxy/internal/secret"
)

var (
	aliasName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	mchID       = regexp.MustCompile(`^[0-9]{8,10}$`)
	brandID     = regexp.MustCompile(`^[0-9]{1,20}$`)
	serialNo    = regexp.MustCompile(`^[0-9A-Fa-f]{1,40}$`)
	digits      = regexp.MustCompile(`^[0-9]+$`)
	publicKeyID = regexp.MustCompile(`^PUB_KEY_ID_[0-9A-Za-z]{1,53}$`)
)

const (
	aliasFix  = "use 1 to 32 lower-case letters, digits, - and _, beginning with a letter or digit, as in shop"
	serialFix = "write the hexadecimal serial number of apiclient_cert.pem: openssl x509 -in apiclient_cert.pem -noout -serial"
)

func (k *checker) merchants() {
	if len(k.c.Merchants) == 0 {
		k.fault("merchants", "is empty", "add a merchant: name, mchid, serial_no or certificate, private_key, apiv3_key")
	}
	aliases, ids := map[string]string{}, map[string]string{}
	for i, m := range k.c.Merchants {
		key := fmt.Sprintf("merchants[%d]", i)
		k.merchant(key, m)
		k.unique(aliases, join(key, "name"), m.Name, "give each merchant its own name")
		k.unique(ids, join(key, idKey(m)), m.ID(), "keep one entry for each number")
	}
	for i, m := range k.c.Merchants {
		if first, ok := ids[m.Name]; ok && m.Name != m.ID() {
			k.fault(fmt.Sprintf("merchants[%d].name", i), "is the number of another merchant, see "+first, "use another name: callers may ask for either by it")
		}
	}
}

// unique remembers value under its key and faults one that was there before.
func (k *checker) unique(seen map[string]string, key, value, fix string) {
	if value == "" {
		return
	}
	if first, ok := seen[value]; ok {
		k.fault(key, "is the same as "+first, fix)
		return
	}
	seen[value] = key
}

func (k *checker) merchant(key string, m Merchant) {
	if !aliasName.MatchString(m.Name) {
		k.fault(join(key, "name"), missingOr(m.Name, "is not a valid name"), aliasFix)
	} else if m.Name == allMerchants {
		k.fault(join(key, "name"), "is reserved for every merchant", "use another name")
	}
	if m.IsBrand() {
		k.brand(key, m)
	} else if (m.MchID != "" || m.Certificate.IsZero()) && !mchID.MatchString(m.MchID) {
		k.fault(join(key, "mchid"), missingOr(m.MchID, "is not a merchant number"),
			"write the 8 to 10 digits from the merchant console (商户号), or give certificate, which contains them")
	}
	k.serial(join(key, "serial_no"), m)
	if m.PrivateKey.IsZero() {
		k.fault(join(key, "private_key"), "is missing", "write where apiclient_key.pem is, as in file:/etc/wxproxy/apiclient_key.pem")
	}
	if old := m.PrivateKeyPrevious; !old.IsZero() {
		key := join(key, "private_key_previous")
		switch {
		case old == m.PrivateKey:
			k.fault(key, "is the same reference as private_key", "point it to the key that was in use before, or remove it")
		case m.PrivateKey.Scheme == secret.SchemeTransit:
			k.fault(key, "stands beside a private_key in Vault's Transit, with which nothing is decrypted", "remove it")
		}
	}
	if m.APIv3Key.IsZero() {
		k.fault(join(key, "apiv3_key"), "is missing", "write where the APIv3 key (APIv3密钥) is, as in env:SHOP_APIV3_KEY or file:/etc/wxproxy/apiv3_key")
	}
	if !m.APIv3Key.IsZero() && m.APIv3Key == m.APIv3KeyPrevious {
		k.fault(join(key, "apiv3_key_previous"), "is the same reference as apiv3_key", "point it to the key that was valid before, or remove it")
	}
	k.platform(join(key, "platform"), m)
}

func idKey(m Merchant) string {
	if m.IsBrand() {
		return "brand_id"
	}
	return "mchid"
}

// brand checks what a brand has and what it has not.
func (k *checker) brand(key string, m Merchant) {
	if !brandID.MatchString(m.BrandID) {
		k.fault(join(key, "brand_id"), "is not the number of a brand", "write the digits of the brand ID (品牌ID) from the brand's console")
	}
	if m.MchID != "" {
		k.fault(join(key, "brand_id"), "stands beside mchid", "give the brand an entry of its own: it has keys of its own")
	}
	if !m.APIv2Key.IsZero() {
		k.fault(join(key, "apiv2_key"), "is not for brands", "move it to the entry of the merchant")
	}
	if m.Platform.PublicKey.IsZero() && m.Platform.PublicKeyID == "" {
		k.fault(join(key, "platform.public_key"), "is missing: what is for a brand is signed with WeChat Pay's public key alone",
			"download pub_key.pem (微信支付公钥) from the brand's console, write file:PATH, and give public_key_id")
	}
}

// serial names the mistakes that users of other clients have made most.
func (k *checker) serial(key string, m Merchant) {
	s := m.SerialNo
	switch {
	case s == "" && m.Certificate.IsZero():
		k.fault(key, "is missing, and there is no certificate to read it from", "give certificate, or "+serialFix)
	case s == "" || (serialNo.MatchString(s) && len(s) <= 40):
		return
	case strings.HasPrefix(strings.ToUpper(s), "PUB_KEY_ID_"):
		k.fault(key, "is the ID of WeChat Pay's public key, not the serial number of your certificate",
			"move it to platform.public_key_id; here "+serialFix)
	case digits.MatchString(s):
		k.fault(key, "looks decimal: it has more than 40 digits", serialFix+" (or convert it: printf 'obase=16; NUMBER\\n' | bc)")
	case strings.ContainsAny(s, ": "):
		k.fault(key, "has colons or spaces", "remove them: only the hexadecimal digits")
	default:
		k.fault(key, "is not 1 to 40 hexadecimal digits", serialFix)
	}
}

func (k *checker) platform(key string, m Merchant) {
	p, id := m.Platform, join(key, "public_key_id")
	switch {
	case p.PublicKeyID == "" && !p.PublicKey.IsZero():
		k.fault(id, "is missing beside public_key", "copy the ID (PUB_KEY_ID_…, 微信支付公钥ID) from the merchant console, where pub_key.pem came from")
	case p.PublicKeyID != "" && !publicKeyID.MatchString(p.PublicKeyID):
		k.fault(id, "is not the ID of a WeChat Pay public key", "copy it from the merchant console: PUB_KEY_ID_ and digits")
	}
	if p.PublicKeyID != "" && p.PublicKey.IsZero() {
		k.fault(join(key, "public_key"), "is missing beside public_key_id", "download pub_key.pem (微信支付公钥) from the merchant console and write file:PATH")
	}
	if p.Certificates == "off" && p.PublicKey.IsZero() && !m.IsBrand() {
		k.fault(join(key, "certificates"), "is off and there is no public_key: nothing could be verified", "give public_key and public_key_id, or write certificates: auto")
	}
}

func missingOr(value, problem string) string {
	if value == "" {
		return "is missing"
	}
	return problem
}
