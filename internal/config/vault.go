package config

import "time"

// Vault is the HashiCorp Vault that vault: and transit: references ask. The
// VAULT_… variables of Vault's own tools change nothing.
type Vault struct {
	// Vault's address, as in https://vault.example.com:8200. http:// on loopback only. Required with vault: and transit: references. Default: none, no Vault.
	Address string `yaml:"address"`
	// Namespace (Vault Enterprise). Default: none.
	Namespace string `yaml:"namespace"`
	// PEM file of the certificates that may sign Vault's. Default: the system's.
	CA string `yaml:"ca" kind:"path"`
	// PEM file of our client certificate, where Vault's listener asks for one. Given together with client_key.
	ClientCertificate string `yaml:"client_certificate" kind:"path"`
	// PEM file of its private key.
	ClientKey string `yaml:"client_key" kind:"path"`
	// Who we are to Vault.
	Auth VaultAuth `yaml:"auth"`
	// How often secrets are read again, varied by a tenth. Default: 5m.
	Refresh time.Duration `yaml:"refresh"`
	// How long the last good values serve after Vault last gave them; then the merchant is not ready and its calls answer key_unavailable, and a caller's token lets nobody in. At least twice refresh; 0: for ever. Default: 24h.
	MaxStale time.Duration `yaml:"max_stale"`
	// Time for one request to Vault, and for one signature. Default: 5s.
	Timeout time.Duration `yaml:"timeout"`
	// How long the start waits for a Vault that is in trouble, to log in and to read every secret. Default: 30s.
	StartTimeout time.Duration `yaml:"start_timeout"`
	// Connections to Vault, and with that signatures at one time. Default: 16.
	Connections int `yaml:"connections"`
}

// VaultAuth is how we log in.
type VaultAuth struct {
	// kubernetes, approle, token or token_file. Required.
	Method string `yaml:"method" enum:"kubernetes,approle,token,token_file"`
	// Mount of the auth method. Default: the method's name.
	Mount string `yaml:"mount"`
	// kubernetes: the role.
	Role string `yaml:"role"`
	// kubernetes: the file with the service account token, read anew at each login. Default: /var/run/secrets/kubernetes.io/serviceaccount/token.
	JWTFile string `yaml:"jwt_file" kind:"path"`
	// approle: reference to the role ID.
	RoleID Ref `yaml:"role_id"`
	// approle: reference to the secret ID.
	SecretID Ref `yaml:"secret_id"`
	// approle: secret_id is a response-wrapping token, unwrapped at the first login.
	Wrapped bool `yaml:"wrapped"`
	// token: reference to the token.
	Token Ref `yaml:"token"`
	// token_file: the file that Vault Agent keeps the token in.
	TokenFile string `yaml:"token_file" kind:"path"`
}

func defaultVault() Vault {
	return Vault{
		Refresh: 5 * time.Minute, MaxStale: 24 * time.Hour, Timeout: 5 * time.Second,
		StartTimeout: 30 * time.Second, Connections: 16,
	}
}
