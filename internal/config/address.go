package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const unixPrefix = "unix:"

// maxSocketPath is what a Unix socket address holds on every platform we build for.
const maxSocketPath = 103

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// ParseAddress splits a listen address into what net.Listen takes: "unix" and
// a path, or "tcp" and host:port. An empty host is every interface.
func ParseAddress(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, unixPrefix); ok {
		if path == "" || len(path) > maxSocketPath {
			return "", "", fmt.Errorf("must have a socket path of 1 to %d bytes after unix:", maxSocketPath)
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", fmt.Errorf("is neither host:port nor unix:/path")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || port[0] == '+' {
		return "", "", fmt.Errorf("needs a port number from 0 to 65535 after the last colon")
	}
	if host != "" && !isHost(host) {
		return "", "", fmt.Errorf("has a host that is neither a name nor an IP address")
	}
	return "tcp", s, nil
}

// IsLoopback reports whether only this machine can reach a valid listen
// address: a socket, localhost or a loopback IP. Other names are not trusted
// to resolve to what they say.
func IsLoopback(address string) bool {
	if strings.HasPrefix(address, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	return err == nil && loopbackHost(host)
}

func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && hostName.MatchString(host)
}

// sameAddress reports whether two listeners could not both be opened.
func sameAddress(a, b string) bool {
	netA, addrA, errA := ParseAddress(a)
	netB, addrB, errB := ParseAddress(b)
	if errA != nil || errB != nil || netA != netB {
		return false
	}
	if netA == "unix" {
		return addrA == addrB
	}
	hostA, portA, _ := net.SplitHostPort(addrA) // valid: ParseAddress split them
	hostB, portB, _ := net.SplitHostPort(addrB)
	a, b = comparableHost(hostA), comparableHost(hostB)
	return portA == portB && portA != "0" && (a == b || a == "" || b == "")
}

// comparableHost gives every interface the empty name.
func comparableHost(host string) string {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() {
			return ""
		}
		return ip.Unmap().String()
	}
	return strings.ToLower(host)
}

func absoluteSocket(dir, address string) string {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok && path != "" {
		return unixPrefix + absolute(dir, path)
	}
	return address
}

// parseURL accepts an absolute http or https URL without user, password and
// fragment. The error does not repeat it: tokens travel in URLs.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("does not begin with http:// or https://")
	case u.Opaque != "" || !isHost(u.Hostname()):
		return nil, fmt.Errorf("has no valid host name")
	case u.User != nil:
		return nil, fmt.Errorf("contains a user name or password")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, fmt.Errorf("contains a fragment (#…)")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("has no valid port number")
		}
	}
	return u, nil
}
