package render_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata/overrides")

// TestOverrideCases walks testdata/overrides. A case is a txtar file: its comment says what users
// rely on; object.yaml, policies.yaml, cluster.yaml (default: cluster "eu-1"), division and
// definition.yaml, a CustomResourceDefinition, are the input, want.yaml is the rendered object and want.txt what is said about it. Adding a case means
// adding a file; -update fills in the expected parts.
func TestOverrideCases(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("testdata", "overrides"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".txtar" {
			return err
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { runCase(t, path) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func runCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	manifest, remarks := renderCase(t, files)
	want := map[string]string{"want.yaml": manifest, "want.txt": remarks}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want.") })
		for _, name := range []string{"want.yaml", "want.txt"} {
			if want[name] != "" {
				archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(want[name])})
			}
		}
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, got := range want {
		if diff := cmp.Diff(files[name], got); diff != "" {
			t.Errorf("%s\n%s differs (-want +got):\n%s", archive.Comment, name, diff)
		}
	}
}

func renderCase(t *testing.T, files map[string]string) (manifest, remarks string) {
	obj := readObject(t, files["object.yaml"])
	before := render.Digest(obj.Unstructured)
	overrides, findings := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{
		Source: "shop", Policies: readPolicies(t, files["policies.yaml"]),
	})
	if crd := files["definition.yaml"]; crd != "" {
		documents, problems := v1alpha1.DecodeStream("definition.yaml", []byte(crd))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		overrides = overrides.With(schema.Define([]map[string]any{documents[0].Content}), "1")
	}
	var out strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&out, "finding %s %s: %s\n", f.ID, f.Source, f.Message)
	}
	rendered, err := overrides.For(obj, readCluster(t, files["cluster.yaml"]), readDivision(t, files["division"]))
	if render.Digest(obj.Unstructured) != before {
		t.Error("the base object was changed")
	}
	if err != nil {
		var failed *render.OverrideError
		if !errors.As(err, &failed) {
			t.Fatalf("the error is a %T", err)
		}
		fmt.Fprintf(&out, "error: %s\n", err)
		return "", out.String()
	}
	for _, source := range rendered.Overrides {
		fmt.Fprintf(&out, "changed by %s\n", source)
	}
	for _, pointer := range slices.Sorted(maps.Keys(rendered.Fields)) {
		o := rendered.Fields[pointer]
		fmt.Fprintf(&out, "%s: %s %s rule %d %s\n", pointer, o.Kind, o.Name, o.Rule, o.Source)
	}
	for _, n := range rendered.Notes {
		fmt.Fprintf(&out, "note %s %s: %s\n", n.ID, n.Source, n.Message)
	}
	text, err := yaml.Marshal(rendered.Object.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), out.String()
}

func readObject(t testing.TB, text string) render.Object {
	t.Helper()
	documents, problems := v1alpha1.DecodeStream("object.yaml", []byte(text))
	if len(problems) > 0 || len(documents) != 1 {
		t.Fatalf("object.yaml: %d documents, problems %v", len(documents), problems)
	}
	u := &unstructured.Unstructured{Object: documents[0].Content}
	return render.Object{
		Unstructured: u, Source: "shop", Unit: "object.yaml",
		Origin: render.Origin{Kind: render.OriginFile, Source: "object.yaml:1"}, ContentDigest: render.Digest(u),
	}
}

func readPolicies(t testing.TB, text string) []v1alpha1.OverridePolicy {
	t.Helper()
	documents, problems := v1alpha1.DecodeStream("policies.yaml", []byte(text))
	var policies []v1alpha1.OverridePolicy
	for _, d := range documents {
		value, more := d.Typed()
		problems = append(problems, more...)
		if p, ok := value.(*v1alpha1.OverridePolicy); ok {
			policies = append(policies, *p)
		}
	}
	if v1alpha1.Blocked(problems) {
		t.Fatalf("policies.yaml: %v", problems)
	}
	return policies
}

func readCluster(t testing.TB, text string) *v1alpha1.Cluster {
	t.Helper()
	if text == "" {
		return &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-1"}}
	}
	documents, problems := v1alpha1.DecodeStream("cluster.yaml", []byte(text))
	if len(problems) > 0 || len(documents) != 1 {
		t.Fatalf("cluster.yaml: %v", problems)
	}
	value, problems := documents[0].Typed()
	if len(problems) > 0 {
		t.Fatalf("cluster.yaml: %v", problems)
	}
	return value.(*v1alpha1.Cluster)
}

func readDivision(t testing.TB, text string) *render.Division {
	t.Helper()
	if text == "" {
		return nil
	}
	d := &render.Division{Policy: "web", Source: "propagation.yaml:1"}
	if err := yaml.UnmarshalStrict([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}
