package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseJSON reads a file that begins with a brace or bracket as JSON, which the YAML parser would
// mistake in places (surrogate pairs, keys of more than 1024 bytes). It returns false where the file
// is not JSON and should be tried as YAML.
func (s *stream) parseJSON(data []byte) ([]*yaml.Node, bool) {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	isJSON := strings.HasSuffix(s.file, ".json")
	if len(trimmed) == 0 || trimmed[0] != '{' && (trimmed[0] != '[' || !isJSON) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	r := &jsonReader{data: data, decoder: decoder, maxDepth: s.limits.MaxDepth, values: s.limits.MaxValues}
	var nodes []*yaml.Node
	for {
		node, err := r.value(0)
		switch {
		case err == nil:
			nodes = append(nodes, node)
		case errors.Is(err, io.EOF):
			return nodes, true
		case isJSON || errors.Is(err, errTooManyValues):
			r.advance()
			s.fail(r.line, "invalid JSON: %v", err)
			return nodes, true
		default:
			return nil, false
		}
	}
}

// jsonReader makes the nodes that the YAML parser would make.
type jsonReader struct {
	data     []byte
	decoder  *json.Decoder
	maxDepth int
	// values is how many values may still come.
	values int
	// line is that of the byte before read, which lines are counted up to.
	line int
	read int
}

var errTooManyValues = errors.New("the file has more values than are read")

var errTooDeep = errors.New("maps and lists are nested too deep")

// advance counts lines up to the end of the last token. Tokens do not span lines.
func (r *jsonReader) advance() int {
	if r.line == 0 {
		r.line = 1
	}
	offset := int(r.decoder.InputOffset())
	r.line += bytes.Count(r.data[r.read:offset], []byte{'\n'})
	r.read = offset
	return r.line
}

// value reads one value. It gives io.EOF only at the end of the file.
func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	token, err := r.decoder.Token()
	if err != nil {
		if depth > 0 && errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if depth > r.maxDepth {
		return nil, errTooDeep
	}
	if r.values--; r.values < 0 {
		return nil, errTooManyValues
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: r.advance()}
	switch t := token.(type) {
	case json.Delim:
		return r.composite(node, t, depth)
	case string:
		node.Tag, node.Value, node.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Number:
		if _, err := t.Float64(); err != nil {
			return nil, fmt.Errorf("the number %s is out of range", shorten(t.String()))
		}
		node.Tag, node.Value = "!!float", t.String()
	case bool:
		node.Tag, node.Value = "!!bool", "false"
		if t {
			node.Value = "true"
		}
	case nil:
		node.Tag, node.Value = "!!null", "null"
	}
	return node, nil
}

// composite reads the rest of a map or list.
func (r *jsonReader) composite(node *yaml.Node, open json.Delim, depth int) (*yaml.Node, error) {
	node.Kind, node.Tag, node.Style = yaml.SequenceNode, "!!seq", yaml.FlowStyle
	if open == '{' {
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
	}
	for r.decoder.More() {
		child, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if _, err := r.decoder.Token(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return node, nil
}
