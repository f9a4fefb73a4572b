package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A merchant whose new APIv3 key is another's on the same notify path keeps the
// old one, which operators are told; the next start would be refused.
func TestReloadRefusesTheAPIv3KeyOfANeighbour(t *testing.T) {
	t.Parallel()
	file := writeMany(t, 3, `outbound: {listen: "127.0.0.1:0", upstreams: ["http://127.0.0.1:9"]}
notify: {listen: "127.0.0.1:0", routes: [
  {path: /notify/both, merchants: [shop-0000, shop-0001], to: "http://127.0.0.1:9/"},
  {path: /notify/alone, merchant: shop-0002, to: "http://127.0.0.1:9/"}]}
`)
	s := start(t, file)
	taken, err := os.ReadFile(filepath.Join(filepath.Dir(file), "shop-0000", "apiv3_key"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(file), "shop-0001"), "apiv3_key", taken)
	write(t, filepath.Join(filepath.Dir(file), "shop-0002"), "apiv3_key", taken) // a path of its own
	if err := s.reload(t.Context()); err == nil || !strings.Contains(err.Error(), "merchant shop-0001: apiv3_key: it is the same as that of merchant shop-0000") ||
		strings.Contains(err.Error(), "shop-0002") {
		t.Errorf("got %v", err)
	}
	for i, own := range []string{string(taken), "00000000000000000000000000000001", string(taken)} {
		if got := string(s.accounts[i].apiv3Keys()[0].Bytes()); got != own {
			t.Errorf("merchant %d has the key %s", i, got)
		}
		if status := s.accounts[i].status(); (status.Warning != "") != (i == 1) {
			t.Errorf("merchant %d: %+v", i, status)
		}
	}
}
