// Package config reads wxproxy's YAML file into a checked Config.
//
// Load reads, expands, overrides, decodes strictly over the defaults and
// validates, and reports every fault at once with its file, line, key and
// fix. It never reads a secret: secret fields hold references, and whoever
// needs the key opens it. The comments of the types are the manual; the JSON
// schema for editors is generated from them.
package config

import (
	"io/fs"
	"strconv"
	"time"
)

//go:generate go run ./schemagen -src . -o ../../config.schema.json

// Config is the whole of a config file. Only merchants has no default.
//
// Struct tags: yaml is the key; enum lists the texts a field takes; later
// lists texts that are understood but not in this build; kind is path or dir for
// a text that names one, relative to the config file, and public for a
// reference to what is no secret; single means that one item may be written
// without a list, and for a list of structs names the key that a bare text
// sets.
type Config struct {
	// The merchants (商户) that wxproxy signs and receives for. At least one. Required.
	Merchants []Merchant `yaml:"merchants"`
	// From the app to WeChat Pay: the port that signs requests and verifies answers.
	Outbound Outbound `yaml:"outbound"`
	// From WeChat Pay to the app: the port that verifies, decrypts and forwards notifies (回调通知).
	Notify Notify `yaml:"notify"`
	// Health, metrics and operator actions.
	Admin Admin `yaml:"admin"`
	// HashiCorp Vault, for vault: and transit: references.
	Vault Vault `yaml:"vault"`
	// Logs go to standard error.
	Log Log `yaml:"log"`
	// Directory for copies of WeChat's platform certificates (平台证书), encrypted as WeChat sent
	// them, so that a restart works while WeChat is unreachable. It is created when absent.
	// Default: none, nothing is kept.
	StateDir string `yaml:"state_dir" kind:"dir"`
	// How long requests in progress may take to finish after SIGTERM. Default: 25s.
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`
	// How long everything goes on after SIGTERM while /readyz already answers 503, so that a
	// load balancer sends nothing new by the time the notify port stops. Default: 0.
	ShutdownDelay time.Duration `yaml:"shutdown_delay"`
	// How long the outbound port goes on once the notify port has stopped: for an app that is
	// told to stop at the same time as wxproxy and still calls WeChat Pay. The quit action of
	// the control port ends it early. shutdown_grace must hold it and shutdown_delay.
	// Default: 0.
	ShutdownLinger time.Duration `yaml:"shutdown_linger"`
	// Corrections to the built-in table of WeChat Pay endpoints, or entries that it lacks.
	// Rarely needed: an endpoint that is not in the table is still signed and verified.
	Endpoints []Endpoint `yaml:"endpoints"`

	source *source // where the values came from; nil when built in code
}

// Admin is the operators' side. Neither address may be one of the data ports.
type Admin struct {
	// Address of /healthz, /readyz and /metrics, which show no personal data: it may be opened
	// to probes and Prometheus. host:port, or unix:/path. Empty: off. Default: 127.0.0.1:9090.
	Listen string `yaml:"listen"`
	// Address of operator actions: unix:/path, or a loopback host:port, which needs
	// control_token. Default: empty, off.
	Control string `yaml:"control"`
	// Permissions of the control socket, in octal. Default: 0600, our own user.
	ControlMode fs.FileMode `yaml:"control_mode"`
	// Reference to the token that the control port asks for. Required when control is a TCP
	// address.
	ControlToken Ref `yaml:"control_token"`
}

// Log says how much is logged, and in which form.
type Log struct {
	// text for people, json for collectors. Default: text.
	Format string `yaml:"format" enum:"text,json"`
	// Least level that is logged. Bodies and keys are not logged at any level. Default: info.
	Level string `yaml:"level" enum:"debug,info,warn,error"`
}

// Endpoint overrides one entry of the endpoint table, or adds one. What is not
// given keeps the table's value.
type Endpoint struct {
	// HTTP method. Required.
	Method string `yaml:"method" enum:"GET,POST,PUT,PATCH,DELETE"`
	// Path template, with {name} for a variable segment, as in
	// /v3/pay/transactions/id/{transaction_id}. Required.
	Path string `yaml:"path"`
	// Label of the endpoint in metrics and logs. Default: the table's label, or the template.
	Label string `yaml:"label"`
	// true: WeChat does not sign answers of this endpoint, so they pass unverified and are
	// marked so. false: they must be signed. Default: what the table says; signed when it is
	// not in the table.
	Unsigned *bool `yaml:"unsigned"`
	// Name of the body field that makes a repeated request harmless, as in out_trade_no; such
	// a request may be retried. Default: what the table says; none when it is not in the
	// table.
	IdempotencyKey string `yaml:"idempotency_key"`
	// on: sensitive fields (敏感信息字段) are encrypted in requests and decrypted in answers. off:
	// the app does that for this endpoint. Default: on.
	Sensitive string `yaml:"sensitive" enum:"on,off"`
	// Fields of the body to encrypt besides those of the table, as in receivers[].name ([] for
	// each element of an array; **.name for that name wherever it stands). With a - in front:
	// one of the table not to encrypt. Default: what the table says.
	SensitiveRequest []string `yaml:"sensitive_request"`
	// The same for query parameters, by name. Default: what the table says.
	SensitiveQuery []string `yaml:"sensitive_query"`
	// The same for fields of the answer, to decrypt. Default: what the table says.
	SensitiveResponse []string `yaml:"sensitive_response"`
	// Where the answer has links to files, as in download_url or files[].download_url. Links to
	// endpoints that are unsigned are made to lead to wxproxy, which checks the hash_value that
	// stands beside them. Default: what the table says.
	Download string `yaml:"download"`
	// Whether the file of an upload must have the digest that its meta part names (sha256,
	// file_digest, digest): check, or off. Default: check.
	FileDigest string `yaml:"file_digest" enum:"check,off"`
	// Name of the body field that takes the notify URL, to be filled in when it is left out
	// (notify.public_url); none: it is not filled in. Default: what the table says.
	NotifyURL string `yaml:"notify_url"`
	// Rate family: the key of outbound.limits.rates that holds the call back. Default: what the
	// table says; other when it is not in the table.
	RateFamily string `yaml:"rate_family" enum:"abnormal_refund,bill,certificates,other,prepay,profitsharing,query,refund,refund_query,transfer,transfer_query"`
	// true: a repeated request does no second thing, whatever its body, so that it may be
	// retried. false: only with its idempotency_key. Default: what the table says; true for
	// GET.
	Repeatable *bool `yaml:"repeatable"`
	// Error statuses after which the call may have been executed all the same. Default: what
	// the table says; 500, 502, 503 and 504 for all but GET.
	Executed []int `yaml:"executed"`
	// true: what is signed of an answer is its header Wechatpay-Statement-Sha1 instead of the
	// body. Default: what the table says.
	Statement *bool `yaml:"statement"`
	// Name of the query parameter that asks for encrypted files, as algorithm. Default: what
	// the table says.
	Encrypted string `yaml:"encrypted"`
}

func (e *Endpoint) setDefaults() { e.Sensitive = "on" }

// Size is a number of bytes. In YAML: 8MiB, 1MB, 65536.
type Size int64

// String writes s with the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if u.binary && s > 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Default is the config of an empty file.
func Default() *Config {
	return &Config{
		Outbound:      defaultOutbound(),
		Notify:        defaultNotify(),
		Admin:         Admin{Listen: "127.0.0.1:9090", ControlMode: 0o600},
		Vault:         defaultVault(),
		Log:           Log{Format: "text", Level: "info"},
		ShutdownGrace: 25 * time.Second,
	}
}
