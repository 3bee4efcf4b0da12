package contract

import (
	"context"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func discoveryStatements() []statement {
	return []statement{
		{name: "health and version", check: discoveryHealth},
		{name: "built-in kinds", check: discoveryBuiltin},
		{name: "a custom kind appears", check: discoveryCustom},
		{name: "tells that patches validate fields", check: discoveryOpenAPI},
	}
}

// undefine removes a definition after its statement.
func (e *env) undefine(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = e.dynamic.Resource(crds).Delete(ctx, name, metav1.DeleteOptions{})
}

func discoveryHealth(t *testing.T, e *env) {
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		body, err := e.raw(t).Get().AbsPath(path).Do(e.ctx).Raw()
		if err != nil || string(body) != "ok" {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
	v, err := e.disco.ServerVersion()
	if err != nil || v.Major == "" || v.GitVersion == "" {
		t.Errorf("version: %v, %v", v, err)
	}
}

func discoveryBuiltin(t *testing.T, e *env) {
	_, lists, err := e.disco.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		groupVersion, name, kind string
		namespaced               bool
	}{
		{"v1", "configmaps", "ConfigMap", true}, {"v1", "namespaces", "Namespace", false}, {"v1", "services/status", "Service", true},
		{"apps/v1", "deployments", "Deployment", true}, {"apps/v1", "deployments/scale", "Scale", true},
		{"batch/v1", "cronjobs", "CronJob", true}, {"autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true},
		{"networking.k8s.io/v1", "ingresses", "Ingress", true}, {"policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", true},
		{"rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", false}, {"storage.k8s.io/v1", "storageclasses", "StorageClass", false},
		{"scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", false}, {"coordination.k8s.io/v1", "leases", "Lease", true},
		{"discovery.k8s.io/v1", "endpointslices", "EndpointSlice", true},
		{"apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", false},
		{"admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false},
	} {
		row := find(lists, c.groupVersion, c.name)
		switch {
		case row == nil:
			t.Errorf("%s %s is not listed", c.groupVersion, c.name)
		case row.Kind != c.kind || row.Namespaced != c.namespaced:
			t.Errorf("%s %s: kind %s, namespaced %v", c.groupVersion, c.name, row.Kind, row.Namespaced)
		case !slices.Contains(row.Verbs, "patch"):
			t.Errorf("%s %s: verbs %v", c.groupVersion, c.name, row.Verbs)
		}
	}
	if row := find(lists, "apps/v1", "deployments"); row == nil || !slices.Contains(row.ShortNames, "deploy") || !slices.Contains(row.Categories, "all") || row.SingularName != "deployment" {
		t.Errorf("deployments: %+v", row)
	}
}

func find(lists []*metav1.APIResourceList, groupVersion, name string) *metav1.APIResource {
	for _, l := range lists {
		for i := range l.APIResources {
			if l.GroupVersion == groupVersion && l.APIResources[i].Name == name {
				return &l.APIResources[i]
			}
		}
	}
	return nil
}

func discoveryCustom(t *testing.T, e *env) {
	gvr := e.define(t, "seen")
	e.eventually(t, "discovery lists the kind", func() bool {
		_, lists, err := e.disco.ServerGroupsAndResources()
		return err == nil && find(lists, gvr.GroupVersion().String(), "seens") != nil && find(lists, gvr.GroupVersion().String(), "seens/status") != nil
	})
	list, err := e.disco.ServerResourcesForGroupVersion("contract.armada-sync.io/v2")
	if err != nil || find([]*metav1.APIResourceList{list}, "contract.armada-sync.io/v2", "seens") == nil {
		t.Errorf("v2: %v, %v", list, err)
	}
}

func discoveryOpenAPI(t *testing.T, e *env) {
	paths, err := e.disco.OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := paths["apis/apps/v1"].Schema("application/json")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(slices.Collect(words(string(doc))), "fieldValidation") {
		t.Error("no parameter fieldValidation")
	}
}

// words yields what stands between quotes.
func words(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := -1
		for i := range len(s) {
			if s[i] != '"' {
				continue
			}
			if start >= 0 && !yield(s[start:i]) {
				return
			}
			start = i + 1
		}
	}
}
