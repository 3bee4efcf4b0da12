package v1alpha1

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolveAlias returns the node that an alias stands for, or the node itself.
func resolveAlias(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// mapEntry returns the key and value nodes of an entry of a map, nil where there is none. An entry
// that comes by a merge key is found where it was written.
func mapEntry(node *yaml.Node, key string) (keyNode, value *yaml.Node) {
	return findEntry(node, key, 0)
}

// maxMergeDepth bounds how far entries are looked for through merge keys.
const maxMergeDepth = 16

func findEntry(node *yaml.Node, key string, depth int) (keyNode, value *yaml.Node) {
	node = resolveAlias(node)
	if node == nil || depth > maxMergeDepth {
		return nil, nil
	}
	if node.Kind == yaml.SequenceNode && depth > 0 {
		for _, child := range node.Content {
			if k, v := findEntry(child, key, depth+1); k != nil {
				return k, v
			}
		}
	}
	if node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if resolveAlias(node.Content[i]).Value == key && !isMergeKey(node.Content[i]) {
			return node.Content[i], node.Content[i+1]
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if isMergeKey(node.Content[i]) {
			if k, v := findEntry(node.Content[i+1], key, depth+1); k != nil {
				return k, v
			}
		}
	}
	return nil, nil
}

// mapValue returns the value of an entry of a map, nil where there is none.
func mapValue(node *yaml.Node, key string) *yaml.Node {
	_, value := mapEntry(node, key)
	return resolveAlias(value)
}

// describe returns what a document declares as far as that can be told, so that problems can name
// it; nil where it cannot.
func describe(root *yaml.Node) *ObjectReference {
	text := func(node *yaml.Node, key string) string {
		if value := mapValue(node, key); value != nil && value.Kind == yaml.ScalarNode {
			return shorten(value.Value)
		}
		return ""
	}
	metadata := mapValue(root, "metadata")
	r := ObjectReference{
		APIVersion: text(root, "apiVersion"), Kind: text(root, "kind"),
		Namespace: text(metadata, "namespace"), Name: text(metadata, "name"),
	}
	if r.Kind == "" || r.Name == "" {
		return nil
	}
	return &r
}

// describeNode names a value for a message: "the number 5", "a map".
func describeNode(node *yaml.Node) string {
	node = resolveAlias(node)
	switch {
	case node == nil || node.Kind == 0:
		return "nothing"
	case node.Kind == yaml.MappingNode:
		return "a map"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Style != 0:
		return describeValue(node.Value)
	}
	return describeValue(resolvePlain(node.Value))
}

// typeOf names the type of a node's value and not the value, which may be a secret.
func typeOf(node *yaml.Node) string {
	switch resolveAlias(node).Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// checkObject reports what keeps content from being a Kubernetes object: fields that every object
// has and that unstructured objects silently read as absent where they have the wrong type.
func (c *converter) checkObject(root *yaml.Node, content map[string]any) {
	apiVersion, hasVersion := content["apiVersion"]
	kind, hasKind := content["kind"]
	if !hasVersion && !hasKind {
		return
	}
	c.checkText(root, "apiVersion", apiVersion, hasVersion)
	c.checkText(root, "kind", kind, hasKind)
	value, ok := content["metadata"]
	if !ok || value == nil {
		delete(content, "metadata")
		return
	}
	metadata, ok := value.(map[string]any)
	node := mapValue(root, "metadata")
	c.path = append(c.path, segment{key: "metadata"})
	defer func() { c.path = c.path[:len(c.path)-1] }()
	if !ok {
		c.problem(node, "expected a map, got %s", describeNode(node))
		return
	}
	for _, key := range []string{"name", "namespace", "generateName"} {
		if value, ok := metadata[key]; ok && value != nil {
			c.checkText(node, key, value, true)
		} else {
			delete(metadata, key)
		}
	}
	for _, key := range []string{"labels", "annotations"} {
		if value, ok := metadata[key]; ok && value != nil {
			c.checkTexts(node, key, value)
		} else {
			delete(metadata, key)
		}
	}
}

// checkText reports a field that is not a text. Present tells whether it is there at all.
func (c *converter) checkText(parent *yaml.Node, key string, value any, present bool) {
	text, ok := value.(string)
	if ok && text != "" || key == "namespace" && ok {
		return
	}
	keyNode, node := mapEntry(parent, key)
	if keyNode == nil {
		keyNode = parent
	}
	c.path = append(c.path, segment{key: key})
	defer func() { c.path = c.path[:len(c.path)-1] }()
	if !present || ok || value == nil {
		c.problem(keyNode, "the field is required")
		return
	}
	switch value.(type) {
	case map[string]any, []any:
		c.problem(keyNode, "expected text, got %s", describeNode(node))
	default:
		c.problem(keyNode, "expected text, got %s; put it in quotes", describeNode(node))
	}
}

// checkTexts reports values of labels or annotations that are not text. An empty value is an empty
// text, as the API server reads it.
func (c *converter) checkTexts(parent *yaml.Node, key string, value any) {
	keyNode, node := mapEntry(parent, key)
	c.path = append(c.path, segment{key: key})
	defer func() { c.path = c.path[:len(c.path)-1] }()
	texts, ok := value.(map[string]any)
	if !ok {
		c.problem(keyNode, "expected a map of texts, got %s", describeNode(node))
		return
	}
	for _, k := range slices.Sorted(maps.Keys(texts)) {
		switch texts[k].(type) {
		case string:
		case nil:
			texts[k] = ""
		default:
			c.checkText(node, k, texts[k], true)
		}
	}
}

// Lines returns the line of each field by its path, as in "spec.overrideRules[0].overriders". Keys
// that are no plain words stand in brackets: "metadata.labels[example.com/tier]". The map is made
// anew at each call.
func (d Document) Lines() map[string]int {
	lines := map[string]int{}
	if d.root != nil {
		d.collectLines(d.root, nil, lines)
	}
	return lines
}

// collectLines adds the lines below a node. The converter has read the same nodes within its limits,
// so that this ends.
func (d Document) collectLines(node *yaml.Node, path []byte, lines map[string]int) {
	node = resolveAlias(node)
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if isMergeKey(node.Content[i]) {
				continue
			}
			key := resolveAlias(node.Content[i])
			child := segment{key: key.Value}.appendTo(path[:len(path):len(path)])
			if _, ok := lines[string(child)]; !ok {
				lines[string(child)] = node.Content[i].Line + d.offset
				d.collectLines(node.Content[i+1], child, lines)
			}
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if isMergeKey(node.Content[i]) {
				d.collectMerged(node.Content[i+1], path, lines)
			}
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			child := segment{index: i, isIndex: true}.appendTo(path[:len(path):len(path)])
			lines[string(child)] = item.Line + d.offset
			d.collectLines(item, child, lines)
		}
	}
}

// collectMerged adds the lines of what a merge key merges.
func (d Document) collectMerged(node *yaml.Node, path []byte, lines map[string]int) {
	node = resolveAlias(node)
	if node.Kind != yaml.SequenceNode {
		d.collectLines(node, path, lines)
		return
	}
	for _, item := range node.Content {
		d.collectLines(item, path, lines)
	}
}

// LineOf returns the line of the field at a path, or of the nearest field around it that a map as of
// Document.Lines knows; otherwise is returned where it knows none.
func LineOf(lines map[string]int, path string, otherwise int) int {
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = parentPath(path)
	}
	return otherwise
}

// parentPath cuts the last step off a field path.
func parentPath(path string) string {
	if strings.HasSuffix(path, "]") {
		return path[:max(strings.LastIndexByte(path, '['), 0)]
	}
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// Name returns the name that the document's metadata gives.
func (d Document) Name() string { return d.metadataText("name") }

// Namespace returns the namespace that the document's metadata gives.
func (d Document) Namespace() string { return d.metadataText("namespace") }

func (d Document) metadataText(key string) string {
	metadata, _ := d.Content["metadata"].(map[string]any)
	text, _ := metadata[key].(string)
	return text
}
