package proxy

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/internal/jsonedit"
	"github.com/wxproxy/wxproxy/internal/wire"
)

// callerBase is scheme and host under which the caller reached us, for links
// that lead back here. A caller that takes us for its proxy gets the name that
// it asked for, and asks us again; one on a Unix socket any name.
func callerBase(r *http.Request) string {
	host := r.Host
	if u, err := url.Parse("http://" + host); err != nil || host == "" || u.Host != host || u.User != nil {
		host = localName(r)
	}
	return "http://" + host
}

// rewriteLinks makes the links of a verified answer lead to this proxy, with
// what the answer promises of the files. A link that cannot be followed through
// here stays as it is.
func (o *Outbound) rewriteLinks(x *exchange, body []byte) ([]byte, *failure) {
	d := x.endpoint.Download
	if d == nil {
		return body, nil
	}
	objects, err := []jsonedit.Match{{Raw: body}}, error(nil)
	if d.Objects != nil {
		objects, err = d.Objects.Find(body)
	}
	if err != nil {
		x.encrypted = x.decrypt && x.endpoint.EncryptedBy != ""
		return body, nil // not JSON: there is no link in it
	}
	var edits []jsonedit.Edit
	for _, object := range objects {
		edit, err := o.rewriteLink(x, object)
		switch {
		case err != nil:
			x.encrypted = x.encrypted || (x.decrypt && x.endpoint.EncryptedBy != "")
			o.log.Warn("a download link is left as it is: the app has to sign and verify for itself there",
				"request_id", x.id, "merchant", x.merchant.Name, "endpoint", x.endpoint.Label(), "why", outsideError(err))
		case edit != nil:
			edits = append(edits, *edit)
		}
	}
	return jsonedit.Apply(body, edits), nil
}

// rewriteLink makes the edit of the link in one object; nil: there is none yet.
func (o *Outbound) rewriteLink(x *exchange, object jsonedit.Match) (*jsonedit.Edit, error) {
	d := x.endpoint.Download
	found, err := d.Members.Find(object.Raw)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(found))
	var place jsonedit.Match
	for _, m := range found {
		text, ok := jsonedit.Unquote(m.Raw)
		if _, twice := values[m.Path]; twice || (!ok && m.Path == d.Link && m.Kind() != 'n') {
			return nil, fmt.Errorf("%s stands twice or is no text", m.Path)
		}
		values[m.Path] = text
		if m.Path == d.Link {
			place = m
		}
	}
	if values[d.Link] == "" {
		return nil, nil //nolint:nilnil // a receipt that is not ready yet has no link
	}
	target, err := o.linkTarget(x, values[d.Link])
	if err != nil {
		return nil, err
	}
	p, err := promiseOf(values, x.endpoint.EncryptedBy != "", x.decrypt)
	if err != nil {
		return nil, err
	}
	p.mchid = x.merchant.MchID
	link := x.base + target.String()
	keys := x.merchant.APIv3Keys()
	switch {
	case len(keys) > 0:
		link += joinQuery(target.Query) + p.query() + "&" + linkMAC + "=" + linkBase64.EncodeToString(p.mac(keys[0], target))
	case !p.empty():
		return nil, errNoAPIv3Key
	}
	return &jsonedit.Edit{Start: object.Start + place.Start, End: object.Start + place.End, New: jsonedit.Quote(link)}, nil
}

// linkTarget checks that a link leads to a configured upstream and there to a
// download of the table, and returns its target byte for byte.
func (o *Outbound) linkTarget(x *exchange, link string) (wire.Target, error) {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil {
		return wire.Target{}, errors.New("it is not an absolute http(s) URL")
	}
	if !o.upstream.has(x.group, u) {
		return wire.Target{}, fmt.Errorf("its host %s is not one of outbound.upstreams", outside(u.Scheme+"://"+u.Host))
	}
	raw, _ := originForm(link)
	target, err := wire.ParseTarget(raw)
	switch {
	case err != nil:
		return wire.Target{}, err
	case !o.table.Lookup(http.MethodGet, target.Path).Unsigned:
		return wire.Target{}, errors.New("its path is not a download of the endpoint table")
	case target.Query == "?" || strings.Contains(target.Query, linkPrefix):
		return wire.Target{}, errors.New("its query leaves no room for ours")
	}
	return target, nil
}

// has reports whether a URL lies on one of a group's hosts.
func (u *Upstream) has(group string, link *url.URL) bool {
	for _, h := range u.groups[group] {
		if h.base.Scheme == link.Scheme && strings.EqualFold(h.base.Hostname(), link.Hostname()) && portOf(h.base) == portOf(link) {
			return true
		}
	}
	return false
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// promiseOf reads what an answer says of a file. A hash that this build cannot
// make, as SM3, is no promise; nor is one of an encrypted file that stays so:
// it is of the bytes inside.
func promiseOf(values map[string]string, encrypted, decrypt bool) (promise, error) {
	var p promise
	if encrypted && decrypt {
		var err error
		p.key, err = base64.StdEncoding.DecodeString(values[endpoint.MemberEncryptKey])
		p.nonce = []byte(values[endpoint.MemberNonce])
		if err != nil || len(p.key) == 0 || len(p.key) > maxLinkKey || len(p.nonce) == 0 || len(p.nonce) > maxNonce {
			return promise{}, errors.New("encrypt_key or nonce is missing or malformed")
		}
	} else if encrypted {
		return promise{}, nil
	}
	kind := map[string]string{"SHA1": hashSHA1, "SHA256": hashSHA256}[strings.ToUpper(values[endpoint.MemberHashType])]
	if kind == "" {
		return p, nil
	}
	sum := strings.ToLower(values[endpoint.MemberHashValue])
	if !isSum(kind, sum) {
		return promise{}, errors.New("hash_value is not the hexadecimal of its hash_type")
	}
	p.hash, p.sum = kind, sum
	return p, nil
}

// checkDownload refuses other methods where the table has a download, which is
// read with GET. WeChat Pay has no other there, and what a link carries of ours
// must not leave.
func (o *Outbound) checkDownload(w http.ResponseWriter, r *http.Request, x *exchange) *failure {
	if x.endpoint.Template != "" || !o.table.Lookup(http.MethodGet, x.target.Path).Unsigned {
		return nil
	}
	return allowMethod(w, r, http.MethodGet)
}

// linkedMerchant is the number of the merchant whose answer had a download's
// link; empty: the link does not say it. Whether that is true shows when the link
// is opened.
func linkedMerchant(x *exchange) string {
	if !x.endpoint.Unsigned {
		return ""
	}
	_, p, _, err := parseLink(x.target)
	if err != nil {
		return ""
	}
	return p.mchid
}

// openLink takes what is promised of a download off its link. A link that was
// not rewritten, or whose host the app changed by itself, has no promise and is
// accepted.
func openLink(x *exchange, d *draft) *failure {
	if !x.endpoint.Unsigned {
		return nil
	}
	bare, p, mac, err := parseLink(d.target)
	if err != nil {
		return fail(ReasonBadRequest, "%v", err)
	}
	if mac == nil {
		return nil
	}
	genuine := false
	for _, key := range x.merchant.APIv3Keys() { // the previous one too: links outlive a change of keys
		genuine = genuine || hmac.Equal(mac, p.mac(key, bare))
	}
	if !genuine || p.mchid != x.merchant.MchID {
		return fail(ReasonBadRequest, "the download link does not hold for merchant %s: it was altered, or is another merchant's "+
			"(leave %s out, or send the same as for the call that returned it), or the APIv3 key was changed since; use download_url as it came, or ask for a new one",
			x.merchant.Name, headerMerchant)
	}
	d.target, x.promise = bare, p
	if p.empty() {
		return nil
	}
	// A part of the file, or none, could not keep the promise.
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		d.header.Del(name)
	}
	return nil
}
