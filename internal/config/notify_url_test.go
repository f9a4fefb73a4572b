package config_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/wxproxy/wxproxy/internal/config"
)

func TestNotifyURLs(t *testing.T) {
	t.Parallel()
	merchants := []config.Merchant{{Name: "a"}, {Name: "b"}}
	route := func(path, merchant string, events ...string) config.Route {
		return config.Route{Path: path, Merchant: merchant, Events: events}
	}
	for name, tt := range map[string]struct {
		public string
		routes []config.Route
		want   map[string]string
	}{
		"one each":             {"https://pay.example.com", []config.Route{route("/n/a", "a"), route("/n/b", "b")}, map[string]string{"a": "https://pay.example.com/n/a", "b": "https://pay.example.com/n/b"}},
		"one for all":          {"https://pay.example.com/", []config.Route{route("/n", "all")}, map[string]string{"a": "https://pay.example.com/n", "b": "https://pay.example.com/n"}},
		"a path in public_url": {"https://pay.example.com/wx", []config.Route{route("/n", "a")}, map[string]string{"a": "https://pay.example.com/wx/n"}},
		"events do not count":  {"https://pay.example.com", []config.Route{route("/n", "a"), route("/r", "a", "REFUND.*")}, map[string]string{"a": "https://pay.example.com/n"}},
		"events alone":         {"https://pay.example.com", []config.Route{route("/r", "a", "REFUND.*")}, nil},
		"two":                  {"https://pay.example.com", []config.Route{route("/n", "a"), route("/m", "all")}, map[string]string{"b": "https://pay.example.com/m"}},
		"no public_url":        {"", []config.Route{route("/n", "a")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &config.Config{Merchants: merchants}
			c.Notify.PublicURL, c.Notify.Routes = tt.public, tt.routes
			if got := c.NotifyURLs(); !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNotifyAddresses(t *testing.T) {
	t.Parallel()
	c := &config.Config{Merchants: []config.Merchant{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	c.Notify.Routes = []config.Route{{Path: "/n", Merchants: []string{"a", "b"}}, {Path: "/r", Merchant: "a", Events: []string{"REFUND.*"}}}
	if got := c.NotifyAddresses(); got != nil {
		t.Errorf("without public_url: %v", got)
	}
	c.Notify.PublicURL = "https://pay.example.com/wx/"
	want := map[string][]string{"a": {"https://pay.example.com/wx/n", "https://pay.example.com/wx/r"}, "b": {"https://pay.example.com/wx/n"}}
	if got := c.NotifyAddresses(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}
