package secret_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wxproxy/wxproxy/internal/secret"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want secret.Ref
		err  error
	}{
		{in: "file:/etc/wxproxy/key.pem", want: secret.Ref{Scheme: "file", Target: "/etc/wxproxy/key.pem"}},
		{in: "file:relative.pem", want: secret.Ref{Scheme: "file", Target: "relative.pem"}},
		{in: `file:C:\keys\key.pem`, want: secret.Ref{Scheme: "file", Target: `C:\keys\key.pem`}},
		{in: "env:WXPROXY_TOKEN", want: secret.Ref{Scheme: "env", Target: "WXPROXY_TOKEN"}},
		{in: "env:_x1", want: secret.Ref{Scheme: "env", Target: "_x1"}},

		{in: "", err: secret.ErrLiteral},
		{in: planted, err: secret.ErrLiteral},
		{in: planted + ":" + planted, err: secret.ErrLiteral},
		{in: "FILE:/" + planted, err: secret.ErrLiteral},
		{in: " file:/" + planted, err: secret.ErrLiteral},
		{in: "-----BEGIN PRIVATE KEY-----\n" + planted, err: secret.ErrLiteral},
		{in: "file:", err: secret.ErrBadRef},
		{in: "file:/a\x00" + planted, err: secret.ErrBadRef},
		{in: "env:", err: secret.ErrBadRef},
		{in: "env:1" + planted, err: secret.ErrBadRef},
		{in: "env:$" + planted, err: secret.ErrBadRef},
		{in: "vault:secret/wechatpay/shop#apiv3_key", want: secret.Ref{Scheme: "vault", Target: "secret/wechatpay/shop", Field: "apiv3_key"}},
		{in: "vault:../b#" + planted, err: secret.ErrBadRef},
		{in: "vault:secret/wechatpay/" + planted, err: secret.ErrBadRef},
		{in: "vault:secret#" + planted, err: secret.ErrBadRef},
		{in: "vault:secret/a/../b#" + planted, err: secret.ErrBadRef},
		{in: "vault:secret//b#" + planted, err: secret.ErrBadRef},
		{in: "vault:secret/b#a#" + planted, err: secret.ErrBadRef},
		{in: "transit:transit/wechatpay-shop", want: secret.Ref{Scheme: "transit", Mount: "transit", Target: "wechatpay-shop"}},
		{in: "transit:transit/wechatpay-shop@12", want: secret.Ref{Scheme: "transit", Mount: "transit", Target: "wechatpay-shop", Version: 12}},
		{in: "transit:transit/shop@0" + planted, err: secret.ErrBadRef},
		{in: "transit:transit/shop@01", err: secret.ErrBadRef},
		{in: "transit:team/transit/shop@12", want: secret.Ref{Scheme: "transit", Mount: "team/transit", Target: "shop", Version: 12}},
		{in: "transit:transit//" + planted, err: secret.ErrBadRef},
		{in: "transit:team/../" + planted, err: secret.ErrBadRef},
		{in: "transit:/" + planted, err: secret.ErrBadRef},
		{in: "transit:" + planted, err: secret.ErrBadRef},
	} {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := secret.ParseRef(tt.in)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatalf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), planted) {
					t.Errorf("the error repeats what may be a secret: %v", err)
				}
				return
			}
			if got.String() != tt.in {
				t.Errorf("got %q back", got)
			}
		})
	}
}

func TestRefZero(t *testing.T) {
	t.Parallel()
	var r secret.Ref
	if !r.IsZero() || r.String() != "" {
		t.Errorf("got %q", r)
	}
	if (secret.Ref{Scheme: "env", Target: "A"}).IsZero() {
		t.Error("a reference is taken for none")
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("file:/etc/wxproxy/key.pem")
	f.Add("env:NAME")
	f.Add("vault:mount/path#field")
	f.Add("transit:mount/key")
	f.Add("0123456789abcdef0123456789abcdef")
	f.Add("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC:KcwggSj")
	known := make(map[string]bool)
	for _, s := range []string{"", "file:", "env:", "vault:", "transit:", "transit:mount/key@"} {
		_, err := secret.ParseRef(s)
		known[err.Error()] = true
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := secret.ParseRef(s)
		if err == nil {
			if ref.String() != s {
				t.Fatalf("%q became %q", s, ref)
			}
			return
		}
		if !ref.IsZero() {
			t.Fatalf("got both %q and %v", ref, err)
		}
		if !known[err.Error()] {
			t.Fatalf("the message is not one of the fixed ones, it may repeat a secret: %v", err)
		}
	})
}
