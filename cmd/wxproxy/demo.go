package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wxproxy/wxproxy/internal/demo"
	"github.com/wxproxy/wxproxy/internal/sim"
)

const demoUsage = `wxproxy demo: the whole story on this machine, without account or network.

It starts a simulated WeChat Pay, the proxy and a small shop, and tells step by
step what happens between them. Each step is checked against what the shop and
the simulator recorded. Then everything stays up for you to try.

`

// runDemo tells the story. With --once it exits after it, 1 if a step failed.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set := newFlagSet("wxproxy demo", demoUsage, stdout, stderr)
	once := set.Bool("once", false, "exit after the story: 0 if it holds, 1 if a step failed")
	verbose := set.Bool("log", false, "print the proxy's log to standard error")
	err := set.Parse(args)
	if err == nil && set.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFine
	case err != nil:
		fmt.Fprintln(stderr, "wxproxy demo:", err)
		return exitUsage
	}
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}
	t := demo.NewTeller(stdout, demo.Colour(stdout, os.LookupEnv))
	return demoCode(ctx, stderr, *once, playDemo(ctx, t, *once, log))
}

// demoCode reports what went wrong. Ctrl-C is the way to end the demo, but it
// does not make a story that was not told to its end a good one.
func demoCode(ctx context.Context, stderr io.Writer, once bool, err error) int {
	switch {
	case err == nil, !once && ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitFine
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted before the end of the story")
	}
	fmt.Fprintln(stderr, "wxproxy demo:", err)
	return exitFailed
}

// playDemo builds everything, runs it, and tells the story. The keys are in a
// directory that only this user can read, and are gone afterwards.
func playDemo(ctx context.Context, t *demo.Teller, once bool, log *slog.Logger) (err error) {
	t.Title("wxproxy demo: WeChat Pay without cryptography in your app")
	t.Print("微信支付 APIv3 的签名、验签与解密都交给 wxproxy，应用只收发普通的 HTTP 与 JSON。")
	dir, err := os.MkdirTemp("", "wxproxy-demo-") // mode 0700
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The speed-up brings the first repeat of a notify from 15 s to 150 ms.
	g, err := newDemoStage(ctx, dir, sim.Options{SpeedUp: 100, RefundDelay: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	s, err := newSidecar(ctx, g.config(), log)
	if err != nil {
		return errors.Join(err, g.close())
	}
	cast := g.cast("http://"+s.address(roleOutbound), "http://"+s.address(roleNotify))
	introduce(t, cast, g)
	return during(ctx, []func(context.Context) error{g.Run, s.Run}, func(ctx context.Context) error {
		defer cast.Shop.Client.CloseIdleConnections() // or the drain would wait for them
		if err := t.Tell(ctx, demo.Story(cast)); err != nil || once {
			return err
		}
		suggest(t, cast, g.shopURL, "http://"+s.address(roleAdmin))
		return watch(ctx, t, cast.Shop)
	})
}

// during runs the tasks as long as do lasts, and waits for their end. A task
// that fails ends do.
func during(ctx context.Context, tasks []func(context.Context) error, do func(context.Context) error) error {
	life, stop := context.WithCancel(ctx)
	defer stop()
	group, life := errgroup.WithContext(life)
	for _, task := range tasks {
		group.Go(func() error { return task(life) })
	}
	var done error
	group.Go(func() error {
		defer stop()
		done = do(life)
		return nil
	})
	failed := group.Wait()
	if failed != nil && errors.Is(done, context.Canceled) {
		return failed // which is why do was cancelled
	}
	return errors.Join(done, failed)
}

func introduce(t *demo.Teller, c demo.Cast, g *demoStage) {
	t.Print("")
	for _, row := range [][2]string{
		{"simulated WeChat Pay", c.WeChat + "  keys of its own, no account, no money"},
		{"wxproxy, for the shop", c.Proxy + "  signs what leaves, verifies what comes back"},
		{"wxproxy, for WeChat Pay", c.Shop.NotifyURL + "  verifies and decrypts notifies"},
		{"the shop", g.shopURL + "  a plain HTTP client and JSON, no key"},
	} {
		t.Print("  %-25s%s", row[0], row[1])
	}
}

// suggest prints what to try while everything stays up.
func suggest(t *demo.Teller, c demo.Cast, shop, admin string) {
	const number = "MYTEA001"
	t.Print("")
	t.Title("Everything stays up until Ctrl-C. Try it from another terminal:")
	for _, line := range [][2]string{
		{"order a tea: plain JSON, no key", fmt.Sprintf(`curl %s/v3/pay/transactions/jsapi -H 'Content-Type: application/json' -d '{"appid":"%s","mchid":"%s","description":"tea","out_trade_no":"%s","notify_url":"%s","amount":{"total":880},"payer":{"openid":"%s"}}'`,
			c.Proxy, demo.AppID, c.Shop.MchID, number, c.Shop.NotifyURL, demo.OpenID)},
		{"pay it, as the customer: its notify appears below", fmt.Sprintf(`curl %s/_sim/pay -d '{"out_trade_no":"%s"}'`, c.WeChat, number)},
		{"ask what became of it; -i shows Wxproxy-Verified", fmt.Sprintf(`curl -i '%s/v3/pay/transactions/out-trade-no/%s?mchid=%s'`, c.Proxy, number, c.Shop.MchID)},
		{"the same without wxproxy: 401", fmt.Sprintf(`curl '%s/v3/pay/transactions/out-trade-no/%s?mchid=%s'`, c.WeChat, number, c.Shop.MchID)},
		{"what the simulated WeChat Pay can do: faults, rotation, refunds", "curl " + c.WeChat + "/_sim/help"},
		{"the shop's orders, the proxy's health and metrics", fmt.Sprintf("curl %s/orders %s/readyz %s/metrics", shop, admin, admin)},
	} {
		t.Comment(line[0])
		t.Print("  %s", line[1])
	}
	t.Print("")
}

// watch prints what arrives at the shop until ctx ends.
func watch(ctx context.Context, t *demo.Teller, shop *demo.Shop) error {
	seen, news := shop.Events(0)
	n := len(seen)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
		seen, news = shop.Events(n)
		for _, e := range seen {
			t.Print("  shop ← %s", e.Body)
		}
		n += len(seen)
	}
}

// shopClient is as plain as clients are.
func shopClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
}
