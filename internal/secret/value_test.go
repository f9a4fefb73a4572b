package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wxproxy/wxproxy/internal/secret"
)

const planted = "planted-7d0f3b-secret"

// leaks reports how text shows the planted secret, or "".
func leaks(text string) string {
	list := strings.Trim(fmt.Sprint([]byte(planted)), "[]")
	for name, form := range map[string]string{
		"plain":         planted,
		"hex":           hex.EncodeToString([]byte(planted)),
		"HEX":           strings.ToUpper(hex.EncodeToString([]byte(planted))),
		"spaced hex":    strings.TrimSpace(fmt.Sprintf("% x", planted)),
		"base64":        base64.StdEncoding.EncodeToString([]byte(planted)),
		"byte list":     list,
		"byte literals": strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(planted)), "[]byte{"), "}"),
		"json list":     strings.ReplaceAll(list, " ", ","),
	} {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

func TestLeaksFindsPlantedSecret(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%s", "%q", "%x", "%X", "% x", "%d", "%v", "%#v"} {
		if leaks(fmt.Sprintf(verb, []byte(planted))) == "" {
			t.Errorf("a secret printed by %s is not found", verb)
		}
	}
}

type holder struct {
	Name     string
	Exported secret.Value
	hidden   secret.Value
	pointer  *secret.Value
	list     []secret.Value
	byName   map[string]secret.Value
	any      any
}

func hold(v secret.Value) holder {
	return holder{"n", v, v, &v, []secret.Value{v}, map[string]secret.Value{"k": v}, v}
}

func TestValueIsNeverPrinted(t *testing.T) {
	t.Parallel()
	v := secret.NewValue([]byte(planted))
	held := hold(v)
	things := map[string]any{
		"value":             v,
		"pointer":           &v,
		"struct":            held,
		"pointer to struct": &held,
		"slice":             []secret.Value{v},
		"map":               map[string]secret.Value{"k": v},
		"interface":         []any{v, &v, held},
	}
	for name, thing := range things {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, text := range printed(t, thing) {
				if kind := leaks(text); kind != "" {
					t.Errorf("%s shows the secret (%s): %s", form, kind, text)
				}
			}
		})
	}
}

// printed returns thing in every form that a program might print it.
func printed(t *testing.T, thing any) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%p", "%20v", "%t"} {
		out[verb] = fmt.Sprintf(verb, thing)
	}
	out["error"] = fmt.Errorf("failing with %v: %w", thing, errors.ErrUnsupported).Error()

	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "k", thing, slog.Group("g", "k", thing))
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "k", thing, slog.Group("g", "k", thing))
	out["slog text"], out["slog json"] = text.String(), structured.String()

	j, err := json.Marshal(thing)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(thing)
	if err != nil {
		t.Fatal(err)
	}
	out["json"], out["yaml"] = string(j), string(y)
	return out
}

func TestValueSaysRedacted(t *testing.T) {
	t.Parallel()
	v := secret.NewValue([]byte(planted))
	for _, thing := range []any{v, &v} {
		for form, text := range printed(t, thing) {
			if !strings.Contains(text, "REDACTED") && form != "%p" {
				t.Errorf("%T in %s is %q", thing, form, text)
			}
		}
	}
	if got := v.String(); got != "REDACTED" {
		t.Errorf("got %q", got)
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	v := secret.NewValue([]byte(planted))
	if string(v.Bytes()) != planted || v.IsZero() {
		t.Error("the value is not what was put in")
	}
	if !v.Equal(secret.NewValue([]byte(planted))) {
		t.Error("equal values differ")
	}
	if v.Equal(secret.NewValue([]byte(planted+"x"))) || v.Equal(secret.Value{}) {
		t.Error("different values are equal")
	}

	var zero secret.Value
	zero.Clear()
	if !zero.IsZero() || zero.Bytes() != nil || !zero.Equal(secret.NewValue(nil)) || !zero.Trimmed().IsZero() {
		t.Error("the zero value is not empty")
	}
	if got := zero.String(); got != "REDACTED" {
		t.Errorf("got zero %q: whether there is a secret is told by IsZero alone", got)
	}

	b := []byte(planted)
	secret.NewValue(b).Clear()
	if !bytes.Equal(b, make([]byte, len(planted))) {
		t.Error("cleared bytes remain")
	}
}

func TestValueTrimmed(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a b":          "a b",
		"a b\n":        "a b",
		" \t\r\na\r\n": "a",
		"\n":           "",
	} {
		if got := secret.NewValue([]byte(in)).Trimmed(); string(got.Bytes()) != want {
			t.Errorf("%q: got %q, want %q", in, got.Bytes(), want)
		}
	}
}
