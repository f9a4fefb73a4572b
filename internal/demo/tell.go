package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Teller prints the story.
type Teller struct {
	w      io.Writer
	colour bool
}

// NewTeller prints to w, with colours only if told so.
func NewTeller(w io.Writer, colour bool) *Teller { return &Teller{w, colour} }

// Colour reports whether w is a terminal whose user wants colours.
func Colour(w io.Writer, env func(string) (string, bool)) bool {
	f, ok := w.(*os.File)
	if !ok || runtime.GOOS == "windows" { // where older consoles print the codes
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	term, _ := env("TERM")
	no, set := env("NO_COLOR")
	return term != "" && term != "dumb" && (!set || no == "")
}

// Styles of a terminal.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

func (t *Teller) style(code, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Print prints lines as they are.
func (t *Teller) Print(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

// Title prints a heading.
func (t *Teller) Title(text string) { t.Print("%s", t.style(bold, text)) }

// Comment prints what explains the next line.
func (t *Teller) Comment(text string) { t.Print("%s", t.style(dim, "  # "+text)) }

// Tell runs the steps one after the other and prints them as they happen. The
// error is a *StepError of the first that failed, or the context's.
func (t *Teller) Tell(ctx context.Context, steps []Step) error {
	begin := time.Now()
	for i, step := range steps {
		number := fmt.Sprintf("%2d/%d", i+1, len(steps))
		t.Print("\n%s  %s", t.style(cyan, number), t.style(bold, step.Name))
		t.Print("%s", t.style(dim, indent+step.Why))
		start := time.Now()
		err := t.run(ctx, step)
		took := time.Since(start).Round(time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			t.Print("%s%s %s", indent, t.style(red, "✗"), err)
			return &StepError{Number: i + 1, Name: step.Name, Err: err}
		}
		t.Print("%s%s %s", indent, t.style(green, "✓"), t.style(dim, took.String()))
	}
	t.Print("\n%s", t.style(green, fmt.Sprintf("✓ all %d steps, in %s", len(steps), time.Since(begin).Round(10*time.Millisecond))))
	return nil
}

const indent = "       "

func (t *Teller) run(ctx context.Context, step Step) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return step.Run(ctx, func(format string, args ...any) {
		t.Print("%s%s", indent, t.arrows(fmt.Sprintf(format, args...)))
	})
}

// arrows marks who talks to whom.
func (t *Teller) arrows(line string) string {
	return strings.NewReplacer("→", t.style(cyan, "→"), "←", t.style(cyan, "←")).Replace(line)
}
