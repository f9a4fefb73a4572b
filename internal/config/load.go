package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// maxFile bounds a config. Four thousand merchants fit; a log file given by
// mistake is refused before it is parsed.
const maxFile = 4 << 20

// Sources is where values come from besides the file. A flag wins over an
// environment variable, which wins over the file.
type Sources struct {
	// Env looks up an environment variable, as os.LookupEnv does. nil: there are none.
	Env func(string) (string, bool)
	// Flags maps key paths, as in outbound.listen, to the text given on the command line.
	Flags map[string]string
	// Elsewhere: the config is for another machine, so that the files and variables it names
	// are not looked for on this one.
	Elsewhere bool
}

// inVariable before the name of an environment variable says that it holds the
// config itself, which where containers run is easier to hand over than a file.
const inVariable = "env:"

// Load reads the file at path, or the text in the variable NAME for env:NAME,
// expands ${NAME}, applies the overrides of o, decodes strictly over Default,
// and validates. The error is an Errors with every fault at once.
func Load(path string, o Sources) (*Config, error) {
	if o.Env == nil {
		o.Env = func(string) (string, bool) { return "", false }
	}
	if name, ok := strings.CutPrefix(path, inVariable); ok {
		text, ok := o.Env(name)
		if !ok {
			return nil, Errors{{File: path, Problem: "is a variable that is not set", Fix: "put the text of a wxproxy config into it, or give the path of a file"}}
		}
		return parseText(path, []byte(text), o)
	}
	data, err := read(path)
	if err != nil {
		return nil, Errors{{File: path, Problem: err.Error(), Fix: "give the path of a wxproxy config that this user can read"}}
	}
	return parseText(path, data, o)
}

// parseText reads the config in data, which stands in the file at path.
func parseText(path string, data []byte, o Sources) (*Config, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, Errors{{File: path, Problem: err.Error(), Fix: "start wxproxy in a directory that exists"}}
	}
	root, fault := parse(path, data)
	if fault != nil {
		return nil, Errors{*fault}
	}
	c := Default()
	c.source = newSource(path, o.Env)
	c.source.elsewhere = o.Elsewhere
	d := &decoder{src: c.source, dir: dir}
	if root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), field{})
	}
	d.override(c, o)
	c.derive(dir)
	if faults := append(d.faults, c.Validate()...); len(faults) > 0 {
		return nil, faults.sorted()
	}
	return c, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("is larger than %v", Size(maxFile))
	}
	return data, nil
}

// reason drops the path of a file error: faults name it already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// derive fills in what follows from other keys.
func (c *Config) derive(dir string) {
	if c.Notify.Listen == "" && len(c.Notify.Routes) > 0 {
		c.Notify.Listen = defaultNotifyListen
	}
	c.deriveTLS(dir)
	for i := range c.Merchants {
		c.Merchants[i].SerialNo = strings.ToUpper(c.Merchants[i].SerialNo)
	}
	for i := range c.Outbound.Listen {
		l := &c.Outbound.Listen[i]
		l.Address = absoluteSocket(dir, l.Address)
	}
	for _, a := range []*string{&c.Notify.Listen, &c.Admin.Listen, &c.Admin.Control} {
		*a = absoluteSocket(dir, *a)
	}
}
