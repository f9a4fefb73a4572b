package doorcert_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wxproxy/wxproxy/internal/doorcert"
)

func TestBridgeKeepsTheLogsForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		at   zapcore.Level
		want string // empty: nothing
	}{
		{zapcore.DebugLevel, ""}, {zapcore.InfoLevel, "DEBUG"}, {zapcore.WarnLevel, "INFO"}, {zapcore.ErrorLevel, "WARN"},
	} {
		var text transcript
		log := doorcert.Bridged(slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
		log.With(zap.String("name", "a.test")).Log(tc.at, "lock\nheld", zap.Int("attempt", 2))
		if tc.want == "" {
			if text.String() != "" {
				t.Errorf("%v: %s", tc.at, text.String())
			}
			continue
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(text.String()), &line); err != nil {
			t.Fatal(err)
		}
		if line["level"] != tc.want || line["name"] != "a.test" || line["attempt"] != 2.0 || line["msg"] != "certificate: lock\nheld" {
			t.Errorf("%v: %v", tc.at, line)
		}
	}
}

func TestBridgeHeedsTheLevel(t *testing.T) {
	t.Parallel()
	var text transcript
	log := doorcert.Bridged(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})))
	log.Warn("not this")
	log.Error("this")
	if got := text.String(); strings.Contains(got, "not this") || !strings.Contains(got, "this") {
		t.Errorf("got %q", got)
	}
}

// What certmagic writes by its own logger ends in ours too. No other test may
// use that logger while this one replaces it.
func TestRedirectLog(t *testing.T) {
	before := *certmagic.Default.Logger
	defer func() { *certmagic.Default.Logger = before }()
	var text transcript
	doorcert.RedirectLog(text.logger())
	certmagic.Default.Logger.Sugar().Infof("[%s] Lock is stale", "dir")
	if !strings.Contains(text.String(), `msg="certificate: [dir] Lock is stale"`) {
		t.Errorf("got %q", text.String())
	}
}
