package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenTakesOverADeadSocketOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.sock")
	first, err := listen("unix:"+path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := listen("unix:"+path, 0o600); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a live socket was taken over: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := listen("unix:"+path, 0o660)
	if err != nil {
		t.Fatalf("a dead socket was not taken over: %v", err)
	}
	_ = second.Close()
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix:"+path, 0o600); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the file is gone")
	}
}

func TestServerBoundsHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(http.NotFoundHandler(), 4096, discard())
	if s.MaxHeaderBytes != 4096 || s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 {
		t.Errorf("unbounded server: %+v", s)
	}
}
