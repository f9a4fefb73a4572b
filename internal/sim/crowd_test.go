package sim_test

import (
	"bytes"
	"testing"

	"github.com/wxproxy/wxproxy/internal/sim"
)

// Many merchants have numbers, certificates and APIv3 keys of their own, and
// the same again at the next start; a larger count adds to them.
func TestManyMerchants(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newSim(t, sim.Options{Dir: dir, Count: 3}).Merchants()
	s := newSim(t, sim.Options{Dir: dir, Count: 5})
	all := s.Merchants()
	if len(first) != 3 || len(all) != 5 {
		t.Fatalf("%d merchants, then %d", len(first), len(all))
	}
	serials, keys := make(map[string]bool), make(map[string]bool)
	for i, m := range all {
		if i < len(first) && (m.MchID != first[i].MchID || !m.Certificate.Equal(first[i].Certificate) || m.APIv3Key != first[i].APIv3Key) {
			t.Errorf("merchant %d is another one now: %s", i, m.MchID)
		}
		serials[m.Certificate.SerialNumber.String()], keys[m.APIv3Key] = true, true
	}
	if all[4].MchID != "1900000005" || len(serials) != 5 || len(keys) != 5 {
		t.Errorf("last %s; %d serial numbers, %d APIv3 keys", all[4].MchID, len(serials), len(keys))
	}
	if err := s.WriteDir(dir, wiring); err != nil {
		t.Fatal(err)
	}
	config := read(t, dir, "wxproxy.yaml")
	for _, want := range []string{"- name: sim\n", "- name: sim-0005\n", "merchants/1900000005/apiclient_key.pem", "merchants: all"} {
		if !bytes.Contains(config, []byte(want)) {
			t.Errorf("the config lacks %q:\n%s", want, config)
		}
	}
}
