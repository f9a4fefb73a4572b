package config

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

var (
	segment      = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()+,;=:@|-]+$`)
	pathVariable = regexp.MustCompile(`^\{[A-Za-z0-9_-]+\}$`)
	eventPattern = regexp.MustCompile(`^([A-Z0-9_]+(\.[A-Z0-9_]+)*(\.\*)?|\*)$`)
)

var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// checkAllow accepts "METHOD /path" as callers' allow-lists take it. A pattern
// that could never match is refused: its author believes that it allows
// something.
func checkAllow(pattern string) error {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		return errors.New("is not a method, one space and a path")
	}
	if method != "*" && !slices.Contains(methods, method) {
		return errors.New("begins with neither * nor a method in capitals (" + strings.Join(methods, ", ") + ")")
	}
	segments, err := segmentsOf(path)
	if err != nil {
		return err
	}
	for i, s := range segments {
		switch {
		case s == "*", s == "**" && i == len(segments)-1:
		case s == "**":
			return errors.New("has ** before the end")
		case strings.Contains(s, "*"):
			return errors.New("has a * within a segment; * stands for a whole one")
		case !segment.MatchString(s):
			return errors.New("has a path with characters that WeChat Pay's paths do not have")
		}
	}
	if !strings.HasPrefix(segments[0], "*") && !signed(path) {
		return errors.New("can match nothing: only /v3/, /hk/v3/ and /brand/ are signed")
	}
	return nil
}

// checkTemplate accepts a path with {name} for variable segments.
func checkTemplate(path string) error {
	segments, err := segmentsOf(path)
	if err != nil {
		return err
	}
	for _, s := range segments {
		if !segment.MatchString(s) && !pathVariable.MatchString(s) {
			return errors.New("has a segment that is neither plain text nor {name}")
		}
	}
	if !signed(path) {
		return errors.New("is outside /v3/, /hk/v3/ and /brand/, so it is never signed")
	}
	return nil
}

func segmentsOf(path string) ([]string, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, errors.New("has a path that does not begin with /")
	}
	segments := strings.Split(rest, "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return nil, errors.New("has an empty or dot segment in its path")
		}
	}
	return segments, nil
}

// signed mirrors the outbound rule on what is signed at all.
func signed(path string) bool {
	for _, prefix := range []string{"/v3/", "/hk/v3/", "/brand/", "/hk/*", "/hk/**"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
