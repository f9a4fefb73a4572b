package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	maxBody   = 1 << 20
	maxUpload = 8 << 20
)

// upload is a multipart request: only its meta is signed.
type upload struct {
	meta []byte
	part string // name of the file part; empty: there is none
	file []byte
}

// readBody reads what was sent, within a bound, and finds out which part of it
// is signed.
func (c *call) readBody(w http.ResponseWriter, r *http.Request, isUpload bool) *apiError {
	limit := int64(maxBody)
	if isUpload {
		limit = maxUpload
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return businessError(http.StatusRequestEntityTooLarge, "INVALID_REQUEST", "请求报文过大", "the body is too large")
	case err != nil:
		return headerError("INVALID_REQUEST", "请求报文不完整", "the body ended early")
	}
	c.body, c.signed = body, body
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil
	}
	up, apiErr := readForm(body, params["boundary"])
	if apiErr != nil {
		return apiErr
	}
	c.upload, c.signed = up, up.meta
	return nil
}

func readForm(body []byte, boundary string) (*upload, *apiError) {
	bad := func(reason string) (*upload, *apiError) {
		return nil, headerError("PARAM_ERROR", "请求报文格式错误", reason)
	}
	if boundary == "" {
		return bad("Content-Type has no boundary")
	}
	var up upload
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("the multipart form is malformed")
		}
		content, err := io.ReadAll(part) // bounded by body
		if err != nil {
			return bad("a part of the multipart form is cut off")
		}
		switch {
		case part.FormName() == "meta" && up.meta == nil:
			up.meta = content
		case part.FileName() != "" && up.part == "":
			up.part, up.file = part.FormName(), content
		}
	}
	if up.meta == nil {
		return bad("the multipart form has no part meta")
	}
	return &up, nil
}

// checkContent judges the form of a JSON body: WeChat Pay takes neither null
// nor characters outside the basic plane.
func (c *call) checkContent(isUpload bool) *apiError {
	if isUpload {
		if c.upload == nil {
			return headerError("PARAM_ERROR", "请求报文格式错误", "an upload must be multipart/form-data")
		}
		return checkJSON(c.upload.meta)
	}
	if len(c.body) == 0 {
		return nil
	}
	contentType := c.header.Get("Content-Type")
	if contentType == "" {
		return headerError("INVALID_REQUEST", "Http头缺少Content-Type", "a body came without Content-Type")
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return businessError(http.StatusUnsupportedMediaType, "INVALID_REQUEST", "不支持的Content-Type",
			"Content-Type is not application/json")
	}
	if err := checkJSON(c.body); err != nil {
		return err
	}
	return c.checkMerchant()
}

func checkJSON(body []byte) *apiError {
	if !utf8.Valid(body) {
		return bodyError("/", "not UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) || !json.Valid(body) {
		return bodyError("/", "not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bodyError("/", "not a JSON object")
		}
		if token == nil {
			return bodyError("/", "null is not allowed; leave the key out")
		}
		if text, ok := token.(string); ok && strings.IndexFunc(text, outsidePlane) >= 0 {
			return bodyError("/", "a character of 4 bytes in UTF-8, such as an emoji")
		}
	}
}

func outsidePlane(r rune) bool { return r > 0xffff }

// checkMerchant compares the merchant that the body names with the one that
// signed.
func (c *call) checkMerchant() *apiError {
	var names map[string]json.RawMessage
	if json.Unmarshal(c.body, &names) != nil {
		return bodyError("/", "not a JSON object")
	}
	for _, field := range []string{"mchid", "sp_mchid", "combine_mchid"} {
		raw, ok := names[field]
		if !ok {
			continue
		}
		var mchID string
		if json.Unmarshal(raw, &mchID) != nil || mchID != c.merchant.MchID {
			return bodyError("/"+field, "is not the merchant that signed the request")
		}
	}
	return nil
}

// decode reads the JSON body into the fields of a request. Keys in other letter
// case are not known to WeChat Pay, while encoding/json would take them.
func decode(c *call, to any) *apiError {
	if len(c.body) == 0 {
		return bodyError("/", "the body is empty")
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return bodyError("/", "not the JSON object expected")
	}
	exact, err := json.Marshal(dropUpperCase(v))
	if err == nil {
		err = json.Unmarshal(exact, to)
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return bodyError("/"+strings.ReplaceAll(kind.Field, ".", "/"), "must be "+kind.Type.String()+", not "+kind.Value)
	}
	if err != nil {
		return bodyError("/", "not the JSON object expected")
	}
	return nil
}

func dropUpperCase(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if strings.ToLower(key) != key {
				delete(v, key)
				continue
			}
			v[key] = dropUpperCase(value)
		}
	case []any:
		for i := range v {
			v[i] = dropUpperCase(v[i])
		}
	}
	return v
}

const maxText = 128

// checkLengths bounds what is kept of a request; given are fields and values.
func checkLengths(pairs ...string) *apiError {
	for i := 0; i < len(pairs); i += 2 {
		if utf8.RuneCountInString(pairs[i+1]) > maxText {
			return bodyError(pairs[i], "must not be longer than 128 characters")
		}
	}
	return nil
}
