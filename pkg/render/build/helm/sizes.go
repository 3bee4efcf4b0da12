package helm

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// within refuses a text that would be too large.
func (e *engine) within(size float64) error {
	if size > maxText {
		return tooMuch("a text of more than %d bytes", maxText)
	}
	return e.budget.spend(1 + int(max(size, 0))/64)
}

// sizes are the functions whose result is much larger than what they are given; what it will be is
// looked at first.
func (e *engine) sizes(f template.FuncMap) template.FuncMap {
	repeat, _ := f["repeat"].(func(int, string) string)
	replace, _ := f["replace"].(func(string, string, string) string)
	wrap, _ := f["wrapWith"].(func(int, string, string) string)
	join, _ := f["join"].(func(string, any) string)
	indent := e.indent(f)
	sized := template.FuncMap{
		"repeat": func(n int, text string) (string, error) {
			if err := e.within(float64(n) * float64(len(text))); err != nil || n <= 0 {
				return "", err
			}
			return repeat(n, text), nil
		},
		"replace": func(from, to, text string) (string, error) {
			if err := e.within(float64(strings.Count(text, from))*float64(len(to)) + float64(len(text))); err != nil {
				return "", err
			}
			return replace(from, to, text), nil
		},
		"indent": indent,
		"nindent": func(n int, text string) (string, error) {
			text, err := indent(n, text)
			return "\n" + text, err
		},
		"wrapWith": func(width int, separator, text string) (string, error) {
			if err := e.within(float64(1+len(text)/max(width, 1))*float64(len(separator)) + float64(len(text))); err != nil {
				return "", err
			}
			return wrap(width, separator, text), nil
		},
		"join": func(separator string, list any) (string, error) {
			if _, err := e.budget.meter(list); err != nil {
				return "", err
			}
			texts, _ := f["toStrings"].(func(any) []string)
			if err := e.within(float64(len(texts(list))) * float64(len(separator))); err != nil {
				return "", err
			}
			return join(separator, list), nil
		},
		"printf": e.printf,
	}
	maps.Copy(sized, e.sequences(f))
	return sized
}

func (e *engine) indent(f template.FuncMap) func(int, string) (string, error) {
	indent, _ := f["indent"].(func(int, string) string)
	return func(n int, text string) (string, error) {
		if n < 0 {
			return "", errors.New("an indentation is not negative")
		}
		if err := e.within(float64(n)*float64(1+strings.Count(text, "\n")) + float64(len(text))); err != nil {
			return "", err
		}
		return indent(n, text), nil
	}
}

// sequences are the functions that count.
func (e *engine) sequences(f template.FuncMap) template.FuncMap {
	untilStep, _ := f["untilStep"].(func(int, int, int) []int)
	seq, _ := f["seq"].(func(...int) string)
	count := func(start, stop, step int) error {
		if rounds := math.Abs(float64(stop)-float64(start)) / math.Max(1, math.Abs(float64(step))); rounds > maxValues {
			return tooMuch("a list of more than %d numbers", maxValues)
		}
		return e.within(math.Abs(float64(stop) - float64(start)))
	}
	return template.FuncMap{
		"until": func(n int) ([]int, error) {
			if err := count(0, n, 1); err != nil {
				return nil, err
			}
			step := 1
			if n < 0 {
				step = -1
			}
			return untilStep(0, n, step), nil
		},
		"untilStep": func(start, stop, step int) ([]int, error) {
			if err := count(start, stop, step); err != nil {
				return nil, err
			}
			return untilStep(start, stop, step), nil
		},
		"seq": func(n ...int) (string, error) {
			for _, each := range n {
				if err := count(0, each, 1); err != nil {
					return "", err
				}
			}
			return seq(n...), nil
		},
	}
}

// printf refuses widths, by which a short format makes a long text.
func (e *engine) printf(format string, args ...any) (string, error) {
	digits := 0
	for _, part := range regexp.MustCompile(`%[^%a-zA-Z]*[%a-zA-Z]`).FindAllString(format, -1) {
		for _, number := range regexp.MustCompile(`[0-9]+`).FindAllString(part, -1) {
			n, err := strconv.Atoi(number)
			if err != nil || n > maxText {
				return "", tooMuch("a width of %s", number)
			}
			digits += n
		}
		if strings.Contains(part, "*") {
			return "", errors.New("a width of * is not possible here")
		}
	}
	if digits > maxText {
		return "", tooMuch("a text of more than %d bytes", maxText)
	}
	text := fmt.Sprintf(format, args...)
	if _, err := e.budget.meter(text); err != nil {
		return "", err
	}
	return text, nil
}

// patterns are sprig's replacements by regular expression.
func (e *engine) patterns(f template.FuncMap) template.FuncMap {
	check := func(pattern, text, with string, expands bool) error {
		r, err := regexp.Compile(pattern)
		if err != nil {
			return nil //nolint:nilerr // sprig says what is wrong with it.
		}
		size := float64(len(text)) + float64(len(r.FindAllStringIndex(text, -1)))*float64(len(with))
		if expands {
			size += float64(strings.Count(with, "$")) * float64(len(text))
		}
		if size > maxText {
			return tooMuch("a text of more than %d bytes", maxText)
		}
		return e.budget.spend(1 + int(size)/16)
	}
	guarded := func(name string, expands bool) any {
		switch inner := f[name].(type) {
		case func(string, string, string) string:
			return func(pattern, text, with string) (string, error) {
				if err := check(pattern, text, with, expands); err != nil {
					return "", err
				}
				return inner(pattern, text, with), nil
			}
		case func(string, string, string) (string, error):
			return func(pattern, text, with string) (string, error) {
				if err := check(pattern, text, with, expands); err != nil {
					return "", err
				}
				return inner(pattern, text, with)
			}
		default:
			return inner
		}
	}
	return template.FuncMap{
		"regexReplaceAll":            guarded("regexReplaceAll", true),
		"mustRegexReplaceAll":        guarded("mustRegexReplaceAll", true),
		"regexReplaceAllLiteral":     guarded("regexReplaceAllLiteral", false),
		"mustRegexReplaceAllLiteral": guarded("mustRegexReplaceAllLiteral", false),
	}
}
