package plan_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// tenantFleet has three clusters, of which two are gold.
const tenantFleet = `
{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: eu-1, labels: {tier: gold}}}
---
{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: eu-2, labels: {tier: gold}}}
---
{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: us-1, labels: {tier: silver}}}
`

// planOfTenant computes the plan for one source "shop" of some documents.
func planOfTenant(t failer, tenant *v1alpha1.Tenant, documents ...string) *plan.Plan {
	t.Helper()
	files := []txtar.File{{Name: "head/shop/a.yaml", Data: []byte(strings.Join(documents, "\n---\n"))}}
	trees := loadTrees(t, files, "head", map[string]sourceSettings{"shop": {Tenant: tenant}})
	return plan.Compute(trees, loadFleet(t, []byte(tenantFleet)))
}

func TestForbiddenClustersAreRejectedWithTheBound(t *testing.T) {
	gold := v1alpha1.ClusterAffinity{ClusterNames: []string{"eu-1"}}
	p := planOfTenant(t, &v1alpha1.Tenant{AllowedClusters: []v1alpha1.ClusterAffinity{gold}},
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}`,
		`{apiVersion: armada-sync.io/v1alpha1, kind: PropagationPolicy, metadata: {name: all, namespace: shop}, spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}}`)
	want := []placement.Rejection{{
		Filter: "ClusterAffinity", Clusters: placement.NewClusterNames("eu-2", "us-1"),
		Reason: `outside of spec.tenant.allowedClusters of source "shop": not among clusterNames (eu-1)`,
	}}
	if len(p.Placements) != 1 {
		t.Fatalf("there are %d placements", len(p.Placements))
	}
	if diff := cmp.Diff(want, p.Placements[0].Rejected); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
}

// TestABoundThatCannotBeReadAllowsNothing: a hub checks selectors, a plan made elsewhere may meet one that it
// cannot read.
func TestABoundThatCannotBeReadAllowsNothing(t *testing.T) {
	bad := v1alpha1.ClusterAffinity{FieldSelector: &v1alpha1.FieldSelector{}}
	bad.FieldSelector.MatchExpressions = append(bad.FieldSelector.MatchExpressions,
		corev1.NodeSelectorRequirement{Key: "country", Operator: corev1.NodeSelectorOpIn, Values: []string{"x"}})
	p := planOfTenant(t, &v1alpha1.Tenant{AllowedClusters: []v1alpha1.ClusterAffinity{bad}},
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}`,
		`{apiVersion: armada-sync.io/v1alpha1, kind: PropagationPolicy, metadata: {name: all, namespace: shop}, spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}}`)
	for _, c := range p.Clusters {
		if len(c.Objects) > 0 {
			t.Errorf("%s gets %v", c.Name, c.Objects)
		}
	}
	if len(p.Placements) != 1 || !strings.Contains(p.Placements[0].Error, "spec.tenant.allowedClusters") {
		t.Errorf("placements are %+v", p.Placements)
	}
}

// TestNothingOfATenantIsBeyondItsBounds compares what plans of random bounds and objects do with what a
// reader of the bounds expects.
func TestNothingOfATenantIsBeyondItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string, from ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID[string]).Draw(t, label)
		}
		tenant := &v1alpha1.Tenant{AllowedNamespaces: some("namespaces", "shop", "shop-*", "*", "bank")}
		for _, gk := range some("kinds", "v1 ConfigMap", "v1 *", "apps *", "* *", "v1 Namespace", "rbac.authorization.k8s.io ClusterRole") {
			group, kind, _ := strings.Cut(gk, " ")
			tenant.AllowedKinds = append(tenant.AllowedKinds, v1alpha1.AllowedKind{Group: strings.TrimSuffix(group, "v1"), Kind: kind})
		}
		for _, name := range some("clusters", "eu-1", "us-1") {
			tenant.AllowedClusters = append(tenant.AllowedClusters, v1alpha1.ClusterAffinity{ClusterNames: []string{name}})
		}
		var documents []string
		for _, namespace := range []string{"shop", "shop-test", "bank", "armada-system"} {
			documents = append(documents,
				fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: %s}}`, namespace),
				fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: %s}}`, namespace),
				fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, namespace))
		}
		documents = append(documents, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}}`, `
apiVersion: armada-sync.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: all}
spec:
  resourceSelectors:
  - {apiVersion: v1, kind: ConfigMap}
  - {apiVersion: v1, kind: Namespace}
  - {apiVersion: apps/v1, kind: Deployment}
  - {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole}`)
		p := planOfTenant(t, tenant, documents...)
		for _, c := range p.Clusters {
			wanted := map[string]bool{}
			for _, o := range c.Objects {
				wanted[o.String()] = o.Action == v1alpha1.ActionCreate
			}
			for _, e := range p.Placements {
				may := readerAllows(tenant, e.Workload) && readerAllowsCluster(tenant, c.Name)
				if wanted[e.Workload.String()] != may {
					t.Fatalf("%+v: %s on %s: planned %v, allowed %v", tenant, e.Workload, c.Name, wanted[e.Workload.String()], may)
				}
			}
		}
	})
}

// readerAllows is how a person reads the bounds, pattern by pattern.
func readerAllows(t *v1alpha1.Tenant, ref v1alpha1.ObjectReference) bool {
	like := func(pattern, name string) bool {
		return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(name)
	}
	namespace, clusterScoped := ref.Namespace, ref.Namespace == ""
	if ref.Kind == "Namespace" {
		namespace = ref.Name
	}
	kind := len(t.AllowedKinds) == 0 && !clusterScoped
	for _, k := range t.AllowedKinds {
		kind = kind || like(k.Group, ref.Group()) && (k.Kind == ref.Kind || k.Kind == "*" && !clusterScoped)
	}
	place := len(t.AllowedNamespaces) == 0 || namespace == ""
	for _, pattern := range t.AllowedNamespaces {
		place = place || like(pattern, namespace)
	}
	return kind && place && namespace != "armada-system"
}

func readerAllowsCluster(t *v1alpha1.Tenant, name string) bool {
	return len(t.AllowedClusters) == 0 ||
		slices.ContainsFunc(t.AllowedClusters, func(a v1alpha1.ClusterAffinity) bool { return slices.Contains(a.ClusterNames, name) })
}
