package config

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

var (
	fieldPath   = regexp.MustCompile(`^-?(\*\*\.[A-Za-z0-9_-]+|[A-Za-z0-9_-]+(\[\])*(\.[A-Za-z0-9_-]+(\[\])*)*)$`)
	linkPath    = regexp.MustCompile(`^([a-z][a-z0-9_]*(\[\])*\.)*[a-z][a-z0-9_]*$`)
	bodyField   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	metricLabel = regexp.MustCompile(`^[!-~]{1,128}$`)
	anyVariable = regexp.MustCompile(`\{[^/]*\}`)
)

func (k *checker) admin() {
	a := k.c.Admin
	if a.Listen != "" {
		k.address("admin.listen", a.Listen)
	}
	if a.Control == "" {
		if !a.ControlToken.IsZero() {
			k.fault("admin.control_token", "is given, and the control port is off", "give admin.control, or remove the token")
		}
		return
	}
	if !k.address("admin.control", a.Control) {
		return
	}
	switch {
	case !IsLoopback(a.Control):
		k.fault("admin.control", "is reachable from other machines", "use unix:/path, or 127.0.0.1 with control_token")
	case !strings.HasPrefix(a.Control, unixPrefix) && a.ControlToken.IsZero():
		k.fault("admin.control_token", "is missing: every user of this machine can reach admin.control", "write control_token: file:PATH or env:NAME, or use unix:/path")
	}
}

func (k *checker) endpoints() {
	seen := map[string]string{}
	for i, e := range k.c.Endpoints {
		key := fmt.Sprintf("endpoints[%d]", i)
		if e.Method == "" {
			k.fault(join(key, "method"), "is missing", "write the HTTP method, as in GET")
		}
		if e.Path == "" {
			k.fault(join(key, "path"), "is missing", "write the path template, as in /v3/pay/transactions/id/{transaction_id}")
		} else if err := checkTemplate(e.Path); err != nil {
			k.fault(join(key, "path"), err.Error(), "write the path template, as in /v3/pay/transactions/id/{transaction_id}")
		}
		if e.Label != "" && !metricLabel.MatchString(e.Label) {
			k.fault(join(key, "label"), "is not a label", "use 1 to 128 visible ASCII characters, without spaces")
		}
		if e.IdempotencyKey != "" && !bodyField.MatchString(e.IdempotencyKey) {
			k.fault(join(key, "idempotency_key"), "is not a field name", "write the name of the body field, as in out_trade_no")
		}
		k.sensitive(key, e)
		k.facts(key, e)
		if e.Download != "" && !linkPath.MatchString(e.Download) {
			k.fault(join(key, "download"), "is not the path of a link in the answer", "write it as download_url, or as files[].download_url where the answer has a list files")
		}
		if e.NotifyURL != "" && !bodyField.MatchString(e.NotifyURL) {
			k.fault(join(key, "notify_url"), "is not a field name", "write the name of the body field, as in notify_url, or none")
		}
		k.unique(seen, join(key, "path"), e.Method+" "+anyVariable.ReplaceAllString(e.Path, "{}"), "keep one entry for each method and path")
	}
}

// facts checks what an endpoint says of its answers and repeats.
func (k *checker) facts(key string, e Endpoint) {
	for j, status := range e.Executed {
		if status < 400 || status > 599 {
			k.fault(fmt.Sprintf("%s.executed[%d]", key, j), "is not an error status", "write statuses from 400 to 599, as in [500, 502, 503, 504]")
		}
	}
	if len(e.Executed) > 0 && e.Method == http.MethodGet {
		k.fault(join(key, "executed"), "is given for a GET, which executes nothing", "remove it")
	}
	if e.Encrypted != "" && !bodyField.MatchString(e.Encrypted) {
		k.fault(join(key, "encrypted"), "is not the name of a query parameter", "write it as algorithm")
	}
	if e.Statement != nil && *e.Statement && e.Unsigned != nil && *e.Unsigned {
		k.fault(join(key, "statement"), "is true, and so is unsigned", "keep one of the two")
	}
}

// sensitive checks an endpoint's sensitive fields as far as that needs no table.
func (k *checker) sensitive(key string, e Endpoint) {
	const fix = "write a path, as in payer.name, receivers[].name or **.name; with a - in front to take one away"
	for name, list := range map[string][]string{"sensitive_request": e.SensitiveRequest, "sensitive_response": e.SensitiveResponse} {
		for i, path := range list {
			if !fieldPath.MatchString(path) {
				k.fault(fmt.Sprintf("%s.%s[%d]", key, name, i), "is not the path of a field", fix)
			}
		}
	}
	for i, name := range e.SensitiveQuery {
		if !bodyField.MatchString(strings.TrimPrefix(name, "-")) {
			k.fault(fmt.Sprintf("%s.sensitive_query[%d]", key, i), "is not a parameter name", "write the name of the query parameter, as in card_no")
		}
	}
	if e.Method == http.MethodGet && len(e.SensitiveRequest) > 0 {
		k.fault(join(key, "sensitive_request"), "is given for a GET, which has no body", "use sensitive_query for its query parameters")
	}
	if e.Sensitive == "off" && len(e.SensitiveRequest)+len(e.SensitiveQuery)+len(e.SensitiveResponse) > 0 {
		k.fault(join(key, "sensitive"), "is off, and fields are given besides", "keep one of the two")
	}
}
