package certcache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/wxproxy/wxproxy/internal/wire"
	"github.com/wxproxy/wxproxy/verifier"
)

// maxFile leaves room for the headers beside the largest answer.
const maxFile = maxAnswer + 64<<10

// kept are the headers that the signature needs; no other is stored.
var kept = [...]string{wire.HeaderTimestamp, wire.HeaderNonce, wire.HeaderSignature, wire.HeaderSerial, wire.HeaderSignatureType}

// Load takes over the copy on disk, so that a start works while WeChat Pay is
// out of reach. No file is no error. Any other error means that the copy was
// left alone: log it and go on, the first download replaces the file.
//
// The copy is WeChat Pay's answer as it came, still encrypted. Whoever can
// write the file but does not know the APIv3 key can put no key of his own
// into it, only an older answer of WeChat Pay to this merchant.
func (c *Cache) Load() error {
	if !c.options.Certificates || c.options.File == "" {
		return nil
	}
	a, err := readAnswer(c.options.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return c.damaged(err)
	}
	stamp, err := wire.ParseStamp(a.header)
	if err != nil {
		return c.damaged(err)
	}
	listed, err := c.open(a.body)
	if err != nil {
		return c.damaged(err)
	}
	// Age is no fault here, nor that the signing certificate ended since; swap
	// takes only certificates that still verify.
	keys := candidates{cache: c, listed: listed, counts: func(entry) bool { return true }}
	if err := verifier.Verify(context.Background(), keys, stamp, a.body); err != nil {
		return c.damaged(err)
	}
	c.swap(listed)
	return nil
}

func (c *Cache) damaged(err error) error {
	return fmt.Errorf("%w: %s of merchant %s: %w", ErrFile, c.options.File, c.options.Name, err)
}

// readAnswer reads a file in the form of an HTTP answer.
func readAnswer(path string) (answer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return answer{}, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for ever
		return answer{}, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return answer{}, err
	}
	defer f.Close()
	return parseAnswer(io.LimitReader(f, maxFile))
}

func parseAnswer(from io.Reader) (answer, error) {
	response, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil {
		return answer{}, errors.New("not a stored answer")
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, errors.New("cut off")
	}
	return answer{header: response.Header, body: body}, nil
}

func (a answer) format() []byte {
	header := http.Header{"Content-Length": {strconv.Itoa(len(a.body))}}
	for _, name := range kept {
		if v, ok := a.header[name]; ok {
			header[name] = v
		}
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = header.Write(&b) // a Buffer takes everything
	b.WriteString("\r\n")
	b.Write(a.body)
	return b.Bytes()
}

// keep stores a believed answer. A failure costs nothing now, so it is told to
// the log only.
func (c *Cache) keep(a answer) {
	if c.options.File == "" {
		return
	}
	if err := replaceFile(c.options.File, a.format()); err != nil {
		c.log.Warn("platform certificates not stored; a start without WeChat Pay will have none", "error", err)
	}
}

// replaceFile writes beside the file and renames, so that a reader or a crash
// finds the old content or the new, never a part.
func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename survive a power cut. Where directories cannot be
// synced the worst is the content of before.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
