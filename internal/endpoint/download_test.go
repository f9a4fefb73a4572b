package endpoint_test

import (
	"testing"
)

// What the documents show of answers with links; a call that is not listed here
// must not have been given one by mistake.
func TestDownloads(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	for _, tt := range []struct{ method, path, links, encryptedBy string }{
		{"GET", "/v3/bill/tradebill", "download_url", ""},
		{"GET", "/v3/bill/fundflowbill", "download_url", ""},
		{"GET", "/v3/bill/sub-merchant-fundflowbill", "download_bill_list[].download_url", "algorithm"},
		{"GET", "/v3/ecommerce/bill/fundflowbill", "download_bill_list[].download_url", "algorithm"},
		{"GET", "/v3/payscore/merchant-bill", "download_bill_list[].download_url", "encryption_algorithm"},
		{"GET", "/v3/profitsharing/bills", "download_url", ""},
		{"GET", "/v3/merchant/fund/withdraw/bill-type/NO_SUCC", "download_url", ""},
		{"GET", "/v3/fund-app/mch-transfer/elecsign/out-bill-no/1", "download_url", ""},
		{"POST", "/v3/transfer/bill-receipt", "download_url", ""},
		{"GET", "/v3/transfer/bill-receipt/1", "download_url", ""},
		{"GET", "/v3/marketing/favor/stocks/1/use-flow", "url", ""},
		{"GET", "/v3/new-tax-control-fapiao/fapiao-applications/1/fapiao-files", "fapiao_download_info_list[].download_url", ""},
		{"GET", "/v3/billdownload/file", "", ""},
		{"GET", "/v3/pay/transactions/id/1", "", ""},
		{"GET", "/v3/nowhere", "", ""},
	} {
		e, links := table.Lookup(tt.method, tt.path), ""
		if e.Download != nil {
			links = e.Download.Path
		}
		if links != tt.links || e.EncryptedBy != tt.encryptedBy {
			t.Errorf("%s %s: got %q, %q; want %q, %q", tt.method, tt.path, links, e.EncryptedBy, tt.links, tt.encryptedBy)
		}
	}
	count := 0
	for _, e := range table.Endpoints() {
		if e.Download != nil {
			count++
		}
		if e.EncryptedBy != "" && e.Download == nil {
			t.Errorf("%s is encrypted, but has no links", e.Template)
		}
	}
	if count != 38 {
		t.Errorf("%d calls have links, want the 38 that the documents show", count)
	}
}
