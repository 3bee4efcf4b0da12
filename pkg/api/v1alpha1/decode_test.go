package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestScalarsResolveAsInKubectl compares values with what kubectl's YAML reader makes of them.
func TestScalarsResolveAsInKubectl(t *testing.T) {
	for _, scalar := range []string{
		"yes", "No", "on", "OFF", "y", "n", "true", "True", "TRUE", "tRue", "~", "null", "", "Null", "nULL",
		"0", "-0", "+1", "0755", "08", "0o17", "0x1F", "0b11", "-0b11", "1_000", "_1", "1__0", "1.5", "1.0", ".5", "-.5", "5.",
		"1e3", "1e+3", "1E-3", "1e", "e1", ".e1", "1.2.3", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "1e400", "0.1e-400", "123456789012345678901234567890", "2026-01-31", "2026-01-31T12:00:00Z", "12:30:45", "190:20:30",
		"1.10", "v1", "=", "<<", "'<<'", "\"yes\"", "'1'", "!!str 1", "!!int 1", "!!float 1", "!!bool yes", "|\n  1", ">\n  a\n  b",
		"9007199254740993", "9007199254740993.0", "1.0e15", "1e19", "[yes, 1.0, {a: no}]", "{1: a, yes: b, 1.5: c}", "{y: 1}",
	} {
		t.Run(scalar, func(t *testing.T) {
			text := "a: " + scalar + "\n"
			docs, problems := v1alpha1.DecodeStream("s.yaml", []byte(text))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(canonical(t, kubectlContent(t, text)), canonical(t, docs[0].Content)); diff != "" {
				t.Errorf("kubectl - and we +:\n%s", diff)
			}
		})
	}
}

// kubectlContent reads a document as kubectl does.
func kubectlContent(t testing.TB, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := utiljson.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

// canonical returns JSON, in which 1.0 and 1 are the same.
func canonical(t testing.TB, content map[string]any) string {
	t.Helper()
	data, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestContentTypes states which Go types a document holds, as unstructured objects need them.
func TestContentTypes(t *testing.T) {
	want := map[string]any{
		"int": int64(5), "float": 1.5, "whole": int64(3), "big": float64(1 << 63), "text": "x", "bool": true, "null": nil,
		"list": []any{int64(1), []any{}}, "map": map[string]any{"a": map[string]any{}},
	}
	for _, text := range []string{
		"{int: 5, float: 1.5, whole: 3.0, big: 9223372036854775808, text: x, bool: true, 'null': ~, list: [1, []], map: {a: {}}}",
		`{"int": 5, "float": 1.5, "whole": 3.0, "big": 9223372036854775808, "text": "x", "bool": true, "null": null, "list": [1, []], "map": {"a": {}}}`,
	} {
		docs, problems := v1alpha1.DecodeStream("t.yaml", []byte(text))
		if len(docs) != 1 || len(problems) > 0 {
			t.Fatal(docs, problems)
		}
		if diff := cmp.Diff(want, docs[0].Content); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

// TestTextForms reads one document in forms that must not make a difference, lines included.
func TestTextForms(t *testing.T) {
	const text = "# comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {x: z}\ndata:\n  k: |\n    one\n    two\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: b\n"
	want, problems := v1alpha1.DecodeStream("f.yaml", []byte(text))
	if len(want) != 2 || len(problems) > 0 {
		t.Fatal(want, problems)
	}
	for reason, form := range map[string]string{
		"a byte order mark":          "\ufeff" + text,
		"Windows line ends":          strings.ReplaceAll(text, "\n", "\r\n"),
		"no line end at the end":     strings.TrimSuffix(text, "\n"),
		"a marker at the end":        text + "---\n",
		"an end marker at the end":   text + "...\n",
		"end markers between":        strings.ReplaceAll(text, "---\napiVersion: v1\nkind: Secret", "...\napiVersion: v1\nkind: Secret"),
		"blanks behind the markers":  strings.ReplaceAll(text, "---\n", "---  \n"),
		"comments behind the marker": strings.ReplaceAll(text, "---\n", "--- # next\n"),
	} {
		got, problems := v1alpha1.DecodeStream("f.yaml", []byte(form))
		if len(problems) > 0 || len(got) != len(want) {
			t.Errorf("%s: %d documents, %v", reason, len(got), problems)
			continue
		}
		for i := range want {
			if diff := cmp.Diff(want[i].Content, got[i].Content); diff != "" {
				t.Errorf("%s: %s", reason, diff)
			}
			if diff := cmp.Diff(want[i].Lines(), got[i].Lines()); diff != "" || got[i].Position != want[i].Position {
				t.Errorf("%s: at %s instead of %s: %s", reason, got[i].Position, want[i].Position, diff)
			}
		}
	}
}

// TestLines states how fields are named and that lines count from the beginning of the file.
func TestLines(t *testing.T) {
	const text = `a: 1
---
base: &base
  x: 1
  list: [1, 2]
use:
  <<: *base
  example.com/key: v
  0a: digit
again: *base
`
	docs, problems := v1alpha1.DecodeStream("l.yaml", []byte(text))
	if len(docs) != 2 || len(problems) > 0 {
		t.Fatal(docs, problems)
	}
	want := map[string]int{
		"base": 3, "base.x": 4, "base.list": 5, "base.list[0]": 5, "base.list[1]": 5,
		"use": 6, "use.x": 4, "use.list": 5, "use.list[0]": 5, "use.list[1]": 5, "use[example.com/key]": 8, "use[0a]": 9,
		"again": 10, "again.x": 4, "again.list": 5, "again.list[0]": 5, "again.list[1]": 5,
	}
	lines := docs[1].Lines()
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	for path, line := range map[string]int{"base.list[1].deep.er": 5, "use[other/key]": 6, "nothing": 77, "base.x": 4} {
		if got := v1alpha1.LineOf(lines, path, 77); got != line {
			t.Errorf("LineOf(%q) = %d, want %d", path, got, line)
		}
	}
}

// TestAliasesAreCopies changes what an alias stands for and looks whether that shows elsewhere.
func TestAliasesAreCopies(t *testing.T) {
	docs, _ := v1alpha1.DecodeStream("a.yaml", []byte("a: &a {x: 1}\nb: *a\nc: {<<: *a}\nd: &l [{w: 1}]\ne: *l\n"))
	content := docs[0].Content
	content["a"].(map[string]any)["x"] = int64(2)
	content["d"].([]any)[0].(map[string]any)["w"] = int64(2)
	want := `{"a":{"x":2},"b":{"x":1},"c":{"x":1},"d":[{"w":2}],"e":[{"w":1}]}`
	if got := canonical(t, content); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestSecretsStayOut plants a secret in every place of a broken Secret and looks for it in problems.
func TestSecretsStayOut(t *testing.T) {
	const canary = "canary-7f3a91"
	for _, data := range []string{
		"data: {k: !!int %s}", "data: {k: !!binary %s}", "data: {<<: %s}", "data: [<<, %s", "stringData: {k: &a %s, k: *a}",
		"data: {k: %s, k: x}", "stringData:\n  k: %s\n k: y", "data: {k: \"%s}", "data: {? [%s] : x}", "data: {k: !x %s}", "data: @%s",
		"data: {k: '%s' y}", "data: {k: !!float %s}", "data:\n\t%s", "data: {k: |2\n %s}",
	} {
		text := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" + fmt.Sprintf(data, canary) + "\n"
		_, problems := v1alpha1.DecodeStream("s.yaml", []byte(text))
		if len(problems) == 0 {
			t.Errorf("%q is not broken", data)
		}
		if mentions(problems, canary) {
			t.Errorf("%q: %v", data, problems)
		}
	}
	if _, problems := v1alpha1.DecodeStream("token.yaml", []byte(canary)); len(problems) == 0 || mentions(problems, canary) {
		t.Error(problems)
	}
}

// TestRealManifests reads the manifests that come with this repository's examples, where they are
// present, as kubectl does.
func TestRealManifests(t *testing.T) {
	files, err := filepath.Glob("../../../../shared/data/*/kubernetes-manifests/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "testdata/shop.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, problems := v1alpha1.DecodeStream(file, data)
		if len(problems) > 0 || len(docs) == 0 {
			t.Errorf("%s: %v", file, problems)
		}
		for _, d := range docs {
			lines := bytes.Split(data, []byte("\n"))
			if first := string(lines[d.Position.Line-1]); !strings.Contains(first, "apiVersion") {
				t.Errorf("%s: the document begins at %q", d.Position, first)
			}
		}
		if len(docs) == 1 {
			if diff := cmp.Diff(kubectlContent(t, string(data)), docs[0].Content); diff != "" {
				t.Errorf("%s: %s", file, diff)
			}
		}
	}
}

// TestSyntaxErrorLines states on which line a syntax error is reported: where it is, not where the
// block around it begins.
func TestSyntaxErrorLines(t *testing.T) {
	cases := []struct {
		reason, text string
		want         int
	}{
		{"an item dedented too little", "a:\n  - x\n - y\nb: 1\nc: 2\n", 3},
		{"a key dedented too little", "a: 1\nb:\n  c: 1\n d: 2\ne: 1\nf: 1\n", 4},
		{"a key indented too much", "a: 1\nb: 2\n  c: 3\nd: 4\n", 3},
		{"a bracket that is not closed", "a: 1\nb: [1, 2\nc: 3\nd: 4\ne: 5\n", 2},
		{"a brace that is not closed", "a: 1\nb: {x: 1\nc: 3\nd: 4\ne: 5\n", 2},
		{"a bracket that was not opened", "a: 1\nb: ]\nb: 1\nc: 1\n", 2},
		{"a quote that is not closed", "a: 1\nb: \"text\nc: 1\nd: 1\n", 2},
		{"text behind a quote", "a: 1\nb: 'x' y\nc: 1\nd: 1\n", 2},
		{"an item in a map", "a: 1\n- b\nc: 1\nd: 1\n", 2},
		{"an item behind comments", "a: 1\n# c\n# c\n# c\n- x\n# d\n# d\nb: 1", 5},
		{"a key without a colon", "a: 1\nb\nc: 1\nd: 1\n", 2},
		{"an anchor that is not there", "a: 1\nb: 2\nc: *nope\nd: 1\n", 3},
		{"a tab", "a: 1\nb: 1\n\tc: 1\nd: 1\n", 3},
		{"a character that begins nothing", "a: 1\nb: @x\nc: 1\n", 2},
		{"block text that ends too early", "a: |\n  x\n y\nb: 1\n", 3},
		{"the first line", ": [\n", 1},
		{"the second document", "a: 1\n---\n# comment\na: 1\n b: 1\nc: 1\n", 5},
		{"the last line, without a line end", "a: 1\nb: [", 2},
	}
	for _, tc := range cases {
		_, problems := v1alpha1.DecodeStream("e.yaml", []byte(tc.text))
		if len(problems) != 1 || problems[0].Position.Line != tc.want {
			t.Errorf("%s: %v, want line %d", tc.reason, problems, tc.want)
		}
	}
}
