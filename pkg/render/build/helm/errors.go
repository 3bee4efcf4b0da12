package helm

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// located makes an error of text/template one that says what is wrong in which file. What it quotes of
// values is left out, since these may hold secrets; what fail and required say is said.
func located(paths map[string]string, err error, late bool) error {
	text := err.Error()
	file, line := place(paths, text)
	e := &Error{File: file, Line: line, Late: late}
	var forbidden *nondeterministicError
	var stated *statedError
	switch {
	case errors.As(err, &forbidden):
		e.Nondeterministic = forbidden.function
		e.Message = forbidden.function + " gives another result on each run, on each machine or on each cluster, so that a plan could not be trusted; " +
			"put the value into the chart's values"
	case errors.As(err, &stated):
		e.Message = "the chart says: " + strings.Join(strings.Fields(stated.text), " ")
	case errors.Is(err, errBounds):
		e.Message = bounds(text)
	default:
		e.Message = "the template cannot be run: " + plain(text)
	}
	return e
}

// bounds returns the part of an error that says which bound was met.
func bounds(text string) string {
	if i := strings.LastIndex(text, errBounds.Error()); i >= 0 {
		return text[i:]
	}
	return errBounds.Error()
}

// placePattern is how text/template names a place: of a syntax error, or where it is executing.
func placePattern() *regexp.Regexp {
	return regexp.MustCompile(`template: ([^\n:]+):(\d+)(?::\d+)?: `)
}

// place returns the innermost place that an error names in a file of the chart's folder. Further inside
// may be a text that tpl was given, which is in no file.
func place(paths map[string]string, text string) (file string, line int) {
	all := placePattern().FindAllStringSubmatch(text, -1)
	for i := len(all) - 1; i >= 0; i-- {
		if file, ok := paths[all[i][1]]; ok {
			line, _ = strconv.Atoi(all[i][2])
			return file, line
		}
	}
	return "", 0
}

// plain shortens an error to its innermost part, without values that it quotes.
func plain(text string) string {
	places := placePattern().FindAllStringIndex(text, -1)
	if len(places) > 0 {
		text = text[places[len(places)-1][1]:]
	}
	// `executing "name" at <.Values.x>: error calling f: …`: the function may quote its arguments.
	if i := strings.Index(text, ": error calling "); i >= 0 {
		rest := text[i+len(": error calling "):]
		if name, _, found := strings.Cut(rest, ":"); found {
			text = text[:i] + ": error calling " + name
		}
	}
	text = regexp.MustCompile(`map\[.*`).ReplaceAllLiteralString(text, "a map")
	return strings.Join(strings.Fields(text), " ")
}
