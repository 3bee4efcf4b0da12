package plan_test

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// The tests of this package read sources from plain YAML with the decoder of pkg/api: what a
// kustomization or a chart gives is of no interest here.

// failer is what helpers need of *testing.T and of *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// sourceSettings is what a case says about a source in sources.yaml, by name.
type sourceSettings struct {
	Revision        string   `json:"revision"`
	Stale           bool     `json:"stale"`
	AllowPrune      string   `json:"allowPrune"`
	FailedUnits     []string `json:"failedUnits"`
	PoliciesFor     []string `json:"policiesFor"`
	TargetNamespace string   `json:"targetNamespace"`
	MaxPrunePercent *int32   `json:"maxPrunePercent"`
	// IgnoreDrift and Tenant are as in a GitSource.
	IgnoreDrift []v1alpha1.IgnoreRule `json:"ignoreDrift"`
	Tenant      *v1alpha1.Tenant      `json:"tenant"`
	// Rollout, Suspend and PinnedRevision are as in a GitSource. The base trees are the earlier ones.
	Rollout        *v1alpha1.Rollout `json:"rollout"`
	Suspend        bool              `json:"suspend"`
	PinnedRevision string            `json:"pinnedRevision"`
}

// loadTrees reads the sources from the files below a folder: "<folder>/<source>/<path>".
func loadTrees(t failer, files []txtar.File, folder string, settings map[string]sourceSettings) plan.Trees {
	t.Helper()
	bySource := map[string]*plan.Source{}
	source := func(name string) *plan.Source {
		if s := bySource[name]; s != nil {
			return s
		}
		set := settings[name]
		s := &plan.Source{Stale: set.Stale, AllowPrune: set.AllowPrune}
		s.Source, s.Revision, s.FailedUnits = name, cmp.Or(set.Revision, "main@sha1:"+folder), set.FailedUnits
		s.Spec = v1alpha1.GitSourceSpec{
			PoliciesFor: set.PoliciesFor, TargetNamespace: set.TargetNamespace, MaxPrunePercent: set.MaxPrunePercent,
			IgnoreDrift: set.IgnoreDrift, Tenant: set.Tenant,
			Rollout: set.Rollout, Suspend: set.Suspend, PinnedRevision: set.PinnedRevision,
		}
		s.Spec.SetDefaults()
		bySource[name] = s
		return s
	}
	for name := range settings {
		source(name)
	}
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name, folder+"/")
		if !ok {
			continue
		}
		name, file, _ := strings.Cut(rest, "/")
		s := source(name)
		addFile(t, s, file, f.Data)
	}
	var trees plan.Trees
	for _, s := range bySource {
		trees = append(trees, *s)
	}
	slices.SortFunc(trees, func(a, b plan.Source) int { return strings.Compare(a.Source, b.Source) })
	return trees
}

func addFile(t failer, s *plan.Source, file string, data []byte) {
	t.Helper()
	documents, problems := v1alpha1.DecodeStream(file, data)
	for _, d := range documents {
		d.DefaultNamespace(s.Spec.TargetNamespace)
		if !strings.HasPrefix(d.APIVersion, v1alpha1.Group+"/") && !strings.Contains(d.APIVersion, "karmada.io/") {
			u, err := render.Normalize(&unstructured.Unstructured{Object: d.Content})
			if err != nil {
				t.Fatalf("%s: %v", d.Position, err)
			}
			s.Objects = append(s.Objects, render.Object{
				Unstructured: u, Source: s.Source, Unit: path.Dir(file), ContentDigest: render.Digest(u),
				Origin: render.Origin{Kind: render.OriginFile, Source: d.Position.String()},
			})
			continue
		}
		typed, found := d.Typed()
		problems = append(problems, found...)
		switch p := typed.(type) {
		case *v1alpha1.PropagationPolicy:
			s.PropagationPolicies = append(s.PropagationPolicies, *p)
		case *v1alpha1.OverridePolicy:
			s.OverridePolicies = append(s.OverridePolicies, *p)
		}
	}
	if v1alpha1.Blocked(problems) {
		s.FailedUnits = append(s.FailedUnits, file)
	}
	for _, p := range problems {
		s.Problems = append(s.Problems, p.Finding(s.Source))
	}
}

// fileOf returns a file of an archive, nil where it is not there.
func fileOf(files []txtar.File, name string) []byte {
	for _, f := range files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func loadSettings(t failer, data []byte) map[string]sourceSettings {
	t.Helper()
	settings := map[string]sourceSettings{}
	if err := yaml.UnmarshalStrict(data, &settings); err != nil {
		t.Fatalf("sources.yaml: %v", err)
	}
	return settings
}

// loadFleet reads a fleet file.
func loadFleet(t failer, data []byte) plan.Snapshot {
	t.Helper()
	snap, problems := plan.ReadFleet("fleet.yaml", data)
	for _, p := range problems {
		t.Fatalf("fleet.yaml: %v", p)
	}
	return snap
}
