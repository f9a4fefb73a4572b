package doorcert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/mholt/acmez/v3/acme"
)

const unverified = "the authority could not verify that the name is yours: port 443 of the name must reach notify.listen with TLS untouched, or port 80 acme.http_listen; see to DNS, firewall and what stands before wxproxy"

// problems are the ACME error types (RFC 8555, section 6.7) that a user can do
// something about.
var problems = map[string]string{
	acme.ProblemTypeConnection:              unverified,
	acme.ProblemTypeUnauthorized:            unverified,
	acme.ProblemTypeIncorrectResponse:       unverified,
	acme.ProblemTypeTLS:                     unverified,
	acme.ProblemTypeDNS:                     "the name must resolve for everybody",
	acme.ProblemTypeRateLimited:             "the authority's limit is reached: wait; do not restart, and try with the staging directory",
	acme.ProblemTypeCAA:                     "a CAA record of the domain forbids this authority",
	acme.ProblemTypeRejectedIdentifier:      "the authority gives no certificate for this name",
	acme.ProblemTypeExternalAccountRequired: "this authority needs acme.eab",
	acme.ProblemTypeInvalidContact:          "correct acme.email",
	acme.ProblemTypeUnsupportedContact:      "correct acme.email",
	acme.ProblemTypeUserActionRequired:      "the authority wants something of the account's owner",
}

// advice is an error of an order with what to do about it, on one line and of
// bounded length: some of it is the authority's text.
func advice(err error) string {
	var (
		problem   acme.Problem
		authority x509.UnknownAuthorityError
		network   *net.OpError
		hint      string
	)
	switch {
	case errors.As(err, &problem):
		hint = problems[problem.Type]
		for _, sub := range problem.Subproblems {
			if hint == "" {
				hint = problems[sub.Type]
			}
		}
	case errors.As(err, &authority):
		hint = "the directory's certificate is signed by nobody trusted: set acme.ca"
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		hint = "let this machine connect to the authority (wxproxy does not use HTTPS_PROXY)"
	}
	text := oneLine(fmt.Sprint(err))
	if hint == "" {
		return text
	}
	return hint + " (" + text + ")"
}

func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
