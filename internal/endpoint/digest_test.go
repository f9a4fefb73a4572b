package endpoint_test

import (
	"slices"
	"testing"

	"github.com/wxproxy/wxproxy/internal/endpoint"
)

// Every form of meta that the API's upload endpoints have, and what is near it.
func TestPromises(t *testing.T) {
	t.Parallel()
	table, err := endpoint.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	const sha, sm3 = endpoint.SHA256, endpoint.SM3
	for meta, want := range map[string][]endpoint.Promise{
		`{"filename":"a.jpg","sha256":"ab"}`:                         {{"sha256", sha, "ab"}},
		`{"bank_type":"X","filename":"a.csv","sha256":"ab"}`:         {{"sha256", sha, "ab"}},
		`{"file_name":"a.jpg","file_digest":"ab"}`:                   {{"file_digest", sha, "ab"}},
		`{"filename":"a.pdf","digest":"ab"}`:                         {{"digest", sha, "ab"}},
		`{"file_type":"PDF","digest_alogrithm":"SM3","digest":"ab"}`: {{"digest", sm3, "ab"}},
		`{"digest":"ab","digest_algorithm":"DIGEST_ALGORITHM_SM3"}`:  {{"digest", sm3, "ab"}},
		`{"digest":"ab","digest_algorithm":"SHA-256"}`:               {{"digest", sha, "ab"}},
		`{"sha256":"ab","file_digest":"cd","digest":"ef"}`:           {{"sha256", sha, "ab"}, {"file_digest", sha, "cd"}, {"digest", sha, "ef"}},
		`{"sha256":"ab","sha256":"cd"}`:                              {{"sha256", sha, "ab"}, {"sha256", sha, "cd"}},
		`{"sha256":"ab","digest":"cd","digest_algorithm":"MD5"}`:     {{"sha256", sha, "ab"}},
		`{"sha256":null}`:                          {{"sha256", sha, ""}},
		`{"sha256":"a\u0062"}`:                     {{"sha256", sha, "ab"}},
		`{"digest":"ab","digest_algorithm":"MD5"}`: nil,
		`{"digest":"ab","digest_algorithm":3}`:     nil,
		`{"SHA256":"ab","x":{"sha256":"cd"}}`:      nil,
		`["sha256"]`:                               nil,
		`{"sha256":"ab"`:                           nil,
		``:                                         nil,
	} {
		if got := table.Promises([]byte(meta)); !slices.Equal(got, want) {
			t.Errorf("%s promises %v, want %v", meta, got, want)
		}
	}
}
