package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/sim"
)

const triggerUsage = `wxproxy trigger EVENT --to URL: send one real, encrypted, signed notify.

  wxproxy trigger TRANSACTION.SUCCESS --to http://127.0.0.1:8443/notify --dir ./sandbox
  wxproxy trigger REFUND.SUCCESS --to URL --dir ./sandbox --fault stale
  wxproxy trigger TRANSACTION.SUCCESS --to https://pay.localhost:8443/notify --ca root.crt --dir ./sandbox
  wxproxy trigger --list

The keys are those that wxproxy sim wrote to --dir, or the ones given by
--apiv3-key and --platform-key. It exits 0 when every notify was answered 200 or
204, else 1. Of the events whose answer WeChat Pay reads, as
PARKING_FEE.QUERY_TRANS_INFO, the answer must say SUCCESS, within their shorter
time, and be signed where WeChat Pay wants that (checked with --dir).

`

const maxResource = 1 << 20

// triggerFlags is the command line of wxproxy trigger.
type triggerFlags struct {
	event    string
	to       string
	list     bool
	dir      string
	sign     string
	resource string
	fault    string
	id       string
	count    int
	ca       string

	mchID       string
	apiv3Key    string
	platformKey string
	platformID  string
}

// runTrigger sends notifies and tells what the receiver said.
func runTrigger(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseTriggerFlags(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitFine
	case err != nil:
		fmt.Fprintln(stderr, "wxproxy trigger:", err)
		return exitUsage
	}
	var taken bool
	if f.list {
		taken, err = true, listEvents(stdout)
	} else {
		taken, err = f.run(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "wxproxy trigger:", err)
		return exitFailed
	}
	if !taken {
		return exitFailed
	}
	return exitFine
}

func parseTriggerFlags(args []string, stdout, stderr io.Writer) (*triggerFlags, error) {
	f := &triggerFlags{}
	set := newFlagSet("wxproxy trigger", triggerUsage, stdout, stderr)
	set.BoolVar(&f.list, "list", false, "list the event types that WeChat Pay documents; others can be sent too")
	set.StringVar(&f.to, "to", "", "`URL` of the receiver")
	set.StringVar(&f.dir, "dir", "", "`directory` that wxproxy sim wrote its credentials to")
	set.StringVar(&f.sign, "sign", "public-key", "platform key that signs: public-key or certificate")
	set.StringVar(&f.resource, "resource", "", "`file` with the JSON to encrypt, - for standard input; default: a sample")
	set.StringVar(&f.fault, "fault", "", "spoil the notify: probe, stale, flip, flip_signature, wrong_serial, unsigned or bad_cipher")
	set.StringVar(&f.id, "id", "", "ID of the notify; give one that was sent before to send a copy; default: a new one")
	set.IntVar(&f.count, "count", 1, "how many to send, one after the other, each with an ID of its own unless --id is given")
	set.StringVar(&f.ca, "ca", "", "`file` with the certificates that may sign the receiver's, as wxproxy trust names it; default: the system's")
	set.StringVar(&f.mchID, "mchid", sim.SimulatedMchID, "merchant `number`, without --dir")
	set.StringVar(&f.apiv3Key, "apiv3-key", "", "`file` with the merchant's APIv3 key, without --dir")
	set.StringVar(&f.platformKey, "platform-key", "", "`file` with the private key that signs, and with its certificate unless --platform-id is given; without --dir")
	set.StringVar(&f.platformID, "platform-id", "", "PUB_KEY_ID_… of --platform-key when it is the public key's")
	// The event may stand before the flags or behind them.
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		f.event, args = args[0], args[1:]
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	rest := set.Args()
	if f.event == "" && len(rest) > 0 {
		f.event, rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("unexpected argument %q", rest[0])
	}
	return f, f.check()
}

func (f *triggerFlags) check() error {
	if f.list {
		return nil
	}
	u, err := url.Parse(f.to)
	switch {
	case f.event == "":
		return errors.New("name an event, as in TRANSACTION.SUCCESS; --list shows them")
	case f.to == "":
		return errors.New("--to is missing: the URL of the receiver")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("--to is not an http or https URL")
	case f.dir == "" && (f.apiv3Key == "" || f.platformKey == ""):
		return errors.New("give --dir with the credentials of wxproxy sim, or both --apiv3-key and --platform-key")
	case f.dir != "" && f.apiv3Key+f.platformKey+f.platformID != "":
		return errors.New("--dir and --apiv3-key, --platform-key, --platform-id exclude each other")
	case f.sign != "public-key" && f.sign != "certificate":
		return errors.New("--sign is public-key or certificate")
	case f.count < 1:
		return errors.New("--count must be at least 1")
	}
	return nil
}

func (f *triggerFlags) run(ctx context.Context, stdout io.Writer) (taken bool, err error) {
	options, public, err := f.keys()
	if err != nil {
		return false, err
	}
	notice := sim.Notice{Event: f.event, ID: f.id}
	if f.resource != "" {
		if notice.Resource, err = readResource(f.resource); err != nil {
			return false, err
		}
	}
	if options.Client, err = receiverClient(f.ca); err != nil {
		return false, fmt.Errorf("--ca: %w", err)
	}
	s, err := sim.New(options)
	if err != nil {
		return false, err
	}
	if public {
		if err := s.UsePublicKey(sim.PublicKeyOnly, 100); err != nil {
			return false, err
		}
	}
	taken = true
	for range f.count {
		d, err := s.Send(ctx, f.to, notice, f.order())
		if err != nil {
			return false, err
		}
		report(stdout, d)
		taken = taken && d.Verdict != sim.VerdictNotTaken
	}
	return taken, nil
}

// keys says whose notify it is, and whether the public key signs it.
func (f *triggerFlags) keys() (o sim.Options, public bool, err error) {
	if f.dir != "" {
		// Not Options.Dir: a directory without credentials must not get some.
		o, err = sim.ReadDir(f.dir)
		return o, f.sign == "public-key", err
	}
	key, err := os.ReadFile(f.apiv3Key)
	if err != nil {
		return o, false, fmt.Errorf("reading --apiv3-key: %w", err)
	}
	signing, err := sim.ReadPlatformKey(f.platformKey)
	if err != nil {
		return o, false, err
	}
	if f.platformID != "" {
		signing.Certificate, signing.ID = nil, f.platformID
	}
	o.Merchants = []sim.Merchant{{MchID: f.mchID, APIv3Key: strings.TrimSpace(string(key))}}
	o.Platform = []sim.PlatformKey{*signing}
	o.UncheckedAnswers = true // the merchant's certificate is not among the flags
	return o, signing.Certificate == nil, nil
}

// order translates the fault's name.
func (f *triggerFlags) order() *sim.Fault {
	switch f.fault {
	case "":
		return nil
	case "stale":
		return &sim.Fault{Kind: sim.FaultSkew, Skew: sim.Duration(-301 * time.Second)}
	case "flip":
		return &sim.Fault{Kind: sim.FaultFlipBody}
	}
	return &sim.Fault{Kind: f.fault}
}

func readResource(path string) (json.RawMessage, error) {
	var from io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening --resource: %w", err)
		}
		defer file.Close()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxResource+1))
	if err != nil {
		return nil, fmt.Errorf("reading --resource: %w", err)
	}
	if len(content) > maxResource || !json.Valid(content) {
		return nil, errors.New("--resource is not JSON, or has more than 1 MiB")
	}
	return content, nil
}

func report(w io.Writer, d sim.Delivery) {
	fmt.Fprintf(w, "%s %s: %s", d.Event, d.NotifyID, d.Verdict)
	if d.Status != 0 {
		fmt.Fprintf(w, ", answered %d", d.Status)
	}
	if d.Reason != "" {
		fmt.Fprintf(w, " (%s)", d.Reason)
	}
	fmt.Fprintln(w)
	if signed := d.Header.Get("Authorization"); signed != "" {
		fmt.Fprintf(w, "  Authorization: %.1024s\n", signed)
	}
	if len(d.Answer) > 0 {
		fmt.Fprintf(w, "  %.1024q\n", d.Answer)
	}
}

func listEvents(w io.Writer) error {
	table, err := endpoint.New(nil)
	if err != nil {
		return err
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range table.Events() {
		fmt.Fprintf(columns, "%s\t%s\t%s\n", e.Type, e.OriginalType, e.TitleZh)
	}
	return columns.Flush()
}
