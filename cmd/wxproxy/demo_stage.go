package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/demo"
	"github.com/wxproxy/wxproxy/internal/secret"
	"github.com/wxproxy/wxproxy/internal/sim"
)

// anyPort leaves the choice to the system: the demo shall start wherever it is
// tried.
const anyPort = "127.0.0.1:0"

// demoStage is what stands around the proxy in the demo: the simulated WeChat
// Pay, the shop, and the merchant's files.
type demoStage struct {
	sim     *sim.Sim
	shop    *demo.Shop
	wiretap *demo.Wiretap
	dir     string // of the merchant's files
	simURL  string
	shopURL string
	doors   []door
}

// newDemoStage makes keys, writes the merchant's ones to dir and opens the
// listeners; Run serves, or close closes them.
func newDemoStage(ctx context.Context, dir string, o sim.Options) (*demoStage, error) {
	g := &demoStage{dir: dir, wiretap: &demo.Wiretap{Base: &http.Transport{DisableKeepAlives: true}}}
	o.Client = &http.Client{Transport: g.wiretap}
	var err error
	if g.sim, err = sim.New(o); err != nil {
		return nil, err
	}
	merchant := g.sim.Merchants()[0]
	if err := writeMerchant(dir, merchant, g.sim); err != nil {
		return nil, err
	}
	g.shop = &demo.Shop{MchID: merchant.MchID, Client: shopClient()}
	if g.simURL, err = g.open(ctx, g.sim.Handler(), sim.IdleTimeout); err == nil {
		g.shopURL, err = g.open(ctx, g.shop.Handler(), time.Minute)
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *demoStage) open(ctx context.Context, h http.Handler, idle time.Duration) (url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", anyPort)
	if err != nil {
		return "", err
	}
	server := newServer(h, 64<<10, slog.New(slog.DiscardHandler))
	server.IdleTimeout = idle
	g.doors = append(g.doors, door{listener: l, server: server})
	return "http://" + l.Addr().String(), nil
}

func (g *demoStage) close() (err error) {
	for _, d := range g.doors {
		err = errors.Join(err, d.listener.Close())
	}
	return err
}

// Names of the merchant's files, as WeChat Pay gives them where it has such a
// file.
const (
	demoCertificate = "apiclient_cert.pem"
	demoKey         = "apiclient_key.pem"
	demoAPIv3Key    = "apiv3_key"
	demoPublicKey   = "pub_key.pem"
)

// writeMerchant writes what a merchant gets from WeChat Pay's console.
func writeMerchant(dir string, m sim.Merchant, s *sim.Sim) error {
	key, err := x509.MarshalPKCS8PrivateKey(m.PrivateKey)
	if err != nil {
		return fmt.Errorf("writing the merchant's key: %w", err)
	}
	_, public := s.PublicKey()
	publicKey, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("writing the public key: %w", err)
	}
	for name, content := range map[string][]byte{
		demoCertificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate.Raw}),
		demoKey:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		demoAPIv3Key:    []byte(m.APIv3Key),
		demoPublicKey:   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicKey}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// config is what a user would write for this stage; the rest is default.
func (g *demoStage) config() *config.Config {
	file := func(name string) secret.Ref { return secret.Ref{Scheme: "file", Target: filepath.Join(g.dir, name)} }
	publicKeyID, _ := g.sim.PublicKey()
	c := config.Default()
	c.Merchants = []config.Merchant{{
		Name: "shop", Certificate: file(demoCertificate), PrivateKey: file(demoKey), APIv3Key: file(demoAPIv3Key),
		Platform: config.Platform{PublicKey: file(demoPublicKey), PublicKeyID: publicKeyID, Certificates: "auto"},
	}}
	c.Outbound.Listen = []config.Listener{{Address: anyPort}}
	c.Outbound.Upstreams = []string{g.simURL}
	c.Notify.Listen = anyPort
	c.Notify.Routes = []config.Route{{Path: "/notify/shop", To: g.shopURL + "/notify", Body: "envelope", Ack: "app"}}
	c.Admin.Listen = anyPort
	c.ShutdownGrace = 2 * time.Second
	return c
}

// cast names who plays, with the proxy at two base URLs.
func (g *demoStage) cast(outbound, notify string) demo.Cast {
	g.shop.NotifyURL = notify + "/notify/shop"
	return demo.Cast{Sim: g.sim, Shop: g.shop, Wiretap: g.wiretap, WeChat: g.simURL, Proxy: outbound}
}

// Run serves the simulator and the shop until ctx ends.
func (g *demoStage) Run(ctx context.Context) error {
	tasks, life := errgroup.WithContext(ctx)
	tasks.Go(func() error { return g.sim.Run(life) })
	for _, d := range g.doors {
		tasks.Go(func() error {
			if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving the demo: %w", err)
			}
			return nil
		})
		tasks.Go(func() error {
			<-life.Done()
			return d.server.Close() // nothing here is worth waiting for
		})
	}
	return tasks.Wait()
}
