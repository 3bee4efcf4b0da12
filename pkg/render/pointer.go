package render

import (
	"fmt"
	"strconv"
	"strings"
)

// A JSON pointer of a policy is refused beyond these sizes; no field of a Kubernetes object comes
// near them.
const (
	maxPointerBytes  = 4096
	maxPointerTokens = 128
)

// ParsePointer splits an RFC 6901 JSON pointer into its unescaped tokens; the empty pointer, which
// means the whole document, has none.
func ParsePointer(pointer string) ([]string, error) {
	if pointer == "" {
		return nil, nil
	}
	if len(pointer) > maxPointerBytes {
		return nil, fmt.Errorf("a JSON pointer of %d bytes, more than %d", len(pointer), maxPointerBytes)
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("the JSON pointer %q does not start with /", pointer)
	}
	tokens := strings.Split(pointer[1:], "/")
	if len(tokens) > maxPointerTokens {
		return nil, fmt.Errorf("a JSON pointer of %d levels, more than %d", len(tokens), maxPointerTokens)
	}
	for i, t := range tokens {
		unescaped, ok := unescape(t)
		if !ok {
			return nil, fmt.Errorf("the JSON pointer %q holds a ~ that is neither ~0 nor ~1", pointer)
		}
		tokens[i] = unescaped
	}
	return tokens, nil
}

func unescape(token string) (string, bool) {
	if strings.IndexByte(token, '~') < 0 {
		return token, true
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '~' {
			b.WriteByte(token[i])
			continue
		}
		i++
		switch {
		case i < len(token) && token[i] == '0':
			b.WriteByte('~')
		case i < len(token) && token[i] == '1':
			b.WriteByte('/')
		default:
			return "", false
		}
	}
	return b.String(), true
}

// EscapeToken writes a name as a token of a JSON pointer.
func EscapeToken(name string) string { return tokenEscaper.Replace(name) }

var tokenEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// join appends a token to a pointer.
func join(pointer, token string) string {
	return pointer + "/" + EscapeToken(token)
}

func joinIndex(pointer string, i int) string {
	return pointer + "/" + strconv.Itoa(i)
}

// encodePointer is the reverse of ParsePointer.
func encodePointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(EscapeToken(t))
	}
	return b.String()
}

// index reads a token as an index of a list of n items.
func index(token string, n int) (int, bool) {
	if token == "" || len(token) > 1 && token[0] == '0' {
		return 0, false
	}
	i, err := strconv.Atoi(token)
	if err != nil || i < 0 || i >= n {
		return 0, false
	}
	return i, true
}

// lookup returns the value that tokens lead to.
func lookup(document any, tokens []string) (any, bool) {
	for _, t := range tokens {
		switch node := document.(type) {
		case map[string]any:
			child, ok := node[t]
			if !ok {
				return nil, false
			}
			document = child
		case []any:
			i, ok := index(t, len(node))
			if !ok {
				return nil, false
			}
			document = node[i]
		default:
			return nil, false
		}
	}
	return document, true
}

// createParents makes the maps that are missing on the way to the last token. It never makes a list
// element and never replaces a value other than null.
func createParents(document any, tokens []string) error {
	for depth, t := range tokens[:max(len(tokens)-1, 0)] {
		switch node := document.(type) {
		case map[string]any:
			if node[t] == nil {
				node[t] = map[string]any{}
			}
			document = node[t]
		case []any:
			i, ok := index(t, len(node))
			if !ok {
				return fmt.Errorf("%q is not there, and list elements are not created", encodePointer(tokens[:depth+1]))
			}
			document = node[i]
		default:
			return fmt.Errorf("%q is neither a map nor a list", encodePointer(tokens[:depth]))
		}
	}
	return nil
}

// assign sets the value that tokens lead to; the parent must be there, and a list element too.
func assign(document any, tokens []string, value any) error {
	if len(tokens) == 0 {
		return fmt.Errorf("the whole object cannot be replaced")
	}
	last := len(tokens) - 1
	parent, ok := lookup(document, tokens[:last])
	if !ok {
		return fmt.Errorf("%q is not there", encodePointer(tokens[:last]))
	}
	switch node := parent.(type) {
	case map[string]any:
		node[tokens[last]] = value
		return nil
	case []any:
		if i, ok := index(tokens[last], len(node)); ok {
			node[i] = value
			return nil
		}
	}
	return fmt.Errorf("%q is not there", encodePointer(tokens))
}

// related tells whether one pointer lies at, above or below the other.
func related(a, b string) bool {
	return a == b || within(a, b) || within(b, a)
}

// within tells whether pointer lies below root.
func within(pointer, root string) bool {
	return len(pointer) > len(root) && pointer[len(root)] == '/' && pointer[:len(root)] == root
}
