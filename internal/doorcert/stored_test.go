package doorcert_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/wxproxy/wxproxy/internal/doorcert"
	"github.com/wxproxy/wxproxy/internal/doorcert/acmetest"
)

// mortal is a storage of a process that is killed in a renewal, right after an
// entry with this ending was written for the second time.
type mortal struct {
	certmagic.Storage

	ending string
	writes atomic.Int32
	dead   atomic.Bool
}

var errDead = errors.New("the process was killed")

func (s *mortal) Store(ctx context.Context, key string, value []byte) error {
	if s.dead.Load() {
		return errDead
	}
	err := s.Storage.Store(ctx, key, value)
	if strings.HasSuffix(key, ".test"+s.ending) && s.writes.Add(1) == 2 {
		s.dead.Store(true)
	}
	return err
}

func (s *mortal) Delete(ctx context.Context, key string) error {
	if s.dead.Load() {
		return errDead
	}
	return s.Storage.Delete(ctx, key)
}

// A process that is killed between any two writes of a renewal leaves behind
// what the next one serves, or replaces by itself.
func TestKilledInARenewal(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{".key", ".crt"} {
		t.Run("after the "+ending, func(t *testing.T) {
			t.Parallel()
			// certmagic keeps its pauses after failures for the whole process, by name.
			name := "killed-" + ending[1:] + ".test"
			r := newACMERig(t, acmetest.Options{Life: 12 * time.Second}, name)
			disk := r.options.Storage
			s := &mortal{Storage: disk, ending: ending}
			r.options.Storage = s
			_, stop := r.start()
			first := r.served(name)
			acmetest.Await(t, "the renewal", s.dead.Load)
			stop()
			if _, err := doorcert.Stored(t.Context(), disk, r.options.Directory, name); (err != nil) != (ending == ".key") {
				t.Errorf("what is left reads as %v", err)
			}
			r.options.Storage = disk
			d, _ := r.start()
			if again := r.served(name); again.Equal(first) {
				t.Error("the certificate without a key is served")
			}
			if s := d.Status()[0]; s.Problem+s.Warning != "" {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// What a disk or a hand has spoiled is set aside, and a new certificate is
// ordered, once.
func TestUnusableCertificateIsSetAside(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, ending, content, want string
	}{
		{"empty chain", ".crt", "", "failed to find any PEM data"},
		{"half a chain", ".crt", "-----BEGIN CERTIFICATE-----\nMIIB", "failed to find any PEM data"},
		{"empty key", ".key", "", "failed to find any PEM data"},
		{"another key", ".key", string(otherKey(t)), "private key does not match public key"},
		{"no metadata", ".json", "", "unexpected end of JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(tc.name, " ", "-") + ".test"
			r := newACMERig(t, acmetest.Options{}, name)
			_, stop := r.start()
			first := r.served(name)
			stop()
			dir := r.options.Storage.(*certmagic.FileStorage).Path
			found, err := filepath.Glob(filepath.Join(dir, "certificates", "*", name, name+tc.ending))
			if err != nil || len(found) != 1 {
				t.Fatalf("files %q, %v", found, err)
			}
			if err := os.WriteFile(found[0], []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := doorcert.Stored(t.Context(), r.options.Storage, r.options.Directory, name); err == nil ||
				!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), name+".crt") {
				t.Errorf("reads as %v", err)
			}
			d, _ := r.start()
			if again := r.served(name); again.Equal(first) {
				t.Error("the same certificate")
			}
			if got := r.authority.Orders(); got != 2 {
				t.Errorf("%d orders, want 2", got)
			}
			if s := d.Status()[0]; s.Problem+s.Warning != "" {
				t.Errorf("status %+v", s)
			}
			if left, err := os.ReadFile(found[0] + ".unusable"); err != nil || string(left) != tc.content {
				t.Errorf("set aside: %q, %v", left, err)
			}
			if log := r.log.String(); !strings.Contains(log, "set aside") || strings.Contains(log, "PRIVATE KEY") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func otherKey(t *testing.T) []byte {
	t.Helper()
	_, key, _ := issue(t, time.Now(), time.Now().Add(time.Hour), "other.test")
	return key
}

// watched tells when somebody wants the lock.
type watched struct {
	certmagic.Storage

	wanted chan string
}

func (s *watched) Lock(ctx context.Context, name string) error {
	s.wanted <- name
	return s.Storage.Lock(ctx, name)
}

// A pair that does not fit may be a replica's, between two writes: it is left
// alone while the replica holds the lock, and served when it fits.
func TestPairThatAReplicaIsWriting(t *testing.T) {
	t.Parallel()
	const name = "replica.test"
	r := newACMERig(t, acmetest.Options{}, name)
	_, stop := r.start()
	first := r.served(name)
	stop()
	disk := r.options.Storage
	key := certmagic.StorageKeys.SitePrivateKey((&certmagic.ACMEIssuer{CA: r.options.Directory}).IssuerKey(), name)
	right, err := disk.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Lock(t.Context(), "issue_cert_"+name); err != nil {
		t.Fatal(err)
	}
	if err := disk.Store(t.Context(), key, otherKey(t)); err != nil {
		t.Fatal(err)
	}
	s := &watched{disk, make(chan string, 9)}
	r.options.Storage = s
	d, _ := r.start()
	if got := <-s.wanted; got != "issue_cert_"+name {
		t.Errorf("lock %q", got)
	}
	if w := d.Status()[0].Warning; !strings.Contains(w, "private key does not match") || !strings.Contains(w, name+".crt") {
		t.Errorf("meanwhile the warning is %q", w)
	}
	if err := disk.Store(t.Context(), key, right); err != nil {
		t.Fatal(err)
	}
	if err := disk.Unlock(t.Context(), "issue_cert_"+name); err != nil {
		t.Fatal(err)
	}
	if again := r.served(name); !again.Equal(first) {
		t.Error("another certificate")
	}
	if got := r.authority.Orders(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
	acmetest.Await(t, "the warning to go", func() bool { return d.Status()[0].Warning == "" })
}
