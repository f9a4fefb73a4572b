package endpoint

import "slices"

// families are the groups of calls that WeChat Pay limits together, as far as
// its documents and its merchants tell. The config has the same keys.
var families = []string{
	"abnormal_refund", "bill", "certificates", other, "prepay", "profitsharing",
	"query", "refund", "refund_query", "transfer", "transfer_query",
}

// Families lists the rate families, sorted; "other" holds what is in none.
func Families() []string { return slices.Clone(families) }
