package v1alpha1_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func marshal(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// FuzzDecodeStream reads anything. Nothing may panic, problems must have a place in the file, and what
// a single document holds must be what kubectl reads, and the same when it is read again from JSON.
func FuzzDecodeStream(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	archives, err := filepath.Glob("testdata/documents/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	for _, s := range []string{aliasBomb(2, 3), mergeBomb(3), "a: &a [*a]", "<<: {a: 1}", "? a\n: b", "- !!str 1", "\ufeffa: 1\r\n---\r...", "%YAML 1.2\n---\na"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := v1alpha1.Limits{MaxBytes: 1 << 16, MaxDocuments: 100, MaxDepth: 64, MaxAliasBytes: 1 << 16, MaxProblems: 20}
		docs, problems := limits.DecodeStream("f.yaml", data)
		if len(docs) > 100 || len(problems) > 21 {
			t.Fatalf("%d documents, %d problems", len(docs), len(problems))
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, p := range problems {
			if p.Position.File != "f.yaml" || p.Position.Line > lines+1 || p.Message == "" || p.ID == "" {
				t.Errorf("%+v in %d lines", p, lines)
			}
		}
		for _, d := range docs {
			checkDocument(t, d)
		}
		if len(docs) == 1 && len(problems) == 0 {
			compareWithKubectl(t, data, docs[0])
		}
	})
}

// checkDocument reads a document as one of ours, whatever it is, and again from JSON.
func checkDocument(t *testing.T, d v1alpha1.Document) {
	text := canonical(t, d.Content)
	again, problems := v1alpha1.DecodeStream("again.json", []byte(text))
	if len(problems) > 0 || len(again) != 1 {
		t.Fatalf("%s: %v", text, problems)
	}
	if got := canonical(t, again[0].Content); got != text {
		t.Errorf("%s is read again as %s", text, got)
	}
	d.DefaultNamespace("shop")
	value, problems := d.Typed()
	if value == nil && len(problems) == 0 {
		t.Error("neither a value nor problems")
	}
	if value != nil && v1alpha1.Blocked(problems) {
		t.Error("a value in spite of a blocker")
	}
	for _, p := range problems {
		if p.Finding("shop").Compare(p.Finding("shop")) != 0 || p.Position.Line == 0 {
			t.Errorf("%+v", p)
		}
	}
}

// compareWithKubectl compares a document with what kubectl reads, where it is one that kubectl's
// reader takes and reads to its end.
func compareWithKubectl(t *testing.T, data []byte, d v1alpha1.Document) {
	// Kubectl's reader stops after one document, and takes the tag "!" for "!!str".
	for _, other := range []string{"---", "...", "List", "!"} {
		if strings.Contains(string(data), other) {
			return
		}
	}
	converted, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return
	}
	var want map[string]any
	if err := utiljson.Unmarshal(converted, &want); err != nil {
		return
	}
	// Empty fields of the metadata are left out here.
	delete(want, "metadata")
	delete(d.Content, "metadata")
	if diff := cmp.Diff(canonical(t, want), canonical(t, d.Content)); diff != "" {
		t.Errorf("kubectl - and we +:\n%s", diff)
	}
}
