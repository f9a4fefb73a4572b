package endpoint

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wxproxy/wxproxy/internal/jsonedit"
)

// Download says where an answer has links to files. What is promised of a file
// stands beside its link.
type Download struct {
	// Path of the links, as in download_bill_list[].download_url.
	Path string
	// Objects are where the links stand; nil: the answer itself is the object.
	Objects *jsonedit.Paths
	// Members are those of such an object that matter: the link and what is
	// promised, under the names below.
	Members *jsonedit.Paths
	// Link is the name of the member with the link, as download_url.
	Link string
}

// Names of what is promised beside a link.
const (
	MemberHashType   = "hash_type"   // SHA1, SHA256, …
	MemberHashValue  = "hash_value"  // hexadecimal, over the file as it was before compression and encryption
	MemberEncryptKey = "encrypt_key" // of an encrypted file: its key, encrypted to the merchant's certificate
	MemberNonce      = "nonce"       // of an encrypted file
)

var errDownload = errors.New("must be the path of a link in the answer, as download_url or files[].download_url")

// newDownload reads a path of links.
func newDownload(path string) (*Download, error) {
	d := &Download{Path: path, Link: path}
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		d.Link = path[i+1:]
		var err error
		if d.Objects, err = jsonedit.Compile(path[:i]); err != nil || strings.HasPrefix(path, "**") {
			return nil, fmt.Errorf("download path %q %w", path, errDownload)
		}
	}
	if !fieldName.MatchString(d.Link) {
		return nil, fmt.Errorf("download path %q %w", path, errDownload)
	}
	var err error
	d.Members, err = jsonedit.Compile(d.Link, MemberHashType, MemberHashValue, MemberEncryptKey, MemberNonce)
	return d, err
}

func (e *Endpoint) setDownload(path string) (err error) {
	e.Download, err = newDownload(path)
	return err
}
