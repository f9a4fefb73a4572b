package main

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wxproxy/wxproxy/certcache"
	"github.com/wxproxy/wxproxy/internal/admin"
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/vault"
	"github.com/wxproxy/wxproxy/proxy"
)

// role says what a door is for, and with that when it closes.
type role string

const (
	roleOutbound  role = "outbound"
	roleNotify    role = "notify"
	roleChallenge role = "acme challenges"
	roleAdmin     role = "admin"
	roleControl   role = "control"
)

// door is one listener with its server.
type door struct {
	role     role
	listener net.Listener
	server   *http.Server
}

func (s *sidecar) openDoors(ctx context.Context) error {
	c := s.cfg
	for i, l := range c.Outbound.Listen {
		network, _, err := config.ParseAddress(l.Address)
		if err != nil {
			return fmt.Errorf("outbound.listen[%d]: %w", i, err)
		}
		h := s.outbound.Handler(proxy.Listener{Merchant: l.Merchant, Unix: network == "unix"})
		if err := s.open(roleOutbound, l.Address, c.Outbound.SocketMode, h); err != nil {
			return fmt.Errorf("outbound.listen[%d]: %w", i, err)
		}
	}
	if s.notify != nil {
		if err := s.open(roleNotify, c.Notify.Listen, c.Outbound.SocketMode, s.notify); err != nil {
			return fmt.Errorf("notify.listen: %w", err)
		}
		last := &s.doors[len(s.doors)-1]
		boundStrangers(last.server, maxStrangers)
		if c.Notify.ProxyProtocol {
			last.listener = announced(last.listener, c.Notify.TrustedProxies)
		}
	}
	if c.Admin.Listen != "" {
		if err := s.open(roleAdmin, c.Admin.Listen, c.Outbound.SocketMode, admin.Health(s.statuses, s.metricsHandler())); err != nil {
			return fmt.Errorf("admin.listen: %w", err)
		}
	}
	if c.Admin.Control != "" {
		token, err := s.secret(ctx, c.Admin.ControlToken, nil)
		if err != nil {
			return fmt.Errorf("admin.control_token: %w", err)
		}
		h := admin.Control(admin.ControlOptions{Token: token, Reload: s.reload, Quit: s.quit, Statuses: s.statuses, Details: s.details})
		if err := s.open(roleControl, c.Admin.Control, c.Admin.ControlMode, h); err != nil {
			return fmt.Errorf("admin.control: %w", err)
		}
	}
	return nil
}

func (s *sidecar) open(r role, address string, mode fs.FileMode, h http.Handler) error {
	l, err := listen(address, mode)
	if err != nil {
		return err
	}
	s.doors = append(s.doors, door{r, l, newServer(h, int(s.cfg.Outbound.Limits.Headers), s.log)})
	return nil
}

func (s *sidecar) closeDoors() {
	for _, d := range s.doors {
		_ = d.listener.Close()
	}
}

// address is where the first door of a role listens, empty if there is none.
func (s *sidecar) address(r role) string {
	if i := s.doorOf(r); i >= 0 {
		return s.doors[i].listener.Addr().String()
	}
	return ""
}

func (s *sidecar) statuses() []admin.Status {
	list := make([]admin.Status, 0, len(s.accounts))
	for _, a := range s.accounts {
		status := a.status()
		if s.draining.Load() {
			status.Ready, status.Problem = false, "shutting down"
		}
		list = append(list, status)
	}
	return append(append(list, s.certificates()...), s.secrets()...)
}

// details is what operators see of the platform keys: serial numbers and
// times, no key.
func (s *sidecar) details() any {
	var details struct {
		Vault    *vault.State       `json:"vault,omitempty"`
		Platform []certcache.Status `json:"platform"`
	}
	if s.vault != nil {
		state := s.vault.State()
		details.Vault = &state
	}
	for _, a := range s.accounts {
		details.Platform = append(details.Platform, a.cache.Status())
	}
	return details
}

func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
