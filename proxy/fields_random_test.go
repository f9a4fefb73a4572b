package proxy_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// A randomText writes JSON as nobody else would: white space, spellings,
// members and their order are random. It knows where the sensitive values
// stand because it wrote them.
type randomText struct {
	*mathrand.Rand

	bytes.Buffer
	leaves []leaf
}

// leaf is a sensitive value in the text.
type leaf struct {
	start, end int
	plain      string
}

// fieldTree is the paths of an endpoint, taken apart by this test itself: the
// keys of a level are member names, and [] for elements.
type fieldTree map[string]fieldTree

func treeOf(paths []string) fieldTree {
	root := fieldTree{}
	for _, path := range paths {
		at := root
		for step := range strings.SplitSeq(strings.ReplaceAll(path, "[]", ".[]"), ".") {
			if at[step] == nil {
				at[step] = fieldTree{}
			}
			at = at[step]
		}
	}
	return root
}

func (r *randomText) chance(percent int) bool { return r.IntN(100) < percent }

func (r *randomText) space() {
	for r.chance(25) {
		r.WriteByte(" \t\r\n"[r.IntN(4)])
	}
}

// value writes a sensitive value at a leaf of the tree, and otherwise whatever
// leads there, or something else of another shape.
func (r *randomText) value(t fieldTree, depth int) {
	defer r.space()
	r.space()
	elements, list := t["[]"]
	switch {
	case t == nil:
		r.anything(depth)
	case len(t) == 0:
		start, plain := r.Len(), r.plain()
		r.text(plain)
		r.leaves = append(r.leaves, leaf{start, r.Len(), plain})
	case list:
		r.list(func() { r.value(elements, depth+1) })
	default:
		r.object(t, depth)
	}
}

func (r *randomText) list(item func()) {
	r.WriteByte('[')
	for i := range r.IntN(4) {
		if i > 0 {
			r.WriteByte(',')
		}
		item()
	}
	r.WriteByte(']')
}

func (r *randomText) object(t fieldTree, depth int) {
	var names []string
	for name := range t {
		for r.chance(70) { // now and then twice
			names = append(names, name)
		}
	}
	slices.Sort(names) // the order of a map is not the seed's
	for range r.IntN(3) {
		names = append(names, r.word())
	}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	r.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			r.WriteByte(',')
		}
		r.space()
		r.text(name)
		r.space()
		r.WriteByte(':')
		r.value(t[name], depth+1)
	}
	r.space()
	r.WriteByte('}')
}

func (r *randomText) anything(depth int) {
	kinds := 8
	if depth > 5 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0:
		r.text(r.word())
	case 1:
		r.WriteString([]string{"0", "-0", "1.50", "1e2", "-1.0E+02", "12345678901234567890", "0.1"}[r.IntN(7)])
	case 2, 3, 4:
		r.WriteString([]string{"null", "true", "false", `""`, "{ }", "[\t]"}[r.IntN(6)])
	case 5:
		r.text(strings.Repeat(r.word(), 1+r.IntN(60)))
	case 6:
		r.list(func() { r.space(); r.anything(depth + 1); r.space() })
	default:
		r.object(nil, depth)
	}
}

func (r *randomText) word() string {
	return []string{"a", "zz", "名字", "x/y~z", "😀", "\u2028", `"\`, "receivers_", "NAME", "payer.name"}[r.IntN(10)] + strconv.Itoa(r.IntN(3))
}

// plain is a value of at most 214 bytes, now and then empty.
func (r *randomText) plain() string {
	var b strings.Builder
	for r.chance(80) && b.Len() < 200 {
		b.WriteString([]string{"张三", "13800138000", "a@b.cn", "<&>", "\x00\n", "😀", `\"/`, "=", " "}[r.IntN(9)])
	}
	return b.String()
}

// text writes a JSON string, each character spelt one way or the other.
func (r *randomText) text(s string) {
	r.WriteByte('"')
	for _, c := range s {
		switch {
		case c > 0xffff:
			r.WriteRune(c)
		case c < ' ' || c == '"' || c == '\\' || r.chance(10):
			fmt.Fprintf(r, `\u%04x`, c)
		case c == '/' && r.chance(50):
			r.WriteString(`\/`)
		default:
			r.WriteRune(c)
		}
	}
	r.WriteByte('"')
}

// randomFields makes texts with the sensitive fields of random endpoints.
func randomFields(t testing.TB, direction string, n int, check func(e *endpoint.Endpoint, r *randomText)) {
	t.Helper()
	paths := map[[2]string][]string{}
	for _, row := range fieldRows(t) {
		if row.direction == direction && row.location == "body" {
			id := [2]string{row.method, row.template}
			paths[id] = append(paths[id], row.path)
		}
	}
	var ids [][2]string
	for id := range paths {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [2]string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	table := table(t)
	values := 0
	for seed := range uint64(n) {
		random := mathrand.New(mathrand.NewPCG(seed, 20261125))
		id := ids[random.IntN(len(ids))]
		r := &randomText{Rand: random}
		r.value(treeOf(paths[id]), 0)
		if !json.Valid(r.Bytes()) {
			t.Fatalf("seed %d: this test wrote %q, which is no JSON", seed, r.Bytes())
		}
		values += len(r.leaves)
		check(table.Lookup(id[0], id[1]), r)
		if t.Failed() {
			t.Fatalf("seed %d, %s %s: %s", seed, id[0], id[1], r.Bytes())
		}
	}
	if values < n { // or the random texts would tell nothing
		t.Errorf("%d texts with %d sensitive values", n, values)
	}
}

// For random JSON and random endpoints of the table: every sensitive value is
// encrypted, opens to what it was, and every other byte is what it was.
func TestRandomRequests(t *testing.T) {
	t.Parallel()
	o := newRig(t, newWechat(t, nil)).out
	randomFields(t, "request", 300, func(e *endpoint.Endpoint, r *randomText) {
		h := http.Header{}
		_, got, err := o.EncryptFields(e, h, wire.Target{}, slices.Clone(r.Bytes()))
		if err != nil {
			t.Error(err)
			return
		}
		var want bytes.Buffer // the text, with the ciphertexts that stand in got
		at, encrypted := 0, 0
		for _, l := range r.leaves {
			want.Write(r.Bytes()[at:l.start])
			at = l.end
			if l.plain == "" {
				want.Write(r.Bytes()[l.start:l.end])
				continue
			}
			encrypted++
			if len(got) < want.Len()+346 {
				t.Errorf("ends early: %s", got)
				return
			}
			sealed := got[want.Len() : want.Len()+346]
			want.Write(sealed)
			if plain, err := openAlone(keys().platform, sealed[1:345]); err != nil || plain != l.plain {
				t.Errorf("got %q, %v, want %q in %s", plain, err, l.plain, got)
			}
		}
		want.Write(r.Bytes()[at:])
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("more than the values changed: %s", got)
		}
		if named := h.Get("Wechatpay-Serial") == platformSerial; named != (encrypted > 0) {
			t.Errorf("%d values encrypted, named %q", encrypted, h.Get("Wechatpay-Serial"))
		}
	})
}

// openAlone decrypts with nothing but the standard library.
func openAlone(key *rsa.PrivateKey, text []byte) (string, error) {
	sealed, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return "", err
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, sealed, nil)
	return string(plain), err
}

// sealAlone encrypts with nothing but the standard library.
func sealAlone(t testing.TB, key *rsa.PublicKey, plain string) string {
	t.Helper()
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key, []byte(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sealed)
}

// Whatever an app sends: what goes on is JSON as long as it was, no value of
// the place is plaintext, and nothing but the ciphertexts is new.
func FuzzEncryptFields(f *testing.F) {
	sealed := sealAlone(f, &keys().platform.PublicKey, "x")
	for _, seed := range []string{
		`{"transfer_detail_list":[{"user_name":"张三"},{"user_name":""}]}`, `{"transfer_detail_list":[{"user_name":null}]}`, `{"transfer_detail_list":[{"user_name":"` + sealed + `"}]}`,
		`{"transfer_detail_list":[{"user_name":"\ud83d\ude00","user_name":"\u0000"}],"transfer_detail_list":[]}`, `[{"user_name":"x"}]`, ``, `{`, "{\"transfer_detail_list\":[{\"user_name\":\"\xff\"}]}",
	} {
		f.Add(seed, "?a=b")
	}
	f.Add("", "?card_no=1&bal_account_no=%31+%32&&x&card%5Fno")
	f.Add("", "?bal_account_no="+sealed)
	f.Add("", "?card_no=&card_no=%f")
	o := newRig(f, newWechat(f, nil)).out
	table := table(f)
	body, query := table.Lookup("POST", "/v3/transfer/batches"), table.Lookup("GET", "/v3/aggracct-bc/wb-channel/account/balance")
	f.Fuzz(func(t *testing.T, text, raw string) {
		h := http.Header{}
		_, got, err := o.EncryptFields(body, h, wire.Target{}, []byte(text))
		if err == nil && json.Valid([]byte(text)) != json.Valid(got) {
			t.Fatalf("%q became %q", text, got)
		}
		if changed := string(got) != text; changed != (h.Get("Wechatpay-Serial") != "") {
			t.Fatalf("%q became %q with %v", text, got, h)
		}
		if err == nil && utf8.ValidString(text) {
			checkNames(t, got)
		}
		if raw != "" && raw[0] != '?' {
			return // wire.ParseTarget never makes such
		}
		target, _, err := o.EncryptFields(query, http.Header{}, wire.Target{Query: raw}, nil)
		if err == nil && strings.Count(target.Query, "&") != strings.Count(raw, "&") {
			t.Fatalf("%q became %q", raw, target.Query)
		}
	})
}

// checkNames reads what goes on with encoding/json: no name may be plaintext.
// Maps, because structs would take names in other letter case.
func checkNames(t *testing.T, text []byte) {
	t.Helper()
	var body map[string]json.RawMessage
	var list []map[string]json.RawMessage
	if json.Unmarshal(text, &body) != nil || json.Unmarshal(body["transfer_detail_list"], &list) != nil {
		return // another shape
	}
	for _, d := range list {
		var name string
		if json.Unmarshal(d["user_name"], &name) != nil || name == "" {
			continue
		}
		if raw, err := base64.StdEncoding.DecodeString(name); err != nil || len(raw) != 256 {
			t.Fatalf("plaintext %q goes on in %s", name, text)
		}
	}
}
