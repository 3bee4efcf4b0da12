package v1alpha1

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Line returns the line of the field at a JSON pointer, and that of the nearest field around it where the
// document does not have it; 0 where the document was not read from a file. A field that a YAML alias or
// merge key brings in has the line of what the alias names.
func (d Document) Line(pointer string) int {
	if d.root == nil {
		return 0
	}
	node, line := resolveAlias(d.root), d.root.Line
	for _, token := range strings.Split(pointer, "/")[1:] {
		key, value := step(node, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		if value == nil {
			break
		}
		line, node = key.Line, resolveAlias(value)
	}
	return line + d.offset
}

// Has tells whether the document itself has the field at a JSON pointer.
func (d Document) Has(pointer string) bool {
	if d.root == nil {
		return false
	}
	node := resolveAlias(d.root)
	for _, token := range strings.Split(pointer, "/")[1:] {
		_, value := step(node, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		if value == nil {
			return false
		}
		node = resolveAlias(value)
	}
	return true
}

// step returns what a token leads to, and the node to name as its place: the key in a map.
func step(node *yaml.Node, token string) (key, value *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		return mapEntry(node, token)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}
