package schema_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

var update = flag.Bool("update", false, "rewrite what the cases of testdata want")

// TestCheck plays testdata/*.txtar: the documents of manifests.yaml, each checked for the version that the
// comment's first word names ("any": none is known), give the lines of want.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	checker := schema.New()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			word, _, _ := strings.Cut(string(archive.Comment), " ")
			version, err := schema.ParseVersion(word)
			if err != nil && word != "any" {
				t.Fatal(err)
			}
			documents, problems := v1alpha1.DecodeStream("manifests.yaml", archive.Files[0].Data)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var got strings.Builder
			for _, d := range documents {
				faults, known := checker.Check(d.Content, schema.Target{Version: version})
				name := d.Content["metadata"].(map[string]any)["name"].(string)
				if !known {
					got.WriteString(name + ": not known\n")
				}
				for _, f := range faults {
					got.WriteString(name + ": " + f.Pointer + ": " + f.Message + "\n")
				}
			}
			if *update {
				archive.Files[1].Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
				t.Errorf("%s(-want +got):\n%s", archive.Comment, diff)
			}
		})
	}
}

// TestNoFalseAlarm checks real manifests, where they are, against every release: none of them has a fault.
func TestNoFalseAlarm(t *testing.T) {
	checker := schema.New()
	seen := 0
	for _, folder := range []string{"../../../shared/data/online-boutique/kubernetes-manifests", "../../../shared/data/podinfo/kustomize", "../../../shared/data/podinfo/deploy", "../../cmd/armada-sync/shop"} {
		_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || filepath.Ext(path) != ".yaml" || strings.Contains(path, "templates") {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			documents, _ := v1alpha1.DecodeStream(path, data)
			for _, d := range documents {
				for _, version := range append(schema.Embedded(), schema.Version{}, schema.Version{Major: 1, Minor: 30}, schema.Version{Major: 1, Minor: 40}) {
					faults, known := checker.Check(d.Content, schema.Target{Version: version})
					if known {
						seen++
					}
					for _, f := range faults {
						t.Errorf("%s for %q: %s", d.Position, version, f.Message)
					}
				}
			}
			return nil
		})
	}
	if seen == 0 {
		t.Error("nothing was checked")
	}
}

// TestAge says from when on APIs are deprecated and gone.
func TestAge(t *testing.T) {
	checker := schema.New()
	for _, c := range []struct {
		apiVersion, kind         string
		version                  schema.Version
		deprecated, removed, any bool
		replacement, reason      string
	}{
		{"apps/v1", "Deployment", schema.Version{Major: 1, Minor: 36}, false, false, false, "", "a stable API stays"},
		{"policy/v1beta1", "PodDisruptionBudget", schema.Version{Major: 1, Minor: 20}, false, false, true, "policy/v1", "not deprecated yet"},
		{"policy/v1beta1", "PodDisruptionBudget", schema.Version{Major: 1, Minor: 24}, true, false, true, "policy/v1", "deprecated since 1.21"},
		{"policy/v1beta1", "PodDisruptionBudget", schema.Version{Major: 1, Minor: 25}, false, true, true, "policy/v1", "removed in 1.25"},
		{"extensions/v1beta1", "Ingress", schema.Version{Major: 1, Minor: 36}, false, true, true, "networking.k8s.io/v1", "long gone"},
		{"autoscaling/v2beta2", "HorizontalPodAutoscaler", schema.Version{Major: 1, Minor: 26}, false, true, true, "autoscaling/v2", "gone from k8s.io/api, too"},
		{"v1", "Endpoints", schema.Version{Major: 1, Minor: 36}, true, false, true, "discovery.k8s.io/v1 EndpointSlice", "deprecated without an end"},
		{"policy/v1beta1", "PodDisruptionBudget", schema.Version{}, false, false, true, "policy/v1", "no version, no verdict"},
	} {
		age, any := checker.Age(map[string]any{"apiVersion": c.apiVersion, "kind": c.kind})
		if any != c.any || age.IsDeprecated(c.version) != c.deprecated || age.IsRemoved(c.version) != c.removed || age.Replacement != c.replacement {
			t.Errorf("%s %s on %q: got %+v, %v: %s", c.apiVersion, c.kind, c.version, age, any, c.reason)
		}
	}
}

// FuzzParseVersion: whatever it reads, it writes and reads again as the same.
func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"1.36", "v1.36.3", "v1.36.3-gke.100", "1.36+", "", "v", "1.", ".1", "1.x", "99.999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := schema.ParseVersion(text)
		if err != nil {
			return
		}
		if again, err := schema.ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%q: %v, then %v, %v", text, v, again, err)
		}
	})
}
