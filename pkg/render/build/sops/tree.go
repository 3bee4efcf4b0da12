package sops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// branch is a map, list or value of a file, in the order in which SOPS walks it.
type branch struct {
	// keys belong to children of a map; nil for a list.
	keys     []string
	children []*branch
	isMap    bool
	isList   bool
	// value is a string, int, float64, bool, time.Time or nil.
	value any
	// line and column of a value in a YAML file, both counted from 1.
	line, column int
	opened       bool
}

const (
	metadataKey = "sops"
	maxDepth    = 256
	maxValues   = 100_000
)

// reader builds trees within bounds.
type reader struct{ values int }

func (r *reader) count(depth int) error {
	if r.values++; r.values > maxValues || depth > maxDepth {
		return fmt.Errorf("the file has more than %d values, or is nested more than %d levels deep", maxValues, maxDepth)
	}
	return nil
}

// yaml reads the documents of a YAML file.
func (r *reader) yaml(data []byte) ([]*branch, []*yaml.Node, error) {
	if bytes.Count(data, []byte{'\n'})+bytes.Count(data, []byte{','}) > 4*maxValues {
		return nil, nil, r.count(maxDepth + 1)
	}
	var trees []*branch
	var roots []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := decodeNode(decoder, &document)
		if errors.Is(err, io.EOF) {
			return trees, roots, nil
		}
		if err != nil {
			return nil, nil, errors.New("the file is no YAML")
		}
		if len(document.Content) != 1 {
			continue
		}
		root := document.Content[0]
		if root.Kind != yaml.MappingNode {
			return nil, nil, errors.New("a document of the file is no map")
		}
		tree, err := r.node(root, 0)
		if err != nil {
			return nil, nil, err
		}
		trees, roots = append(trees, tree), append(roots, root)
	}
}

// decodeNode makes the panics of the parser errors.
func decodeNode(decoder *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the file is no YAML")
		}
	}()
	return decoder.Decode(node)
}

func (r *reader) node(n *yaml.Node, depth int) (*branch, error) {
	if err := r.count(depth); err != nil {
		return nil, err
	}
	b := &branch{line: n.Line, column: n.Column}
	switch n.Kind {
	case yaml.MappingNode:
		b.isMap = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			var key any
			if err := n.Content[i].Decode(&key); err != nil || n.Content[i].Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d has a key that is no text", n.Content[i].Line)
			}
			text, isText := key.(string)
			if !isText {
				return nil, fmt.Errorf("line %d has a key that is no text", n.Content[i].Line)
			}
			child, err := r.node(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			b.keys, b.children = append(b.keys, text), append(b.children, child)
		}
	case yaml.SequenceNode:
		b.isList = true
		for _, item := range n.Content {
			child, err := r.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			b.children = append(b.children, child)
		}
	case yaml.ScalarNode:
		if err := n.Decode(&b.value); err != nil {
			return nil, fmt.Errorf("line %d has a value that cannot be read", n.Line)
		}
	default:
		return nil, fmt.Errorf("line %d has an alias, which sops does not write", n.Line)
	}
	return b, nil
}

// json reads the one object of a JSON file.
func (r *reader) json(data []byte) (*branch, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	tree, err := r.token(decoder, 0)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the object of the file")
	}
	if !tree.isMap {
		return nil, errors.New("the file is no JSON object")
	}
	return tree, nil
}

func (r *reader) token(decoder *json.Decoder, depth int) (*branch, error) {
	if err := r.count(depth); err != nil {
		return nil, err
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errors.New("the file is no JSON")
	}
	b := &branch{}
	switch t := token.(type) {
	case json.Delim:
		b.isMap, b.isList = t == '{', t == '['
		for decoder.More() {
			if b.isMap {
				key, err := decoder.Token()
				if err != nil {
					return nil, errors.New("the file is no JSON")
				}
				text, _ := key.(string)
				b.keys = append(b.keys, text)
			}
			child, err := r.token(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			b.children = append(b.children, child)
		}
		if _, err := decoder.Token(); err != nil {
			return nil, errors.New("the file is no JSON")
		}
	case json.Number:
		if i, err := strconv.Atoi(t.String()); err == nil {
			b.value = i
		} else if b.value, err = t.Float64(); err != nil {
			return nil, errors.New("the file has a number that is out of range")
		}
	default:
		b.value = t
	}
	return b, nil
}

// dotenv reads lines of the form KEY=value.
func (r *reader) dotenv(data []byte) (*branch, error) {
	b := &branch{isMap: true}
	for i, text := range strings.Split(string(data), "\n") {
		if err := r.count(0); err != nil {
			return nil, err
		}
		if text == "" || text[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(text, "=")
		if !found {
			return nil, fmt.Errorf("line %d is not of the form KEY=value", i+1)
		}
		b.keys = append(b.keys, key)
		b.children = append(b.children, &branch{value: strings.ReplaceAll(value, `\n`, "\n"), line: i + 1})
	}
	return b, nil
}

// take removes a key from a map and returns its value; nil where there is none.
func (b *branch) take(key string) *branch {
	for i, k := range b.keys {
		if k == key {
			child := b.children[i]
			b.keys = append(b.keys[:i:i], b.keys[i+1:]...)
			b.children = append(b.children[:i:i], b.children[i+1:]...)
			return child
		}
	}
	return nil
}

// plain returns the tree as maps, lists and values.
func (b *branch) plain() any {
	switch {
	case b.isMap:
		m := make(map[string]any, len(b.keys))
		for i, key := range b.keys {
			m[key] = b.children[i].plain()
		}
		return m
	case b.isList:
		list := make([]any, 0, len(b.children))
		for _, child := range b.children {
			list = append(list, child.plain())
		}
		return list
	}
	return b.value
}

// text returns a value as it goes into the MAC.
func text(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case time.Time:
		t, err := v.MarshalText()
		return string(t), err
	}
	return "", errors.New("the file has a value of a type that sops does not know")
}
