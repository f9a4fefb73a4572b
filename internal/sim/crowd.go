package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// dirMerchants holds a directory for each merchant but the first, named by its
// merchant number.
const dirMerchants = "merchants"

// addMerchants fills up to Options.Count, with numbers that follow each other.
func (s *Sim) addMerchants() {
	taken := make(map[string]bool, len(s.merchants))
	for _, m := range s.merchants {
		taken[m.MchID] = true
	}
	first, _ := strconv.Atoi(SimulatedMchID) // a constant
	for number := first; len(s.merchants) < max(s.opts.Count, 1); number++ {
		if mchID := strconv.Itoa(number); !taken[mchID] {
			s.merchants = append(s.merchants, Merchant{MchID: mchID})
		}
	}
}

// keys returns who makes the key of each merchant: the first has its own, the
// others share one, since a thousand would take minutes.
func (s *Sim) keys() func(i int) (*Key, error) {
	shared := sync.OnceValues(s.opts.NewKey)
	return func(i int) (*Key, error) {
		if i == 0 {
			return s.opts.NewKey()
		}
		return shared()
	}
}

// folder is where a merchant's credentials lie.
func (s *Sim) folder(dir string, i int) string {
	if i == 0 {
		return dir
	}
	return filepath.Join(dir, dirMerchants, s.merchants[i].MchID)
}

// alias is a merchant's name in the config.
func (*Sim) alias(i int) string {
	if i == 0 {
		return "sim"
	}
	return fmt.Sprintf("sim-%04d", i+1)
}

// writeOthers writes the credentials of all merchants but the first.
func (s *Sim) writeOthers(dir string) error {
	for i := range s.merchants {
		m := &s.merchants[i]
		if i == 0 || m.PrivateKey == nil {
			continue
		}
		own := s.folder(dir, i)
		if err := os.MkdirAll(own, 0o700); err != nil {
			return fmt.Errorf("making %q: %w", own, err)
		}
		key, err := privateKeyPEM(m.PrivateKey)
		if err != nil {
			return err
		}
		if err := errors.Join(
			writeFile(filepath.Join(own, fileCertificate), certificatePEM(m.Certificate), publicMode),
			writeFile(filepath.Join(own, fileKey), key, secretMode),
			writeFile(filepath.Join(own, fileAPIv3Key), []byte(m.APIv3Key), secretMode),
		); err != nil {
			return err
		}
	}
	return nil
}

// readOthers reads what writeOthers wrote, in the order of the numbers.
func readOthers(dir string) ([]Merchant, error) {
	folders, err := os.ReadDir(filepath.Join(dir, dirMerchants))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing merchants in %q: %w", dir, err)
	}
	var list []Merchant
	for _, f := range folders {
		m, err := readMerchant(filepath.Join(dir, dirMerchants, f.Name()))
		if err != nil {
			return nil, err
		}
		list = append(list, *m)
	}
	return list, nil
}

// writeMerchants writes the list of merchants into a config.
func (s *Sim) writeMerchants(b *bytes.Buffer, dir string) {
	file := func(folder, name string) string { return strconv.Quote("file:" + filepath.Join(folder, name)) }
	b.WriteString("merchants:\n")
	for i := range s.merchants {
		if s.merchants[i].PrivateKey == nil {
			continue // it calls from elsewhere
		}
		own := s.folder(dir, i)
		fmt.Fprintf(b, "  - name: %s\n", s.alias(i))
		fmt.Fprintf(b, "    certificate: %s\n    private_key: %s\n    apiv3_key: %s\n", file(own, fileCertificate), file(own, fileKey), file(own, fileAPIv3Key))
		fmt.Fprintf(b, "    platform:\n      public_key: %s\n      public_key_id: %s\n      certificates: auto\n", file(dir, filePublicKey), s.platform.public.ID)
	}
}
