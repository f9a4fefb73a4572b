package config

import (
	"fmt"
	"reflect"
	"regexp"
	"time"
)

var privateKeyOf = regexp.MustCompile(`^merchants\[[0-9]+\]\.private_key$`)

// vault checks the section and that references to Vault stand where Vault can
// answer them.
func (k *checker) vault() {
	v := k.c.Vault
	used := false
	everything(reflect.ValueOf(k.c).Elem(), "", func(key string, f reflect.Value, _ reflect.StructTag) {
		ref, ok := reflect.TypeAssert[Ref](f)
		if !ok || !ref.InVault() {
			return
		}
		used = true
		k.vaultReference(key, ref)
	})
	if v.Address == "" {
		if used {
			k.fault("vault.address", "is missing, and there are references to Vault", "write Vault's address, as in https://vault.example.com:8200")
		}
		return
	}
	u, err := parseURL(v.Address)
	switch {
	case err != nil:
		k.fault("vault.address", err.Error(), "write scheme and host, as in https://vault.example.com:8200")
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		k.fault("vault.address", "is http:// to another machine, which would see every secret", "use https://")
	}
	if (v.ClientCertificate == "") != (v.ClientKey == "") {
		k.fault("vault.client_key", "and vault.client_certificate are given together or not at all", "give both, or neither")
	}
	k.vaultAuth(v.Auth)
	k.duration("vault.refresh", v.Refresh, time.Second, 0)
	k.duration("vault.max_stale", v.MaxStale, 0, 0)
	if v.MaxStale > 0 && v.MaxStale < 2*v.Refresh { // a poll is up to a tenth late, and takes its time
		k.fault("vault.max_stale", fmt.Sprintf("is less than twice vault.refresh (%v): keys could end before they are read again", v.Refresh),
			"write more, or less for vault.refresh")
	}
	k.duration("vault.timeout", v.Timeout, 10*time.Millisecond, time.Minute)
	k.duration("vault.start_timeout", v.StartTimeout, 0, time.Hour)
	if v.Connections < 1 || v.Connections > 1024 {
		k.fault("vault.connections", "is out of range", "write a number from 1 to 1024")
	}
}

// vaultReference refuses what Vault cannot give: a key that stays in Vault can
// sign and nothing else, and the way into Vault cannot be kept in it.
func (k *checker) vaultReference(key string, ref Ref) {
	switch {
	case len(key) > 6 && key[:6] == "vault.":
		k.fault(key, "is kept in Vault, and is needed to get in", "use file: or env:")
	case ref.Scheme == "transit" && !privateKeyOf.MatchString(key):
		k.fault(key, "is a transit: reference, which is for merchants' private_key alone", "use vault:, file: or env:")
	}
}

func (k *checker) vaultAuth(a VaultAuth) {
	need := func(key string, missing bool, fix string) {
		if missing {
			k.fault("vault.auth."+key, "is missing for this method", fix)
		}
	}
	switch a.Method {
	case "":
		k.fault("vault.auth.method", "is missing", "write kubernetes, approle, token or token_file")
	case "kubernetes":
		need("role", a.Role == "", "write the role that Vault's kubernetes auth has for wxproxy")
	case "approle":
		need("role_id", a.RoleID.IsZero(), "write role_id: file:PATH or env:NAME")
		need("secret_id", a.SecretID.IsZero(), "write secret_id: file:PATH or env:NAME")
	case "token":
		need("token", a.Token.IsZero(), "write token: file:PATH or env:NAME")
	case "token_file":
		need("token_file", a.TokenFile == "", "write the file that Vault Agent keeps the token in")
	}
}
