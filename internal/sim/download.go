package sim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // WeChat Pay promises the SHA-1 of bills
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/wxproxy/wxproxy/internal/wire"
)

// Where files are downloaded, as the links of the documents' examples have it.
const (
	pathBill          = "/v3/billdownload/file"
	pathEncryptedBill = "/v3/bill/downloadurl"
	pathPayScoreBill  = "/v3/payscore/bill/downloadurl"
	pathReceipt       = "/v3/transferbilldownload/elecvoucherfile"
)

const fileLife = 5 * time.Minute

// file waits to be downloaded.
type file struct {
	owner   string
	path    string
	content []byte // as downloaded
	until   time.Time
}

// offer makes the link of a file.
func (s *Sim) offer(c *call, path string, content []byte) string {
	token := randomHex(48)
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.files.put(token, &file{owner: c.merchant.MchID, path: path, content: content, until: s.now().Add(fileLife)})
	return c.base + path + "?token=" + token
}

// download answers unsigned: what was promised is the hash.
func (s *Sim) download(c *call) (answer, error) {
	s.book.mu.Lock()
	f, exists := s.book.files.get(c.query.Get("token"))
	s.book.mu.Unlock()
	if !exists || f.path != c.path || s.now().After(f.until) {
		return answer{}, paramError("query", "token", "is unknown, or older than 5 minutes")
	}
	if f.owner != c.merchant.MchID {
		return answer{}, businessError(http.StatusForbidden, "NO_AUTH", "商户无权限", "another merchant asked for this file")
	}
	return answer{status: http.StatusOK, body: f.content, contentType: "text/plain; charset=utf-8", unsigned: true}, nil
}

// encryptedBill makes the handler that prepares a bill in two files, each
// encrypted with a key of its own, which is encrypted to the merchant.
func (s *Sim) encryptedBill(parameter, path string) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		day, err := time.ParseInLocation(time.DateOnly, c.query.Get("bill_date"), beijing)
		if err != nil {
			return answer{}, paramError("query", "bill_date", "is required, as in 2026-01-31")
		}
		if c.query.Get(parameter) != wire.AlgorithmAESGCM {
			return answer{}, paramError("query", parameter, "must be "+wire.AlgorithmAESGCM+"; the simulator does not have SM4_GCM")
		}
		content := billContent(fundFlowBill, day)
		half := bytes.IndexByte(content[len(content)/2:], '\n') + len(content)/2 + 1
		var list []map[string]any
		for i, part := range [][]byte{content[:half], content[half:]} {
			sum := sha1.Sum(part)
			packed, suffix, err := c.packed(part)
			if err != nil {
				return answer{}, err
			}
			key, nonce := randomHex(32), randomHex(16)
			told, err := encryptField(c.merchant, key)
			if err != nil {
				return answer{}, err
			}
			sealed, err := sealFile(key, nonce, packed)
			if err != nil {
				return answer{}, err
			}
			list = append(list, map[string]any{
				"bill_sequence": i + 1, "hash_type": "SHA1", "hash_value": hex.EncodeToString(sum[:]),
				"download_url": s.offer(c, path, sealed) + suffix, "encrypt_key": told, "nonce": nonce,
			})
		}
		return ok(map[string]any{"download_bill_count": len(list), "download_bill_list": list})
	}
}

// sealFile encrypts a whole file with AEAD_AES_256_GCM, without associated data.
func sealFile(key, nonce string, content []byte) ([]byte, error) {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(nonce))
	if err != nil {
		return nil, err
	}
	return gcm.Seal(nil, []byte(nonce), content, nil), nil
}

// receipt is the paper that a transfer was made, promised by its SHA-256.
func (s *Sim) receipt(c *call) (answer, error) {
	number := c.vars["out_bill_no"]
	c.entry.OutTradeNo = cut(number, 64)
	s.book.mu.Lock()
	_, exists := s.book.transfers.get(joinKey(c.merchant.MchID, number))
	s.book.mu.Unlock()
	if !exists {
		return answer{}, businessError(http.StatusNotFound, "NOT_FOUND", "记录不存在", "no such transfer")
	}
	content := []byte("%PDF-1.4\n% simulated receipt of " + number + "\n%%EOF\n")
	sum := sha256.Sum256(content)
	return ok(map[string]string{
		"state": "FINISHED", "hash_type": "SHA256", "hash_value": hex.EncodeToString(sum[:]),
		"download_url": s.offer(c, pathReceipt, content) + "&source=elecsign",
	})
}

// downloadImage answers unsigned, and nothing was promised of a picture.
func (s *Sim) downloadImage(c *call) (answer, error) {
	picture := append([]byte("\x89PNG\r\n\x1a\n"), "not really a picture: "+cut(c.vars["media_id"], 64)...)
	return answer{status: http.StatusOK, body: picture, contentType: "image/png", unsigned: true}, nil
}

// statement answers with a list of payments whose SHA-1, in a header, is what
// is signed.
func (s *Sim) statement(c *call) (answer, error) {
	day, err := time.ParseInLocation("20060102", c.query.Get("date"), beijing)
	if err != nil {
		return answer{}, paramError("query", "date", "is required, as in 20260131")
	}
	return answer{status: http.StatusOK, body: billContent(tradeBill, day), contentType: "text/plain; charset=utf-8", statement: true}, nil
}

// spoil changes a file as the fault wants it.
func spoil(content []byte, f *Fault) []byte {
	switch {
	case f == nil || len(content) == 0:
		return content
	case f.Kind == FaultCorrupt:
		changed := bytes.Clone(content)
		changed[len(changed)/2] ^= 1
		return changed
	case f.Kind == FaultCut:
		return content[:len(content)/2]
	default:
		return content
	}
}
