package sim

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// Files of a credentials directory, under the names that WeChat Pay gives them
// where it has such a file.
const (
	fileCertificate = "apiclient_cert.pem"
	fileKey         = "apiclient_key.pem"
	fileAPIv3Key    = "apiv3_key"
	filePublicKey   = "pub_key.pem"
	fileConfig      = "wxproxy.yaml"
	platformPrefix  = "sim_platform_" // and the key's ID: the simulator's own private keys
)

const (
	secretMode fs.FileMode = 0o600
	publicMode fs.FileMode = 0o644
)

// configMark begins a config that the simulator may write again.
const configMark = "# Written by wxproxy sim at each start. Delete this line, and it is yours.\n"

// Wiring is what the config of WriteDir connects.
type Wiring struct {
	Upstream string // the simulator, as in http://127.0.0.1:8088
	App      string // where decrypted notifies go, as in http://127.0.0.1:3000/notify
}

// WriteDir writes what an app developer needs into dir: the first merchant's
// credentials, those of the others in directories below, the public key, the simulator's own keys for its next start and
// for triggers, and a config for wxproxy serve. A config that somebody made
// their own is left alone.
func (s *Sim) WriteDir(dir string, w Wiring) error {
	if err := s.writeKeys(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, fileConfig)
	old, err := os.ReadFile(path)
	if err == nil && !bytes.HasPrefix(old, []byte(configMark)) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	config, err := s.config(dir, w)
	if err != nil {
		return err
	}
	return writeFile(path, config, publicMode)
}

func (s *Sim) config(dir string, w Wiring) ([]byte, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding %q: %w", dir, err)
	}
	// Go's quoting is valid in YAML; wxproxy would expand ${.
	quote := func(v string) string { return strings.ReplaceAll(strconv.Quote(v), "${", "$${") }
	var b bytes.Buffer
	b.WriteString(configMark)
	s.writeMerchants(&b, dir)
	served := "merchant: sim"
	if len(s.merchants) > 1 {
		served = "merchants: all"
	}
	fmt.Fprintf(&b, "outbound:\n  upstreams: [%s]\n", quote(w.Upstream))
	fmt.Fprintf(&b, "notify:\n  routes:\n    - path: /notify\n      %s\n      to: %s\n", served, quote(w.App))
	return b.Bytes(), nil
}

// writeKeys writes the keys, and removes platform keys that are none any more.
func (s *Sim) writeKeys(dir string) error {
	m := &s.merchants[0]
	if m.PrivateKey == nil {
		return fmt.Errorf("writing credentials to %q: merchant %s has no private key here", dir, m.MchID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making %q: %w", dir, err)
	}
	key, err := privateKeyPEM(m.PrivateKey)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		fileCertificate: certificatePEM(m.Certificate),
		fileKey:         key,
		fileAPIv3Key:    []byte(m.APIv3Key),
		filePublicKey:   publicKeyPEM(s.platform.public),
	}
	s.platform.mu.Lock()
	keys := append(slices.Clone(s.platform.certificates), s.platform.public)
	s.platform.mu.Unlock()
	for _, k := range keys {
		content, err := privateKeyPEM(k.PrivateKey)
		if err != nil {
			return err
		}
		if k.Certificate != nil {
			content = append(certificatePEM(k.Certificate), content...)
		}
		files[platformPrefix+k.ID+".pem"] = content
	}
	for name, content := range files {
		mode := secretMode
		if name == fileCertificate || name == filePublicKey {
			mode = publicMode
		}
		if err := writeFile(filepath.Join(dir, name), content, mode); err != nil {
			return err
		}
	}
	return errors.Join(removeOthers(dir, files), s.writeOthers(dir))
}

func removeOthers(dir string, files map[string][]byte) error {
	names, err := platformFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := files[name]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("removing a retired platform key: %w", err)
		}
	}
	return nil
}

// writeFile leaves an equal file untouched, so that programs that watch it are
// not told of a change, and never shows a half-written one.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(content)
	if err := errors.Join(err, temp.Chmod(mode), temp.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// platformFiles lists the simulator's own keys in dir.
func platformFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", dir, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), platformPrefix) && strings.HasSuffix(e.Name(), ".pem") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// ReadDir returns Options with the merchants and the platform keys of a
// directory that WriteDir wrote; it is an error, fs.ErrNotExist, when there are
// none.
func ReadDir(dir string) (o Options, err error) {
	m, err := readMerchant(dir)
	if err != nil {
		return o, err
	}
	others, err := readOthers(dir)
	if err != nil {
		return o, err
	}
	o.Merchants = append([]Merchant{*m}, others...)
	names, err := platformFiles(dir)
	if err != nil {
		return o, err
	}
	for _, name := range names {
		k, err := ReadPlatformKey(filepath.Join(dir, name))
		if err != nil {
			return o, err
		}
		o.Platform = append(o.Platform, *k)
	}
	slices.SortStableFunc(o.Platform, func(a, b PlatformKey) int { return a.begin().Compare(b.begin()) })
	return o, nil
}

func readMerchant(dir string) (*Merchant, error) {
	blocks, err := readPEM(filepath.Join(dir, fileCertificate))
	if err != nil {
		return nil, err
	}
	keys, err := readPEM(filepath.Join(dir, fileKey))
	if err != nil {
		return nil, err
	}
	apiv3Key, err := os.ReadFile(filepath.Join(dir, fileAPIv3Key))
	if err != nil {
		return nil, fmt.Errorf("reading the APIv3 key: %w", err)
	}
	if blocks.certificate == nil || keys.key == nil {
		return nil, fmt.Errorf("%q holds no certificate or no private key in %s, %s", dir, fileCertificate, fileKey)
	}
	return &Merchant{
		MchID: blocks.certificate.Subject.CommonName, Certificate: blocks.certificate,
		PrivateKey: keys.key, APIv3Key: strings.TrimSpace(string(apiv3Key)),
	}, nil
}

// ReadPlatformKey reads one of the simulator's own keys: PEM with a private key
// and, unless it is the public key, its certificate. The file of a public key is
// named sim_platform_ and its ID, or the ID is set afterwards.
func ReadPlatformKey(path string) (*PlatformKey, error) {
	found, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	if found.key == nil {
		return nil, fmt.Errorf("%q holds no private key", path)
	}
	k := &PlatformKey{Certificate: found.certificate, PrivateKey: found.key}
	if k.Certificate == nil {
		k.ID = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), platformPrefix), ".pem")
	} else {
		k.ID = wire.CertificateSerial(k.Certificate)
	}
	return k, nil
}

type pemContent struct {
	certificate *x509.Certificate
	key         *rsa.PrivateKey
}

func readPEM(path string) (found pemContent, err error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return found, fmt.Errorf("reading credentials: %w", err)
	}
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return found, nil
		}
		switch block.Type {
		case "CERTIFICATE":
			found.certificate, err = x509.ParseCertificate(block.Bytes)
		case "PRIVATE KEY":
			var key any
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
			found.key, _ = key.(*rsa.PrivateKey)
		}
		if err != nil {
			return found, fmt.Errorf("reading %q: the %s is malformed", path, block.Type)
		}
	}
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func privateKeyPEM(k *Key) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("writing a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
