package v1alpha1

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits bound what one file may cost to read. A file beyond a limit gives one problem, and the rest
// of it is not read; other files are not affected.
//
// +kubebuilder:object:generate=false
type Limits struct {
	// MaxBytes is the size of a file.
	MaxBytes int
	// MaxDocuments is the number of documents in a file, empty ones and items of lists included.
	MaxDocuments int
	// MaxDepth is how deep maps and lists may be nested.
	MaxDepth int
	// MaxAliasBytes is how much the YAML aliases and merge keys of a file may add, in bytes, where a
	// value counts its text and a fixed overhead.
	MaxAliasBytes int
	// MaxValues is about how many values (maps, lists, keys, texts, numbers) one document may have; a JSON
	// file all together. Reading takes up to 500 bytes of memory for each.
	MaxValues int
	// MaxProblems is how many problems of one file are reported before the rest is not read.
	MaxProblems int
}

// DefaultLimits are the limits for files of a repository.
func DefaultLimits() Limits {
	return Limits{
		MaxBytes:      16 << 20,
		MaxDocuments:  20_000,
		MaxDepth:      256,
		MaxAliasBytes: 16 << 20,
		MaxValues:     250_000,
		MaxProblems:   100,
	}
}

// Document is one YAML or JSON document, or one item of a list of objects.
//
// +kubebuilder:object:generate=false
type Document struct {
	// Position is the file and the first line with content.
	Position Position
	// APIVersion and Kind are both empty for a map that is no Kubernetes object, such as a values file.
	APIVersion string
	Kind       string
	// Content holds strings, booleans, int64, float64, nil, []any and map[string]any, as
	// unstructured objects need it. Nobody else holds a reference to it.
	Content map[string]any

	root   *yaml.Node
	offset int
	tables *fieldTables
}

// DecodeStream reads all documents of a YAML or JSON file within DefaultLimits. See
// Limits.DecodeStream.
func DecodeStream(file string, data []byte) ([]Document, []Problem) {
	return DefaultLimits().DecodeStream(file, data)
}

// DecodeStream reads all documents of a YAML or JSON file. The file's name is only for positions.
//
// Values resolve as kubectl resolves them (YAML 1.1: yes and on are booleans, 0755 is octal). Lists
// of objects are taken apart. Each document that cannot be read gives at least one problem with its
// place and is left out; the others are returned, in order. Syntax, duplicate keys, keys that are
// not scalars, and labels and annotations that are not strings are problems here; whether an object
// has a name, and what its fields mean, is left to the caller and to Document.Typed.
func (l Limits) DecodeStream(file string, data []byte) ([]Document, []Problem) {
	var documents []Document
	problems := l.DecodeEach(file, data, func(d Document) bool {
		documents = append(documents, d)
		return true
	})
	return documents, problems
}

// DecodeEach is DecodeStream for large files: it hands on each document as soon as it is read, and what was
// needed to read it is free before the next one. The rest is not read once take returns false.
func (l Limits) DecodeEach(file string, data []byte, take func(Document) bool) []Problem {
	s := &stream{limits: l, file: file, aliasBudget: l.MaxAliasBytes, take: take}
	return s.decode(data)
}

// decode reads all documents.
func (s *stream) decode(data []byte) []Problem {
	if problem := s.unreadable(data); problem != nil {
		return []Problem{*problem}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if nodes, ok := s.parseJSON(data); ok {
		for _, node := range nodes {
			s.add(node, 0)
		}
		return s.problems
	}
	rest, line := data, 0
	for len(rest) > 0 && !s.stopped {
		var next chunk
		next, rest, line = nextChunk(rest, line)
		if next.text != nil && s.withinValues(next) {
			s.parseYAML(next)
		}
	}
	return s.problems
}

// withinValues refuses a document of too many values before they are made.
func (s *stream) withinValues(c chunk) bool {
	// A value takes two bytes at least.
	if len(c.text)/2 <= s.limits.MaxValues || countValues(c.text, s.limits.MaxValues) <= s.limits.MaxValues {
		return true
	}
	s.count(c.line + 1)
	s.fail(c.line+1, "the document has more than the %d values that are read", s.limits.MaxValues)
	return false
}

// stream is the state of reading one file.
type stream struct {
	limits Limits
	file   string
	take   func(Document) bool
	// frame makes the root of each document what is to be read; nil: it is that.
	frame func(*yaml.Node) *yaml.Node

	problems    []Problem
	aliasBudget int
	tables      fieldTables
	// read counts the documents so far.
	read int
	// located is how many bytes were read to find the lines of syntax errors.
	located int
	// stopped tells that a limit was reached and the rest of the file is not read.
	stopped bool
}

// unreadable looks for what makes a file no text at all.
func (s *stream) unreadable(data []byte) *Problem {
	problem := func(line int, format string, args ...any) *Problem {
		return &Problem{
			Position: Position{File: s.file, Line: line}, ID: FindingInvalidDocument,
			Severity: SeverityBlocker, Message: fmt.Sprintf(format, args...),
		}
	}
	if len(data) > s.limits.MaxBytes {
		return problem(0, "the file has %d bytes, more than the %d that are read", len(data), s.limits.MaxBytes)
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return problem(0, "the file is encoded in UTF-16; save it as UTF-8")
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return problem(lineAt(data, at), "the file has a NUL byte; is it a binary file?")
	}
	if !utf8.Valid(data) {
		at := 0
		for at < len(data) {
			r, size := utf8.DecodeRune(data[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return problem(lineAt(data, at), "the file is not valid UTF-8")
	}
	return nil
}

// lineAt returns the line, counted from 1, of the byte at an offset.
func lineAt(data []byte, offset int) int { return bytes.Count(data[:offset], []byte{'\n'}) + 1 }

// report adds a problem about a line, and stops reading where there are too many.
func (s *stream) report(p Problem) {
	if len(s.problems) < s.limits.MaxProblems {
		s.problems = append(s.problems, p)
		return
	}
	if s.stopped {
		return
	}
	s.stopped = true
	s.problems = append(s.problems, Problem{
		Position: p.Position, ID: FindingInvalidDocument, Severity: SeverityBlocker,
		Message: fmt.Sprintf("more than %d problems; the rest of the file is not read", s.limits.MaxProblems),
	})
}

// count counts a document and stops reading where there are too many.
func (s *stream) count(line int) bool {
	s.read++
	if s.read > s.limits.MaxDocuments && !s.stopped {
		s.fail(line, "the file has more than the %d documents that are read", s.limits.MaxDocuments)
		s.stopped = true
	}
	return !s.stopped
}

// fail reports a problem about a line of the file as a whole.
func (s *stream) fail(line int, format string, args ...any) {
	s.report(Problem{
		Position: Position{File: s.file, Line: line}, ID: FindingInvalidDocument,
		Severity: SeverityBlocker, Message: fmt.Sprintf(format, args...),
	})
}

// add converts the root node of a document, whose lines count from offset, and keeps it if that went
// without a problem.
func (s *stream) add(root *yaml.Node, offset int) {
	if !s.count(root.Line + offset) {
		return
	}
	if s.frame != nil {
		root = s.frame(root)
	}
	c := &converter{stream: s, offset: offset, object: describe(root)}
	if root.Kind != yaml.MappingNode {
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			return
		}
		c.problem(root, "expected an object with apiVersion and kind, got %s", typeOf(root))
		return
	}
	content, _ := c.convert(root).(map[string]any)
	if c.failed {
		return
	}
	s.keep(c, Document{
		Position: Position{File: s.file, Line: root.Line + offset}, Content: content, root: root, offset: offset,
		tables: &s.tables,
	}, "", "")
}

// keep checks what every object must have and appends the document, or the items of a list.
// apiVersion and kind are those of the items of a typed list, which need not repeat them.
func (s *stream) keep(c *converter, d Document, apiVersion, kind string) {
	if kind != "" && d.Content["apiVersion"] == nil && d.Content["kind"] == nil {
		d.Content["apiVersion"], d.Content["kind"] = apiVersion, kind
	}
	c.object = describe(d.root)
	c.checkObject(d.root, d.Content)
	if c.failed {
		c.failed = false
		return
	}
	d.APIVersion, _ = d.Content["apiVersion"].(string)
	d.Kind, _ = d.Content["kind"].(string)
	items, isList := d.Content["items"].([]any)
	if itemKind, listKind := listOf(d.APIVersion, d.Kind); listKind && isList {
		s.keepItems(c, d, items, itemKind)
		return
	}
	if !s.stopped && !s.take(d) {
		s.stopped = true
	}
}

// keepItems appends the items of a list, each with its own position.
func (s *stream) keepItems(c *converter, list Document, items []any, itemKind string) {
	nodes := resolveAlias(mapValue(list.root, "items"))
	itemVersion := ""
	if itemKind != "" {
		itemVersion = list.APIVersion
	}
	for i, item := range items {
		if !s.count(list.Position.Line) {
			return
		}
		// The converter walked the same nodes, so that there are as many of them as items.
		node := resolveAlias(nodes.Content[i])
		content, ok := item.(map[string]any)
		if !ok {
			c.object = list.reference()
			c.path = append(c.path, segment{key: "items"}, segment{index: i, isIndex: true})
			c.problem(node, "expected an object, got %s", typeOf(node))
			c.path, c.failed = c.path[:0], false
			continue
		}
		s.keep(c, Document{
			Position: Position{File: s.file, Line: node.Line + list.offset}, Content: content,
			root: node, offset: list.offset, tables: &s.tables,
		}, itemVersion, itemKind)
	}
}

// listOf tells whether a kind is a list of objects and of which kind its items are; empty: each item
// says so itself.
func listOf(apiVersion, kind string) (itemKind string, isList bool) {
	const suffix = "List"
	switch {
	case kind == suffix && apiVersion == "v1":
		return "", true
	case len(kind) > len(suffix) && kind[len(kind)-len(suffix):] == suffix:
		return kind[:len(kind)-len(suffix)], true
	}
	return "", false
}

// reference returns what the document declares, nil where it is no object.
func (d Document) reference() *ObjectReference {
	if d.root != nil {
		return describe(d.root)
	}
	return nil
}
