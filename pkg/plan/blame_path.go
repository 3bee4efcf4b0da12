package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/render"
)

// pathToken is one step of a path: a field, or an item of a list by its place or by one of its fields.
type pathToken struct {
	key string
	// item tells that it stands in brackets; by is the field that an item is found by, empty: any of
	// place, name and key.
	item bool
	by   string
}

func (t pathToken) text() string {
	switch {
	case t.by != "":
		return "[" + t.by + "=" + t.key + "]"
	case t.item:
		return "[" + t.key + "]"
	}
	return t.key
}

// in looks the token up in a value and returns it as a token of a JSON pointer.
func (t pathToken) in(value any) (key string, next any, ok bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok = v[t.key]
		return t.key, next, ok && t.by == ""
	case []any:
		i, err := strconv.Atoi(t.key)
		if t.by != "" || err != nil {
			by := t.by
			if by == "" {
				by = "name"
			}
			i = slices.IndexFunc(v, func(item any) bool {
				m, _ := item.(map[string]any)
				found, has := m[by]
				return has && fmt.Sprint(found) == t.key
			})
		}
		if i < 0 || i >= len(v) {
			return t.key, nil, false
		}
		return strconv.Itoa(i), v[i], true
	}
	return t.key, nil, false
}

// parsePath reads spec.template.spec.containers[name=api].image, with keys that hold dots in brackets, as in
// metadata.annotations["example.com/a.b"], or a JSON pointer.
func parsePath(path string) ([]pathToken, error) {
	if strings.HasPrefix(path, "/") {
		tokens, err := render.ParsePointer(path)
		if err != nil {
			return nil, err
		}
		all := make([]pathToken, 0, len(tokens))
		for _, t := range tokens {
			all = append(all, pathToken{key: t})
		}
		return all, nil
	}
	var all []pathToken
	for rest := strings.TrimPrefix(path, "."); rest != ""; {
		if rest[0] != '[' {
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("the path %q has an empty field", path)
			}
			all = append(all, pathToken{key: rest[:end]})
			rest = strings.TrimPrefix(rest[end:], ".")
			continue
		}
		end := closing(rest)
		if end < 0 {
			return nil, fmt.Errorf("the path %q has a bracket that is not closed", path)
		}
		all = append(all, bracket(rest[1:end]))
		rest = strings.TrimPrefix(rest[end+1:], ".")
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the path %q names no field", path)
	}
	return all, nil
}

// closing is the place of the bracket that ends the one at the start; one in quotes does not count.
func closing(text string) int {
	quote := byte(0)
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ']':
			return i
		}
	}
	return -1
}

func bracket(inside string) pathToken {
	if n := len(inside); n > 1 && (inside[0] == '"' || inside[0] == '\'') && inside[n-1] == inside[0] {
		return pathToken{key: inside[1 : n-1], item: true}
	}
	by, key, found := strings.Cut(inside, "=")
	if !found {
		return pathToken{key: inside, item: true}
	}
	return pathToken{key: strings.Trim(key, `"'`), item: true, by: by}
}
