package doorcert

import (
	"fmt"
	"io"
	"strings"
)

const trustText = `The notify port's certificate is signed by a development CA of its own:
  ROOT
It signs for names of this machine and its network alone. Never trust it on a
machine that is not yours, and never copy the key that lies beside it.

This machine, Debian and Ubuntu:
  sudo cp ROOT /usr/local/share/ca-certificates/wxproxy-development.crt
  sudo update-ca-certificates
Fedora, RHEL and their kin:
  sudo trust anchor ROOT
macOS:
  sudo security add-trusted-cert -d -r trustRoot -p ssl -k /Library/Keychains/System.keychain ROOT
Windows, as administrator:
  certutil -addstore -f ROOT_STORE ROOT

Chromium and Chrome on Linux (certutil is in the package libnss3-tools):
  mkdir -p "$HOME/.pki/nssdb"
  certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n wxproxy-development -i ROOT

One program alone:
  curl --cacert ROOT URL
  NODE_EXTRA_CA_CERTS=ROOT node app.js
  keytool -importcert -noprompt -alias wxproxy-development -file ROOT -keystore truststore.p12 -storetype PKCS12 -storepass changeit
  java -Djavax.net.ssl.trustStore=truststore.p12 -Djavax.net.ssl.trustStorePassword=changeit App.java
  wxproxy trigger TRANSACTION.SUCCESS --to URLPATH --ca ROOT --dir SANDBOX
`

// Trial is what a client needs to reach the notify port.
type Trial struct {
	CA          string // file of the CA's certificate
	URL, Path   string // where the port is reached, and one of its routes
	Credentials string // directory of a simulated merchant
}

// Trust writes how clients are told to trust a development CA.
func Trust(w io.Writer, t Trial) error {
	_, err := fmt.Fprint(w, strings.NewReplacer(
		"ROOT_STORE", "ROOT", "ROOT", quoted(t.CA), "URLPATH", quoted(t.URL+t.Path), "URL", t.URL, "SANDBOX", quoted(t.Credentials),
	).Replace(trustText))
	return err
}

// quoted is an argument as a shell wants it.
func quoted(text string) string {
	if !strings.ContainsAny(text, " '\"$`\\&;()<>|*?") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
