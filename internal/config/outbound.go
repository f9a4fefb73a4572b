package config

import (
	"io/fs"
	"time"
)

// Outbound is the port that apps call instead of api.mch.weixin.qq.com.
type Outbound struct {
	// Where apps reach us: one address or a list, each host:port, unix:/path, or {address,
	// merchant}. An address that is not loopback needs unsafe_listen. Default: 127.0.0.1:8080.
	Listen []Listener `yaml:"listen" single:"address"`
	// Allow addresses that other machines can reach. Whoever reaches the port can ask for a
	// signature, so callers are required. Default: false.
	UnsafeListen bool `yaml:"unsafe_listen"`
	// Permissions of Unix sockets, in octal. Default: 0660.
	SocketMode fs.FileMode `yaml:"socket_mode"`
	// WeChat Pay's addresses, the first preferred, the others for failover. http:// only for
	// loopback (the simulator). Default: https://api.mch.weixin.qq.com and
	// https://api2.mch.weixin.qq.com.
	Upstreams []string `yaml:"upstreams"`
	// Further addresses of WeChat Pay, in groups: those of another region, as apihk. A merchant
	// names its group; a call that names a host of one goes there. Default: none.
	UpstreamGroups []UpstreamGroup `yaml:"upstream_groups"`
	// PEM file of certificates to trust for upstreams besides the system's, for tests and TLS
	// gateways. Default: none.
	UpstreamCA string `yaml:"upstream_ca" kind:"path"`
	// More host names, without port, under which apps may call us, besides loopback names and
	// the hosts of listen and upstreams. Others are refused: a web page may have made its own
	// name point here. Default: none.
	Hosts []string `yaml:"hosts"`
	// Who may call, and what. Default: none, whoever reaches a loopback address or the socket
	// may do everything but decrypt.
	Callers []Caller `yaml:"callers"`
	// What is done with a body in which there is what WeChat Pay is known to refuse, such as an
	// amount with a fraction, null, an emoji, or no mchid (docs/hints.md). warn: say so
	// in the header Wxproxy-Hint and in the log. refuse: answer 400, where the built-in table
	// knows the call. Default: warn.
	Hints string `yaml:"hints" enum:"warn,refuse,off"`
	// Bounds on sizes and rates.
	Limits Limits `yaml:"limits"`
	// Time for one call of the app as a whole, retries included. Default: 30s.
	Timeout time.Duration `yaml:"timeout"`
	// Time for one connection to WeChat Pay to be made, TLS included. Default: 5s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
}

// UpstreamGroup is addresses of WeChat Pay that stand in for each other.
type UpstreamGroup struct {
	// Name of the group, for merchants to name. Required, unique.
	Name string `yaml:"name"`
	// Its addresses, the first preferred, as in outbound.upstreams. Required.
	Upstreams []string `yaml:"upstreams"`
}

// Listener is one outbound address.
type Listener struct {
	// host:port or unix:/path. Required.
	Address string `yaml:"address"`
	// Alias of the merchant that signs for requests at this address when the Wxproxy-Merchant
	// header is absent. Default: the only merchant, or none.
	Merchant string `yaml:"merchant"`
}

// Caller is one app, known by its token or its user ID.
type Caller struct {
	// Name of the caller in logs and metrics. Required, unique.
	Name string `yaml:"name"`
	// Reference to the token that the app sends. Either token or uid is required.
	Token Ref `yaml:"token"`
	// User ID of the app's process; known on Unix sockets only.
	UID *int `yaml:"uid"`
	// Aliases of the merchants this caller may use. Default: all.
	Merchants []string `yaml:"merchants"`
	// Requests this caller may make, as "METHOD /path". The method * is any, a segment * is
	// any one segment, a last segment ** is the rest. Default: all.
	Allow []string `yaml:"allow"`
	// Local endpoints this caller may use (docs/local-endpoints.md). Without callers everyone
	// who reaches the port may use all but decrypt. Default: none.
	Endpoints []string `yaml:"endpoints" enum:"pay-params,sign,encrypt,decrypt,verify"`
}

// Limits bounds what one request, and all of them, may take.
type Limits struct {
	// Largest request body. Default: 8MiB.
	Request Size `yaml:"request"`
	// Largest answer that is verified in memory; downloads stream and do not count. Default:
	// 8MiB.
	Response Size `yaml:"response"`
	// Largest encrypted bill that is decrypted here (header Wxproxy-Decrypt): it is held whole,
	// as a part of in_flight, so that not more than in_flight helps. Default: 32MiB.
	EncryptedBill Size `yaml:"encrypted_bill"`
	// Memory for the bodies of all requests together. A call that changes something has 8KiB of
	// it for its answer before it is sent; one longer answer at a time may go beyond. Default:
	// 64MiB.
	InFlight Size `yaml:"in_flight"`
	// Largest header block, of a request or an answer. Default: 64KiB.
	Headers Size `yaml:"headers"`
	// Requests of one merchant; more wait, then get 429. Default: off.
	Rate Rate `yaml:"rate"`
	// Requests of one merchant by family of calls, besides rate. Default: off; WeChat Pay's own
	// limits stand in docs/operations.md.
	Rates Rates `yaml:"rates"`
}

// Rates are the rates of the families of calls that WeChat Pay limits together.
// Which call is in which family says the endpoint table.
type Rates struct {
	// Orders, before the customer pays (下单).
	Prepay Rate `yaml:"prepay"`
	// Queries of orders (查询订单).
	Query Rate `yaml:"query"`
	// Refunds (申请退款).
	Refund Rate `yaml:"refund"`
	// Queries of refunds (查询退款).
	RefundQuery Rate `yaml:"refund_query"`
	// Refunds that went wrong (异常退款).
	AbnormalRefund Rate `yaml:"abnormal_refund"`
	// Transfers to customers (商家转账).
	Transfer Rate `yaml:"transfer"`
	// Queries of transfers.
	TransferQuery Rate `yaml:"transfer_query"`
	// Profit sharing (分账): orders, returns, finishing.
	ProfitSharing Rate `yaml:"profitsharing"`
	// Bills asked for (申请账单).
	Bill Rate `yaml:"bill"`
	// Platform certificates that apps download; wxproxy's own downloads do not count.
	Certificates Rate `yaml:"certificates"`
	// Every other call.
	Other Rate `yaml:"other"`
}

// ByFamily returns the rates by the endpoint table's names of the families.
func (r Rates) ByFamily() map[string]Rate {
	return map[string]Rate{
		"prepay": r.Prepay, "query": r.Query, "refund": r.Refund, "refund_query": r.RefundQuery, "abnormal_refund": r.AbnormalRefund,
		"transfer": r.Transfer, "transfer_query": r.TransferQuery, "profitsharing": r.ProfitSharing, "bill": r.Bill,
		"certificates": r.Certificates, "other": r.Other,
	}
}

// Rate is a token bucket.
type Rate struct {
	// Events a second. 0 is off.
	PerSecond float64 `yaml:"per_second"`
	// Events that may come at once. At least 1 unless per_second is 0.
	Burst int `yaml:"burst"`
}

func defaultOutbound() Outbound {
	return Outbound{
		Listen:     []Listener{{Address: "127.0.0.1:8080"}},
		SocketMode: 0o660,
		Upstreams:  []string{"https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com"},
		Limits: Limits{
			Request:       8 << 20,
			Response:      8 << 20,
			EncryptedBill: 32 << 20,
			InFlight:      64 << 20,
			Headers:       64 << 10,
		},
		Hints:          "warn",
		Timeout:        30 * time.Second,
		ConnectTimeout: 5 * time.Second,
	}
}
