package v1alpha1

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// nodesOf counts what the parser makes of a text; -1: it is no YAML.
func nodesOf(text string) int {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var count func(*yaml.Node) int
	count = func(n *yaml.Node) int {
		total := 1
		for _, child := range n.Content {
			total += count(child)
		}
		return total
	}
	total := 0
	for {
		var document yaml.Node
		err := decodeNode(decoder, &document)
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			return -1
		}
		for _, root := range document.Content {
			total += count(root)
		}
	}
}

func TestCountValues(t *testing.T) {
	for _, tc := range []struct {
		reason, text string
		atMost       int
	}{
		{"a map", "a: 1\nb: 2\n", 6},
		{"a list", "- 1\n- 2\n- a: 1\n", 8},
		{"flow", "a: [1, 2, {b: c, d: e}]\n", 14},
		{"what looks like YAML in a block is one text", "a: |\n  [1,2,3]\n  b: c\n  - d\ne: f\n", 6},
		{"in quotes, too", "a: \"[1,2,3], b: c\"\nb: 'it''s: [1, 2]'\n", 6},
		{"over lines", "a: \"x: y,\n  z: [\"\n", 4},
		{"in a comment", "a: 1 # b: c, [d]\n# e: f\n", 4},
		{"in a plain text", "a: b, c, [d]\n  e, f\n", 4},
		{"a block with its own indentation", "a: |2\n    b: c\n  d: e\nf: g\n", 8},
		{"a block of an item", "- |\n b: c\n- >-\n  d: e\n", 4},
		{"a block of a key of an item", "- a: |\n    b: c\n    d: [e]\n  f: g\n", 8},
		{"tags and anchors", "a: !!str 1\nb: &x [1]\nc: *x\n", 10},
		{"documents", "a: 1\n---\nb: 2\n", 8},
	} {
		got, actual := countValues([]byte(tc.text), 1<<30), nodesOf(tc.text)
		if actual < 0 || got < actual/2 || got > tc.atMost {
			t.Errorf("%s: counted %d, the parser makes %d, want at most %d", tc.reason, got, actual, tc.atMost)
		}
	}
}

// FuzzCountValues: no text makes many more values than were counted.
func FuzzCountValues(f *testing.F) {
	for _, seed := range []string{"a: |\n b", "- - - a", "? a\n: b", "[a: b, {c}]", "a: \"x: |\n  y\"\nb: [1,1]", "- a: |\n    t\n  b: [1]", "&a !t b: *a", "a:\n- b\n-\n- |\n x", "a: |\n x\rb: [1,1,1,1,1,1,1,1,1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		if actual, counted := nodesOf(text), countValues([]byte(text), 1<<30); actual > 2*counted+8 {
			t.Errorf("counted %d, the parser makes %d of %q", counted, actual, text)
		}
	})
}
