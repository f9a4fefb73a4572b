package proxy

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wxproxy/wxproxy/internal/endpoint"
	"github.com/wxproxy/wxproxy/signer"
)

// localPrefix is where the endpoints of ours stand: they answer without WeChat
// Pay, beside the API on the same port.
const (
	localPrefix = "/_wxproxy/"
	localV1     = localPrefix + "v1/"
	openAPIPath = localPrefix + "openapi.json"
)

//go:embed openapi.json
var openAPI []byte

// What callers are granted, endpoint by endpoint.
const (
	GrantPayParams = "pay-params"
	GrantSign      = "sign"
	GrantEncrypt   = "encrypt"
	GrantDecrypt   = "decrypt"
	GrantVerify    = "verify"
)

// grants are all of them; openGrants those that whoever reaches the port has
// where no callers are configured. Decrypting is granted by name alone: it
// turns what only the merchant may read into plaintext.
var (
	grants     = []string{GrantPayParams, GrantSign, GrantEncrypt, GrantDecrypt, GrantVerify}
	openGrants = []string{GrantPayParams, GrantSign, GrantEncrypt, GrantVerify}
)

func checkGrants(callers []*Caller) error {
	for _, c := range callers {
		for _, grant := range c.Endpoints {
			if !slices.Contains(grants, grant) {
				return fmt.Errorf("outbound: caller %s is granted %q, which is none of %s", c.Name, grant, strings.Join(grants, ", "))
			}
		}
	}
	return nil
}

// Bounds on the bodies of local endpoints, in bytes: forms are small, a notify
// is at most as large as the notify face takes by default.
const (
	maxForm   = 64 << 10
	maxNotify = 1 << 20
)

// localRoute is one local endpoint.
type localRoute struct {
	grant string
	form  []param // of its JSON body; nil: the body is a notify as it came
	run   func(*Outbound, context.Context, *localCall) (any, *failure)
	label *endpoint.Endpoint // in metrics and logs
}

// scheme is what the merchant must have: brands sign nothing for the client, but
// have values and notifies like others.
func (r *localRoute) scheme() string {
	if r.grant == GrantPayParams || r.grant == GrantSign {
		return signer.SchemeMerchant
	}
	return ""
}

// localCall is a request to a local endpoint, admitted and read.
type localCall struct {
	merchant *Merchant
	header   http.Header
	body     []byte
	form     form
	id       string // request id of ours

	sensitive string // what Wxproxy-Sensitive says of the answer; empty: nothing
}

// localRoutes holds every local endpoint by its path; openapi.json describes
// the same, and a test compares the two.
var localRoutes = makeLocalRoutes()

func makeLocalRoutes() map[string]*localRoute {
	routes := map[string]*localRoute{
		"pay-params/jsapi":       {grant: GrantPayParams, form: payForm, run: (*Outbound).payJSAPI},
		"pay-params/miniprogram": {grant: GrantPayParams, form: payForm, run: (*Outbound).payMiniProgram},
		"pay-params/app":         {grant: GrantPayParams, form: payForm, run: (*Outbound).payApp},
		"encrypt":                {grant: GrantEncrypt, form: valuesForm, run: (*Outbound).encryptValues},
		"decrypt":                {grant: GrantDecrypt, form: valuesForm, run: (*Outbound).decryptValues},
		"decrypt/notify":         {grant: GrantDecrypt, run: (*Outbound).decryptNotify},
		"verify":                 {grant: GrantVerify, run: (*Outbound).verifyNotify},
	}
	for name, m := range signMessages {
		routes["sign/"+name] = &localRoute{grant: GrantSign, form: m.form, run: m.run}
	}
	byPath := make(map[string]*localRoute, len(routes))
	for name, r := range routes {
		r.label = &endpoint.Endpoint{Method: http.MethodPost, Template: localV1 + name, Repeatable: true}
		byPath[localV1+name] = r
	}
	return byPath
}

// isLocal reports whether a request is for an endpoint of ours.
func isLocal(r *http.Request) bool {
	raw, _ := originForm(r.RequestURI)
	return strings.HasPrefix(raw, localPrefix)
}

// serveLocal walks a request to an endpoint of ours through the same admission
// as a call. Nothing leaves the machine.
func (o *Outbound) serveLocal(w http.ResponseWriter, r *http.Request, l Listener, x *exchange) {
	ctx, cancel := context.WithTimeout(r.Context(), o.timeout)
	defer cancel()
	defer func() { o.inFlight.give(x.held) }()
	answer, f := o.answerLocal(ctx, w, r, l, x)
	if f == nil {
		f = o.writeLocal(w, x, answer)
	} else {
		o.writeFailure(w, x, f)
	}
	o.record(r, x, f)
}

func (o *Outbound) answerLocal(ctx context.Context, w http.ResponseWriter, r *http.Request, l Listener, x *exchange) (any, *failure) {
	var f *failure
	var path string
	if x.caller, path, f = o.admitCaller(r, l); f != nil {
		return nil, f
	}
	if path == openAPIPath {
		return openAPIDocument(w, r, x)
	}
	route := localRoutes[path]
	if route == nil {
		return nil, fail(ReasonNotFound, "there is no such endpoint; %s lists them", openAPIPath)
	}
	x.endpoint = route.label
	if f = allowMethod(w, r, http.MethodPost); f != nil {
		return nil, f
	}
	if !slices.Contains(x.caller.Endpoints, route.grant) {
		return nil, fail(ReasonForbidden, "caller %s is not granted %s; list it under endpoints of that caller in outbound.callers, where decrypt must always be listed",
			x.caller.Name, route.grant)
	}
	if x.merchant, f = o.choose(r, x.caller, l, route.scheme(), ""); f != nil {
		return nil, f
	}
	c := &localCall{merchant: x.merchant, header: r.Header, id: x.id}
	if f = o.readLocal(r, x, route, c); f != nil {
		return nil, f
	}
	limitRead(w, time.Time{})
	answer, f := route.run(o, ctx, c)
	x.sensitive = c.sensitive
	return answer, f
}

func openAPIDocument(w http.ResponseWriter, r *http.Request, x *exchange) (any, *failure) {
	x.endpoint = &endpoint.Endpoint{Template: openAPIPath, Repeatable: true}
	x.read = true // whatever it is, it is not needed
	return json.RawMessage(openAPI), allowMethod(w, r, http.MethodGet)
}

func allowMethod(w http.ResponseWriter, r *http.Request, method string) *failure {
	if r.Method == method {
		return nil
	}
	w.Header().Set("Allow", method)
	return fail(ReasonMethodNotAllowed, "this endpoint takes %s", method)
}

// readLocal reads the body: a form, or a notify byte for byte.
func (o *Outbound) readLocal(r *http.Request, x *exchange, route *localRoute, c *localCall) *failure {
	limit := min(o.limits.Request, maxNotify)
	if route.form != nil {
		limit = min(limit, maxForm)
	}
	var err error
	c.body, x.held, err = o.inFlight.read(r.Body, r.ContentLength, limit)
	switch {
	case errors.Is(err, errTooLarge):
		return fail(ReasonBodyTooLarge, "the body is larger than this endpoint takes (%d bytes)", limit)
	case errors.Is(err, errBudget):
		return o.busy()
	case err != nil:
		return fail(ReasonBadRequest, "the body did not arrive whole").because(err)
	}
	x.read = true
	if route.form == nil {
		return nil
	}
	var f *failure
	c.form, f = readForm(c.body, route.form)
	return f
}

// writeLocal answers with JSON that nobody keeps: it has signatures in it.
func (o *Outbound) writeLocal(w http.ResponseWriter, x *exchange, answer any) *failure {
	body, err := marshalLocal(answer)
	if err != nil {
		f := fail(ReasonInternal, "the answer could not be written").because(err)
		o.writeFailure(w, x, f)
		return f
	}
	h := w.Header()
	if x.merchant != nil {
		h.Set(headerMerchant, x.merchant.Name)
	}
	if x.sensitive != "" {
		h.Set(headerSensitive, x.sensitive)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.local = http.StatusOK
	limitWrite(w, o.now().Add(o.timeout))
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(body); err != nil { //nolint:gosec // JSON, and said to be; browsers are refused
		return fail(reasonClientGone, "the answer could not be delivered").because(err)
	}
	return nil
}

// marshalLocal leaves what is JSON already as it is, and <, > and & readable.
func marshalLocal(answer any) ([]byte, error) {
	if raw, ok := answer.(json.RawMessage); ok {
		return raw, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(answer)
	return b.Bytes(), err
}
