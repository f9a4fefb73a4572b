package sim

import (
	"hash/fnv"
	"net/http"
)

// apiError is a refusal in WeChat Pay's shape. The message is WeChat Pay's own
// where it is known, and may be shown to anyone; reason is for the log, in
// plain words, for the developer who wonders why.
type apiError struct {
	status  int
	code    string
	message string
	detail  any
	reason  string
	empty   bool // no body at all, as from WeChat Pay's gateway
}

func (e *apiError) Error() string { return e.code + ": " + e.reason }

// number is the error's own number, which ends the Request-Id of its answer.
func (e *apiError) number() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.code + e.message))
	return 268435456 + h.Sum32()%1000000
}

// fieldDetail says which field is wrong.
type fieldDetail struct {
	Field    string `json:"field"`
	Value    string `json:"value,omitempty"`
	Issue    string `json:"issue"`
	Location string `json:"location"` // body, url or query
}

// signDetail tells a developer what WeChat Pay took for the signed message.
type signDetail struct {
	Detail      signIssue        `json:"detail"`
	Field       string           `json:"field"`
	Location    string           `json:"location"`
	Information *signInformation `json:"sign_information,omitempty"`
}

type signIssue struct {
	Issue string `json:"issue"`
}

type signInformation struct {
	Method        string `json:"method"`
	MessageLength int    `json:"sign_message_length"`
	Message       string `json:"truncated_sign_message"`
	URL           string `json:"url"`
}

// Sentences of WeChat Pay.
const (
	messageFormat    = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
	messageScheme    = "Http头Authorization认证类型不正确"
	messageTimestamp = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
	messageMerchant  = "商户未申请过证书"
	messageCert      = "商户证书序列号有误。请使用签名私钥匹配的证书序列号"
	messageExpired   = "商户证书已过期"
	messageSignature = "错误的签名，验签失败"
	messageAgent     = "Http头缺少Accept或User-Agent"
	messageSerial    = "平台证书序列号Wechatpay-Serial错误"
	messageNoSerial  = "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)"
	messageNoCert    = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"
	messageNoOrder   = "订单不存在"
	messageFrequency = "频率超限，请降低请求频率"
	messageSystem    = "系统异常，请稍后重试"
)

func signError(field, message, reason string) *apiError {
	return &apiError{
		status: http.StatusUnauthorized, code: "SIGN_ERROR", message: message, reason: reason,
		detail: signDetail{Detail: signIssue{reason}, Field: field, Location: "authorization"},
	}
}

// bodyError is a field of the JSON body; field is its JSON pointer.
func bodyError(field, issue string) *apiError {
	return paramError("body", field, issue)
}

func paramError(location, field, issue string) *apiError {
	return &apiError{
		status: http.StatusBadRequest, code: "PARAM_ERROR", message: "参数错误",
		reason: location + " " + field + ": " + issue,
		detail: fieldDetail{Field: field, Issue: issue, Location: location},
	}
}

// headerError has no detail: WeChat Pay gives none for headers.
func headerError(code, message, reason string) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: message, reason: reason}
}

func businessError(status int, code, message, reason string) *apiError {
	return &apiError{status: status, code: code, message: message, reason: reason}
}
