package main

import (
	"github.com/wxproxy/wxproxy/internal/config"
	"github.com/wxproxy/wxproxy/internal/secret"
)

// watchedFiles lists the files whose change is a reason to reload: those that
// secrets refer to, and the certificates of apps and of Vault.
func watchedFiles(c *config.Config) []string {
	var files []string
	add := func(refs ...secret.Ref) {
		for _, r := range refs {
			if r.Scheme == "file" {
				files = append(files, r.Target)
			}
		}
	}
	for _, m := range c.Merchants {
		add(m.Certificate, m.PrivateKey, m.PrivateKeyPrevious, m.APIv3Key, m.APIv3KeyPrevious, m.APIv2Key, m.Platform.PublicKey)
	}
	for _, caller := range c.Outbound.Callers {
		add(caller.Token)
	}
	for _, r := range c.Notify.Routes {
		add(r.WebhookSecret, r.ClientTLS.Certificate, r.ClientTLS.PrivateKey)
		if r.ClientTLS.CA != "" {
			files = append(files, r.ClientTLS.CA)
		}
	}
	if t := c.Notify.TLS; t.Mode == config.TLSFiles {
		add(t.Certificate, t.PrivateKey)
	}
	add(c.Admin.ControlToken)
	for _, file := range []string{c.Vault.CA, c.Vault.ClientCertificate, c.Vault.ClientKey} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}
