package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// builds holds what other packages keep for the comparison with kustomize and Helm, and shared the real
// manifests, where they are at hand.
const (
	builds = "../../pkg/render/build/testdata"
	shared = "../../../shared/data"
)

// renderedCase is a folder, and what the tools that it is written for make of it.
type renderedCase struct {
	name, folder string
	// without names what is not copied.
	without []string
	// built is the folder that kustomize builds; golden what helm template wrote. Neither: plain YAML.
	built, golden string
}

func renderedCases() []renderedCase {
	boutique, podinfo := filepath.Join(shared, "online-boutique"), filepath.Join(shared, "podinfo")
	return []renderedCase{
		{name: "kustomization", folder: builds + "/boutique", built: "overlays/eu"},
		{name: "plain YAML", folder: builds + "/boutique/base", without: []string{"kustomization.yaml"}},
		{name: "chart", folder: builds + "/charts/shop", golden: "shop"},
		{name: "Online Boutique, kustomization", folder: boutique + "/kustomize", without: []string{"tests"}, built: "."},
		{name: "Online Boutique, plain YAML", folder: boutique + "/kubernetes-manifests", without: []string{"kustomization.yaml"}},
		{name: "Online Boutique, chart", folder: boutique + "/helm-chart", golden: "online-boutique"},
		{name: "podinfo, kustomization", folder: podinfo + "/kustomize", built: "."},
		{name: "podinfo, plain YAML", folder: podinfo + "/kustomize", without: []string{"kustomization.yaml"}},
		{name: "podinfo, chart", folder: podinfo + "/charts/podinfo", golden: "podinfo"},
	}
}

// TestRenderedForThreeClusters renders plain YAML, kustomizations and charts for three clusters, of which two have
// overrides, with render -o dir=OUT: it is what kustomize build and helm template give, and the overrides.
func TestRenderedForThreeClusters(t *testing.T) {
	for _, c := range renderedCases() {
		if _, err := os.Stat(c.folder); err != nil && strings.HasPrefix(c.folder, shared) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			base := c.expected(t)
			out := c.render(t, base)
			for cluster, change := range map[string]func(map[string]any){"ap-1": func(map[string]any) {}, "eu-1": overrideOfEurope, "us-1": overrideOfAmerica} {
				want := map[string]map[string]any{}
				for _, o := range base {
					o := copyOf(t, o)
					change(o)
					want[nameOf(o)] = o
				}
				got := map[string]map[string]any{}
				for _, o := range manifestsOf(t, readAll(t, filepath.Join(out, cluster))) {
					got[nameOf(o)] = o
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s differs (-tool and overrides +rendered):\n%s", cluster, diff)
				}
			}
			t.Logf("%d objects for each of three clusters", len(base))
		})
	}
}

// overridesOfRegions is what overrideOfEurope and overrideOfAmerica do by hand.
const overridesOfRegions = `apiVersion: armada-sync.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: regions}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  overrideRules:
  - targetCluster: {clusterNames: [eu-1]}
    overriders:
      imageOverrider: [{component: Registry, operator: replace, value: "eu.example.com:5000"}]
      labelsOverrider: [{operator: add, value: {region: eu}}]
  - targetCluster: {labelSelector: {matchLabels: {region: us}}}
    overriders:
      jsonPatch: [{op: add, path: /spec/minReadySeconds, value: 7}]
      strategicMerge: [{spec: {template: {spec: {priorityClassName: high}}}}]
      expression: [{path: /metadata/annotations/example.com~1cluster, cel: "cluster.metadata.name", ifMissing: create}]
`

func overrideOfEurope(o map[string]any) {
	if o["kind"] != "Deployment" {
		return
	}
	below(o, "metadata", "labels")["region"] = "eu"
	pod := below(o, "spec", "template", "spec")
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := pod[list].([]any)
		for _, c := range containers {
			image := c.(map[string]any)["image"].(string)
			if first, rest, _ := strings.Cut(image, "/"); strings.ContainsAny(first, ".:") && rest != "" {
				image = rest
			}
			c.(map[string]any)["image"] = "eu.example.com:5000/" + image
		}
	}
}

func overrideOfAmerica(o map[string]any) {
	if o["kind"] != "Deployment" {
		return
	}
	below(o, "spec")["minReadySeconds"] = float64(7)
	below(o, "spec", "template", "spec")["priorityClassName"] = "high"
	below(o, "metadata", "annotations")["example.com/cluster"] = "us-1"
}

// below returns a map in an object, and makes it where it is not there.
func below(o map[string]any, path ...string) map[string]any {
	for _, key := range path {
		if _, ok := o[key].(map[string]any); !ok {
			o[key] = map[string]any{}
		}
		o = o[key].(map[string]any)
	}
	return o
}

// expected returns what the tool makes of the folder, with the namespace that objects without one go to.
func (c renderedCase) expected(t *testing.T) []map[string]any {
	t.Helper()
	var text []byte
	switch {
	case c.built != "":
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(c.folder, c.built))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = built.AsYaml(); err != nil {
			t.Fatal(err)
		}
	case c.golden != "":
		var err error
		if text, err = os.ReadFile(filepath.Join(builds, "charts", c.golden+".golden.yaml")); err != nil {
			t.Fatal(err)
		}
	default:
		text = readAll(t, c.folder, c.without...)
	}
	list := manifestsOf(t, text)
	for _, o := range list {
		switch o["kind"] {
		case "Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding":
		default:
			if metadata := below(o, "metadata"); metadata["namespace"] == nil {
				metadata["namespace"] = "default"
			}
		}
		dropNothing(o)
	}
	return list
}

// dropNothing drops nulls and status, which say nothing in a manifest.
func dropNothing(o map[string]any) {
	delete(o, "status")
	var drop func(value any)
	drop = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			maps.DeleteFunc(v, func(_ string, child any) bool { return child == nil })
			for _, child := range v {
				drop(child)
			}
		case []any:
			for _, child := range v {
				drop(child)
			}
		}
	}
	drop(o)
}

// render renders a copy of the folder beside policies for everything in it.
func (c renderedCase) render(t *testing.T, objects []map[string]any) string {
	t.Helper()
	repo, out := filepath.Join(t.TempDir(), "repo"), filepath.Join(t.TempDir(), "out")
	folder := filepath.Join(repo, filepath.Base(c.folder))
	if err := os.CopyFS(folder, os.DirFS(c.folder)); err != nil {
		t.Fatal(err)
	}
	for _, name := range c.without {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	selectors := map[string]bool{}
	for _, o := range objects {
		selectors[fmt.Sprintf("  - {apiVersion: %s, kind: %s}\n", o["apiVersion"], o["kind"])] = true
	}
	policies := "apiVersion: armada-sync.io/v1alpha1\nkind: ClusterPropagationPolicy\nmetadata: {name: everything}\nspec:\n  resourceSelectors:\n" +
		strings.Join(slices.Sorted(maps.Keys(selectors)), "") + "---\n" + overridesOfRegions
	fleet := filepath.Join(t.TempDir(), "fleet.yaml")
	for file, text := range map[string]string{
		filepath.Join(repo, "policies.yaml"): policies,
		fleet: strings.Join([]string{
			"apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: ap-1}\n",
			"apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: eu-1}\n",
			"apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: us-1, labels: {region: us}}\n",
		}, "---\n"),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = said.Close() }()
	if code := run([]string{"render", "--repo", repo, "--fleet", fleet, "-o", "dir=" + out, "--show-secrets"}, said, said); code != 0 {
		text, _ := os.ReadFile(said.Name())
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	return out
}

// readAll returns every YAML file of a folder as one stream.
func readAll(t *testing.T, folder string, without ...string) []byte {
	t.Helper()
	var stream []byte
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" || slices.Contains(without, entry.Name()) {
			return err
		}
		text, err := os.ReadFile(path)
		stream = append(append(stream, "\n---\n"...), text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func manifestsOf(t *testing.T, stream []byte) []map[string]any {
	t.Helper()
	read, problems := v1alpha1.DecodeStream("stream", stream)
	if len(problems) > 0 || len(read) == 0 {
		t.Fatalf("%d documents, problems %v", len(read), problems)
	}
	var list []map[string]any
	for _, d := range read {
		list = append(list, copyOf(t, d.Content))
	}
	return list
}

// copyOf returns a copy in which every number is a float, as encoding/json has them.
func copyOf(t *testing.T, o map[string]any) map[string]any {
	t.Helper()
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var copied map[string]any
	if err := yaml.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

func nameOf(o map[string]any) string {
	metadata := below(o, "metadata")
	return fmt.Sprintf("%s %v/%v", o["kind"], metadata["namespace"], metadata["name"])
}
