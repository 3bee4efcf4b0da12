package v1alpha1

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// aliasNodeBytes is what a value costs, besides its text, when an alias repeats it.
const aliasNodeBytes = 64

// segment is one step of a field path.
type segment struct {
	key     string
	index   int
	isIndex bool
}

// appendPath writes a step behind a path: "a.b", "a[0]", and "a[key]" for keys that are no plain words.
func (s segment) appendTo(path []byte) []byte {
	if s.isIndex {
		path = append(path, '[')
		path = strconv.AppendInt(path, int64(s.index), 10)
		return append(path, ']')
	}
	if !isWord(s.key) {
		path = append(path, '[')
		path = append(path, shorten(s.key)...)
		return append(path, ']')
	}
	if len(path) > 0 {
		path = append(path, '.')
	}
	return append(path, s.key...)
}

// isWord tells that a key can stand in a field path without brackets.
func isWord(key string) bool {
	for i := 0; i < len(key); i++ {
		c := key[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '$'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return key != "" && len(key) <= 128
}

// shorten keeps a text that someone else wrote from filling a message.
func shorten(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// converter makes the content of one document from its nodes.
type converter struct {
	stream *stream
	offset int
	object *ObjectReference
	path   []segment
	// active are the anchors that are being expanded, which must not contain themselves.
	active map[*yaml.Node]bool
	// aliased tells that the present node is counted against the budget of aliases.
	aliased bool
	failed  bool
}

// problem reports a problem of the document at a node and at the present path.
func (c *converter) problem(node *yaml.Node, format string, args ...any) {
	c.failed = true
	var path []byte
	for _, s := range c.path {
		path = s.appendTo(path)
	}
	c.stream.report(Problem{
		Position: Position{File: c.stream.file, Line: node.Line + c.offset}, Field: string(path),
		Message: fmt.Sprintf(format, args...), ID: FindingInvalidDocument, Severity: SeverityBlocker,
		Object: c.object,
	})
}

// convert returns the value of a node.
func (c *converter) convert(node *yaml.Node) any {
	if c.stream.stopped {
		return nil
	}
	if c.aliased && !c.spend(node) {
		return nil
	}
	if len(c.path) > c.stream.limits.MaxDepth {
		c.problem(node, "maps and lists are nested more than %d deep", c.stream.limits.MaxDepth)
		c.stream.stopped = true
		return nil
	}
	switch node.Kind {
	case yaml.ScalarNode:
		return c.scalar(node)
	case yaml.SequenceNode:
		return c.sequence(node)
	case yaml.MappingNode:
		return c.mapping(node)
	case yaml.AliasNode:
		return c.alias(node, func(target *yaml.Node) any { return c.convert(target) })
	}
	c.problem(node, "unexpected content")
	return nil
}

// spend counts a node against the budget of aliases.
func (c *converter) spend(node *yaml.Node) bool {
	c.stream.aliasBudget -= aliasNodeBytes + len(node.Value)
	if c.stream.aliasBudget >= 0 {
		return true
	}
	c.problem(node, "the aliases of this file expand to more than %d bytes", c.stream.limits.MaxAliasBytes)
	c.stream.stopped = true
	return false
}

// alias calls expand with the node that an alias stands for.
func (c *converter) alias(node *yaml.Node, expand func(*yaml.Node) any) any {
	if c.active[node.Alias] {
		c.problem(node, "the anchor %q contains itself", shorten(node.Value))
		return nil
	}
	if c.active == nil {
		c.active = map[*yaml.Node]bool{}
	}
	outer := c.aliased
	c.active[node.Alias], c.aliased = true, true
	value := expand(node.Alias)
	delete(c.active, node.Alias)
	c.aliased = outer
	return value
}

func (c *converter) sequence(node *yaml.Node) any {
	if !c.plainTag(node, "!!seq") {
		return nil
	}
	list := make([]any, 0, len(node.Content))
	c.path = append(c.path, segment{isIndex: true})
	for i, child := range node.Content {
		c.path[len(c.path)-1].index = i
		list = append(list, c.convert(child))
	}
	c.path = c.path[:len(c.path)-1]
	return list
}

// mapping returns the entries of a map, which is nil where it is none.
func (c *converter) mapping(node *yaml.Node) map[string]any {
	if !c.plainTag(node, "!!map") {
		return nil
	}
	content := make(map[string]any, len(node.Content)/2)
	var merges []*yaml.Node
	c.path = append(c.path, segment{})
	for i := 0; i+1 < len(node.Content); i += 2 {
		keyNode, valueNode := node.Content[i], node.Content[i+1]
		if isMergeKey(keyNode) {
			merges = append(merges, valueNode)
			continue
		}
		key, ok := c.key(keyNode)
		if !ok {
			continue
		}
		c.path[len(c.path)-1].key = key
		if _, ok := content[key]; ok {
			c.problem(keyNode, "the key is already set on line %d", c.firstLine(node, key))
			continue
		}
		content[key] = c.convert(valueNode)
	}
	c.path = c.path[:len(c.path)-1]
	// What a map says itself goes before what it merges, wherever the merge key stands.
	for _, merge := range merges {
		c.merge(merge, content)
	}
	return content
}

// firstLine returns the line on which a map sets a key first; 0 where a key of another spelling, such
// as 1 and "1", did it.
func (c *converter) firstLine(node *yaml.Node, key string) int {
	for i := 0; i < len(node.Content); i += 2 {
		if resolveAlias(node.Content[i]).Value == key {
			return node.Content[i].Line + c.offset
		}
	}
	return 0
}

// isMergeKey tells the YAML 1.1 merge key <<, unquoted.
func isMergeKey(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && (key.Tag == "!!merge" || key.Tag == "") &&
		key.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0
}

// merge adds the entries of the map, or of each map of a list, that are not set yet.
func (c *converter) merge(node *yaml.Node, content map[string]any) {
	if node.Kind == yaml.SequenceNode {
		for _, child := range node.Content {
			c.mergeMap(child, content)
		}
		return
	}
	if node.Kind == yaml.AliasNode && node.Alias.Kind == yaml.SequenceNode {
		c.alias(node, func(target *yaml.Node) any {
			c.merge(target, content)
			return nil
		})
		return
	}
	c.mergeMap(node, content)
}

// mergeMap adds the entries of one map that are not set yet.
func (c *converter) mergeMap(node *yaml.Node, content map[string]any) {
	if c.stream.stopped {
		return
	}
	switch node.Kind {
	case yaml.AliasNode:
		c.alias(node, func(target *yaml.Node) any {
			c.mergeMap(target, content)
			return nil
		})
	case yaml.MappingNode:
		if c.aliased && !c.spend(node) {
			return
		}
		for key, value := range c.mapping(node) {
			if _, ok := content[key]; !ok {
				content[key] = value
			}
		}
	default:
		c.problem(node, "a merge key needs a map or a list of maps, got %s", typeOf(node))
	}
}

// key returns the text of a map's key. Numbers and booleans become text, as kubectl has it.
func (c *converter) key(node *yaml.Node) (string, bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		c.path = c.path[:len(c.path)-1]
		c.problem(node, "a key must be text, got %s", typeOf(node))
		c.path = append(c.path, segment{})
		return "", false
	}
	if c.aliased && !c.spend(node) {
		return "", false
	}
	switch v := c.scalar(node).(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	c.problem(node, "a key must be text, got %s", typeOf(node))
	return "", false
}

// plainTag accepts a map or list without an explicit tag of another type.
func (c *converter) plainTag(node *yaml.Node, tag string) bool {
	if got := node.ShortTag(); got != tag {
		c.problem(node, "the YAML tag %s is not supported", shorten(got))
		return false
	}
	return true
}

// scalar returns the value of a scalar by the rules of YAML 1.1 as kubectl applies them.
func (c *converter) scalar(node *yaml.Node) any {
	if node.Style&yaml.TaggedStyle == 0 {
		if node.Style != 0 || node.Value == "<<" {
			return node.Value
		}
		value := resolvePlain(node.Value)
		if f, ok := value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			c.problem(node, "%s is not a number that JSON can carry; put it in quotes if text is meant", node.Value)
			return nil
		}
		return value
	}
	value := resolvePlain(node.Value)
	ok := false
	switch node.ShortTag() {
	case "!!str":
		return node.Value
	case "!!bool":
		_, ok = value.(bool)
	case "!!null":
		ok = value == nil
	case "!!int":
		_, ok = value.(int64)
	case "!!float":
		f, isFloat := value.(float64)
		_, isInt := value.(int64)
		ok = isInt || isFloat && !math.IsNaN(f) && !math.IsInf(f, 0)
	default:
		c.problem(node, "the YAML tag %s is not supported", shorten(node.ShortTag()))
		return nil
	}
	if !ok {
		c.problem(node, "the value is not a %s, as its tag says", node.ShortTag())
	}
	return value
}

// resolvePlain returns the value of an unquoted scalar: nil, a boolean, an int64, a float64 or text.
// A whole number beyond 64 bits is a float64; a float without a fraction that fits is an int64, since
// JSON does not tell them apart.
func resolvePlain(text string) any {
	if text == "" {
		return nil
	}
	switch c := text[0]; {
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
		return resolveNumber(text)
	case strings.IndexByte("yYnNtTfFoO~", c) < 0 || len(text) > 5:
		return text
	}
	switch text {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "y", "Y", "on", "On", "ON":
		return true
	case "false", "False", "FALSE", "no", "No", "NO", "n", "N", "off", "Off", "OFF":
		return false
	case "~", "null", "Null", "NULL":
		return nil
	}
	return text
}

// resolveNumber returns the number that an unquoted scalar is, or its text.
func resolveNumber(text string) any {
	switch text {
	case ".nan", ".NaN", ".NAN":
		return math.NaN()
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return math.Inf(1)
	case "-.inf", "-.Inf", "-.INF":
		return math.Inf(-1)
	}
	if len(text) > 512 {
		return text
	}
	plain := text
	if text[0] != '.' {
		plain = strings.ReplaceAll(text, "_", "")
	}
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return float64(u)
	}
	if isDecimal(plain) {
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return wholeFloat(f)
		}
	}
	return text
}

// wholeFloat returns an int64 for a float without a fraction that fits.
func wholeFloat(f float64) any {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return f
}

// isDecimal tells [-+]? ( \.[0-9]+ | [0-9]+ (\.[0-9]*)? ) ([eE][-+]?[0-9]+)?, YAML's float.
func isDecimal(s string) bool {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	whole := digits(s)
	s = s[whole:]
	fraction := 0
	if s != "" && s[0] == '.' {
		fraction = digits(s[1:])
		s = s[1+fraction:]
	}
	if whole+fraction == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits counts the decimal digits that a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
