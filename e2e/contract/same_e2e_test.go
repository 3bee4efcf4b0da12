//go:build e2e

package contract_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestSameObjects applies, as a dry run, real manifests to a simulated and to a
// real API server and compares the answers: defaults, pruning and owned fields.
// Manifests beside the checkout are read where they are present.
func TestSameObjects(t *testing.T) {
	sim, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "sim"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	real := fleet.StartT(t, fleet.Options{Names: []string{"same"}})
	simulated, genuine := newApplier(t, sim.Cluster("sim").RESTConfig()), newApplier(t, real.Cluster("same").RESTConfig())
	for _, obj := range manifests(t, "testdata", filepath.Join("..", "..", "..", "shared", "data")) {
		t.Run(obj.GetKind()+" "+obj.GetName(), func(t *testing.T) {
			want, got := genuine.dryRun(t, obj), simulated.dryRun(t, obj)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the simulation differs (-real +simulated):\n%s", diff)
			}
		})
	}
}

// manifests reads the objects of the YAML files below some folders.
func manifests(t *testing.T, roots ...string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return nil //nolint:nilerr // A folder that is absent has no manifests.
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
			for {
				u := &unstructured.Unstructured{}
				err := decoder.Decode(&u.Object)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					t.Logf("%s is no manifest: %v", path, err)
					return nil
				}
				if u.GetKind() != "" && u.GetName() != "" && !strings.Contains(u.GetAPIVersion(), "kustomize") {
					out = append(out, u)
				}
			}
		})
	}
	return out
}

type applier struct {
	client dynamic.Interface
	mapper meta.RESTMapper
}

func newApplier(t *testing.T, cfg *rest.Config) *applier {
	t.Helper()
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(disco)
	if err != nil {
		t.Fatal(err)
	}
	return &applier{client: client, mapper: restmapper.NewDiscoveryRESTMapper(groups)}
}

// dryRun applies an object and returns the answer without what must differ, or
// the error.
func (a *applier) dryRun(t *testing.T, obj *unstructured.Unstructured) any {
	t.Helper()
	gvk := obj.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return "not served"
	}
	var target dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	obj = obj.DeepCopy()
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		obj.SetNamespace("default")
		target = a.client.Resource(mapping.Resource).Namespace("default")
	}
	out, err := target.Apply(t.Context(), obj.GetName(), obj, metav1.ApplyOptions{FieldManager: "same", DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error()
	}
	uid := string(out.GetUID())
	out.SetUID("")
	out.SetCreationTimestamp(metav1.Time{})
	managers := out.GetManagedFields()
	for i := range managers {
		managers[i].Time = nil
	}
	out.SetManagedFields(managers)
	blank(out.Object, uid)
	return out.Object
}

// blank replaces what a server makes up: addresses, node ports and its own uid.
func blank(v any, uid string) {
	m, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok {
			for _, item := range list {
				blank(item, uid)
			}
		}
		return
	}
	for k, item := range m {
		switch {
		case k == "lastPhaseTransitionTime", k == "clusterIP" && item != "None", k == "nodePort", item == uid && uid != "":
			m[k] = "made up"
		case k == "clusterIPs":
			if ips, ok := item.([]any); ok && len(ips) == 1 && ips[0] != "None" {
				m[k] = "made up"
			}
		default:
			blank(item, uid)
		}
	}
}
