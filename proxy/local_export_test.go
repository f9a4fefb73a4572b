package proxy

import "net/http"

// LocalForms are the forms of the local endpoints by their path: nil for those
// that take a notify.
func LocalForms() map[string][]Param {
	forms := make(map[string][]Param)
	for path, r := range localRoutes {
		forms[path] = exportForm(r.form)
	}
	return forms
}

// LocalGrants are what callers are granted, by path.
func LocalGrants() map[string]string {
	list := make(map[string]string)
	for path, r := range localRoutes {
		list[path] = r.grant
	}
	return list
}

// Param is a member of a form, as the tests of the document see it.
type Param struct {
	Name, Pattern   string
	Optional, Texts bool
	List            []Param
	Most            int
}

func exportForm(params []param) []Param {
	var list []Param
	for _, p := range params {
		e := Param{Name: p.name, Optional: p.optional, Texts: p.texts, List: exportForm(p.list), Most: p.most}
		if p.pattern != nil {
			e.Pattern = p.pattern.String()
		}
		list = append(list, e)
	}
	return list
}

// Prepare gives hints about a body and fills in its notify URL, without HTTP
// around it.
func (o *Outbound) Prepare(method, path string, body []byte) (hints string, after []byte) {
	x := &exchange{merchant: o.merchants.all[0], endpoint: o.table.Lookup(method, path)}
	defer func() { o.inFlight.give(x.held) }()
	d := &draft{header: http.Header{"Content-Type": {"application/json"}}, body: body, signed: body}
	_ = o.giveHints(x, d)
	_ = o.fillNotifyURL(x, d)
	return x.hints, d.body
}
