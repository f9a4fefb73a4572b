package doorcert

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge hands certmagic's log, which is zap's, to slog. It is detail to
// whoever runs wxproxy: the Door itself says what happened, once.
type bridge struct {
	to     slog.Handler
	fields []zapcore.Field
}

func bridged(log *slog.Logger) *zap.Logger { return zap.New(&bridge{to: log.Handler()}) }

// slogLevel is one step lower.
func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelWarn
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Enabled implements zapcore.Core. What certmagic itself calls debugging tells
// of every handshake and request, and is left out.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && b.to.Enabled(context.Background(), slogLevel(l))
}

// With implements zapcore.Core.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{to: b.to, fields: slices.Concat(b.fields, fields)}
}

// Check implements zapcore.Core.
func (b *bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

// Write implements zapcore.Core.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(e.Time, slogLevel(e.Level), "certificate: "+e.Message, 0)
	values := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(b.fields, fields) {
		f.AddTo(values)
	}
	for key, value := range values.Fields {
		record.AddAttrs(slog.Any(key, value))
	}
	return b.to.Handle(context.Background(), record)
}

// Sync implements zapcore.Core.
func (*bridge) Sync() error { return nil }
