package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// references checks that what c refers to is there: files, variables, and the
// directories of sockets. What the files hold is for those who open them.
func (k *checker) references() {
	if k.c.source != nil && k.c.source.elsewhere {
		return
	}
	everything(reflect.ValueOf(k.c).Elem(), "", func(key string, v reflect.Value, tag reflect.StructTag) {
		ref, isRef := reflect.TypeAssert[Ref](v)
		switch {
		case isRef && ref.Scheme == "file":
			k.file(key, ref.Target)
		case isRef && ref.Scheme == "env":
			k.variable(key, ref.Target)
		case tag.Get("kind") == "path" && v.String() != "":
			k.file(key, v.String())
		case tag.Get("kind") == "dir" && v.String() != "":
			k.directory(key, v.String())
		case v.Kind() == reflect.String && strings.HasPrefix(v.String(), unixPrefix):
			k.socket(key, strings.TrimPrefix(v.String(), unixPrefix))
		}
	})
}

func (k *checker) file(key, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("is a directory")
	case info.Mode().IsRegular(): // opening a pipe would wait for its writer
		var f *os.File
		if f, err = os.Open(path); err == nil {
			f.Close()
		}
	}
	if err != nil {
		k.fault(key, fmt.Sprintf("%s cannot be read: %v", shown(path), reason(err)), "put the file there, readable by the user that runs wxproxy, or correct the path")
	}
}

// variable does not repeat the name: a key written after env: is a likely
// mistake.
func (k *checker) variable(key, name string) {
	if k.c.source == nil {
		return
	}
	if text, ok := k.c.source.env(name); !ok || text == "" {
		k.fault(key, "refers to an environment variable that is not set, or empty", "set it before wxproxy starts, or correct the name after env:")
	}
}

// keyLike is how keys look, and file names hardly: what follows file: may be
// the secret itself.
var keyLike = regexp.MustCompile(`^[A-Za-z0-9+=_-]{32,}$`)

// shown is path as a fault may repeat it.
func shown(path string) string {
	if dir, name := filepath.Split(path); keyLike.MatchString(name) {
		return dir + "…"
	}
	return path
}

func (k *checker) directory(key, path string) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		k.fault(key, shown(path)+" is not a directory", "give the path of a directory; it is created when absent")
	}
}

func (k *checker) socket(key, path string) {
	if !filepath.IsAbs(path) {
		return
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		k.fault(key, dir+" is not a directory, so no socket can be made in it", "create the directory, or correct the path")
	}
}

// everything calls fn for each single value, those inside lists included.
func everything(v reflect.Value, key string, fn func(string, reflect.Value, reflect.StructTag)) {
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name := tag.Get("yaml")
		if name == "" {
			continue
		}
		f, k := v.Field(i), join(key, name)
		switch {
		case isScalar(f.Type()):
			fn(k, f, tag)
		case f.Kind() == reflect.Struct:
			everything(f, k, fn)
		case f.Type().Elem().Kind() == reflect.Struct && !isScalar(f.Type().Elem()):
			for j := range f.Len() {
				everything(f.Index(j), fmt.Sprintf("%s[%d]", k, j), fn)
			}
		}
	}
}
