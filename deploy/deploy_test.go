package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/armada-sync/armada-sync/deploy"
)

// name says which object it is.
func name(o *unstructured.Unstructured) string {
	return o.GetAPIVersion() + " " + o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

func byName(objects []*unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for _, o := range objects {
		out[name(o)] = o.Object
	}
	return out
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

func objects(t *testing.T, image string) []*unstructured.Unstructured {
	t.Helper()
	out, err := deploy.Objects(image)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What init installs is what the kustomize base installs, object by object.
func TestInitInstallsTheBase(t *testing.T) {
	if diff := cmp.Diff(byName(kustomized(t, "kustomize")), byName(objects(t, ""))); diff != "" {
		t.Errorf("kustomize (-) and init (+) differ:\n%s", diff)
	}
}

// A namespace stands before what is in it and a definition before everything, so that one apply in order
// is enough.
func TestObjectsStandInOrder(t *testing.T) {
	var kinds []string
	for _, o := range objects(t, "") {
		kinds = append(kinds, o.GetKind())
	}
	kinds = slices.Compact(kinds)
	if len(kinds) < 3 || kinds[0] != "CustomResourceDefinition" || kinds[1] != "Namespace" || kinds[len(kinds)-1] != "Deployment" {
		t.Errorf("order: %v", kinds)
	}
}

func TestImageIsReplacedAlone(t *testing.T) {
	before, after := byName(objects(t, "")), byName(objects(t, "example.com/x:1"))
	if diff := cmp.Diff(before, after); !strings.Contains(diff, "example.com/x:1") || strings.Count(diff, "\n+") != 1 {
		t.Errorf("a new image changes:\n%s", diff)
	}
}

// The hub's rights are few: no wildcard, no Secrets beyond our own namespace, no impersonation.
func TestHubRightsAreNarrow(t *testing.T) {
	for _, o := range objects(t, "") {
		if k := o.GetKind(); k != "ClusterRole" && k != "Role" {
			continue
		}
		rules, _, err := unstructured.NestedSlice(o.Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			rule := r.(map[string]any)
			for _, field := range []string{"apiGroups", "resources", "verbs"} {
				list, _, _ := unstructured.NestedStringSlice(rule, field)
				for _, forbidden := range []string{"*", "impersonate", "escalate", "bind", "deletecollection"} {
					if slices.Contains(list, forbidden) {
						t.Errorf("%s grants %q in %s", name(o), forbidden, field)
					}
				}
			}
		}
	}
	for _, o := range objects(t, "") {
		if o.GetKind() != "ClusterRoleBinding" {
			continue
		}
		role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		if role != "armada-sync:controller" {
			t.Errorf("%s is bound everywhere", role)
		}
	}
}
