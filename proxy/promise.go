package proxy

import (
	"compress/gzip"
	"crypto/sha1" //nolint:gosec // WeChat Pay promises the SHA-1 of bills
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// Kinds of hashes, as Wxproxy-Checked names them.
const (
	hashSHA1   = "sha1"
	hashSHA256 = "sha256"
)

// promise is what a signed answer said of a file that is downloaded unsigned.
// The zero value promises nothing.
type promise struct {
	mchid string // whose answer it was

	hash string // kind; empty: none
	sum  string // lower-case hexadecimal

	// Of an encrypted file that is to be decrypted here: its key, encrypted to
	// the merchant's certificate, and its nonce.
	key, nonce []byte
}

func (p promise) empty() bool { return p.hash == "" && p.key == nil }

func newHash(kind string) hash.Hash {
	if kind == hashSHA256 {
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // see the import
}

// errPromise: a file does not have the hash that was promised.
var errPromise = errors.New("the file does not have the hash that the signed answer promised")

// heldBack is how much of a file is kept until its hash agrees, in bytes. A
// smaller file is told to be wrong before any of it is out.
const heldBack = readChunk

// checked reads a file and hashes it on the way. The last bytes come out only
// when the hash agrees; otherwise it ends with errPromise. Of a GZIP file
// either the file itself or what it holds may have been promised: bills promise
// the latter.
//
// Whoever makes one must close it.
type checked struct {
	from io.Reader
	want string
	raw  hash.Hash
	zip  *unzipped // nil: the file is not GZIP

	kind       string
	buf        []byte
	start, end int   // of what was read and is not out yet
	keep       int   // how much of that must not come out yet
	err        error // of from, or the verdict
}

func newChecked(from io.Reader, p promise) *checked {
	return &checked{from: from, want: p.sum, kind: p.hash, raw: newHash(p.hash), buf: make([]byte, heldBack+readChunk), keep: heldBack}
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	for c.end-c.start <= c.keep {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.buf[c.start:c.end-c.keep])
	c.start += n
	return n, nil
}

func (c *checked) fill() {
	c.end = copy(c.buf, c.buf[c.start:c.end])
	c.start = 0
	n, err := c.from.Read(c.buf[c.end:])
	read := c.buf[c.end : c.end+n]
	if c.end == 0 && n > 0 && read[0] == 0x1f { // the file begins as GZIP, and as no bill or PDF does
		c.zip = newUnzipped(newHash(c.kind))
	}
	c.end += n
	_, _ = c.raw.Write(read) // never fails
	if c.zip != nil {
		c.zip.write(read)
	}
	if errors.Is(err, io.EOF) {
		if err = errPromise; c.agrees() {
			err, c.keep = io.EOF, 0
		}
	}
	c.err = err
}

func (c *checked) agrees() bool {
	return hex.EncodeToString(c.raw.Sum(nil)) == c.want || c.zip != nil && c.zip.sum() == c.want
}

// close ends the goroutine that unzips.
func (c *checked) close() {
	if c.zip != nil {
		c.zip.sum()
	}
}

// unzipped hashes what a GZIP file holds, in a goroutine that takes each piece
// before the next is read: nothing piles up, however much a piece unpacks to.
type unzipped struct {
	to   *io.PipeWriter
	hash hash.Hash
	done chan struct{}
	err  error // set before done is closed
}

func newUnzipped(h hash.Hash) *unzipped {
	from, to := io.Pipe()
	u := &unzipped{to: to, hash: h, done: make(chan struct{})}
	go func() { // ends with the file, or when sum is called
		defer close(u.done)
		z, err := gzip.NewReader(from)
		if err == nil {
			_, err = io.Copy(h, z) //nolint:gosec // all members; hashed and dropped, at the pace of the download
		}
		u.err = err
		_ = from.CloseWithError(io.ErrClosedPipe) // what still comes does not matter
	}()
	return u
}

// write hands on a piece; of a broken file the rest is passed over.
func (u *unzipped) write(p []byte) { _, _ = u.to.Write(p) }

// sum is the hash of what the file held; empty when it is broken or cut short.
func (u *unzipped) sum() string {
	_ = u.to.Close()
	<-u.done
	if u.err != nil {
		return ""
	}
	return hex.EncodeToString(u.hash.Sum(nil))
}
