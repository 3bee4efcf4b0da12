//go:build e2e

package install_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/armada-sync/armada-sync/deploy"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// sameObjects renders the base and the chart, compares them object by object, and has the real API server
// say that applying either would be nothing new.
func (s *installation) sameObjects(t *testing.T) {
	base := kustomized(t, "../../deploy/kustomize")
	charted := s.charted(t, "--set namespace.create=true")
	if diff := cmp.Diff(byName(base), byName(charted)); diff != "" {
		t.Errorf("kustomize (-) and helm (+) differ:\n%s", diff)
	}
	withPolicy := s.charted(t, "--set networkPolicy.enabled=true --set replicas=3 --set image.tag=v9")
	if got := byName(withPolicy); got["NetworkPolicy armada-system/armada-sync"] == nil || got["Namespace /armada-system"] != nil {
		t.Errorf("the values namespace.create and networkPolicy.enabled are not followed")
	}
	s.mustFail(t, s.helm(t, "elsewhere", ""), 1, "armada-system")
	s.mustFail(t, s.helm(t, "armada-system", "--set replica=3"), 1, "replica")

	hub, err := register.Connect(s.hub.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	printed, err := deploy.Objects("registry.example.com/armada-sync:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		objects []*unstructured.Unstructured
	}{{"printed", printed}, {"base", base}, {"chart", charted}, {"chart with a network policy", withPolicy}} {
		err := hub.Apply(t.Context(), c.objects, true, func(w register.Written) {
			if c.name == "printed" && w.Outcome != register.Unchanged {
				t.Errorf("%s: %s, though it is installed", c.name, w)
			}
		})
		if err != nil {
			t.Errorf("%s: the API server refuses it: %v", c.name, err)
		}
	}
}

// helm is the command that renders the chart.
func (s *installation) helm(t *testing.T, namespace, flags string) string {
	t.Helper()
	return "helm template armada-sync " + repositoryRoot(t) + "/deploy/chart --namespace " + namespace + " " + flags
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// charted renders the chart, without the annotation by which Helm keeps definitions when it uninstalls.
func (s *installation) charted(t *testing.T, flags string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Decode(nil, []byte(s.mustRun(t, s.helm(t, "armada-system", flags))))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		annotations := o.GetAnnotations()
		if kept := annotations["helm.sh/resource-policy"] == "keep"; kept != (o.GetKind() == "CustomResourceDefinition") {
			t.Errorf("%s %s: keep is %v", o.GetKind(), o.GetName(), kept)
		}
		delete(annotations, "helm.sh/resource-policy")
		if annotations != nil {
			o.SetAnnotations(annotations)
		}
	}
	return objects
}

func kustomized(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := deploy.Decode(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func byName(objects []*unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for _, o := range objects {
		out[strings.Join([]string{o.GetKind(), o.GetNamespace() + "/" + o.GetName()}, " ")] = o.Object
	}
	return out
}
