package plan_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
	"github.com/armada-sync/armada-sync/pkg/render"
)

const oneCluster = "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: eu-1}\n"

// everything selects the kinds that a test uses, on every cluster.
func everything(kinds ...string) string {
	selectors := make([]string, 0, len(kinds))
	for _, k := range kinds {
		apiVersion, kind, _ := strings.Cut(k, " ")
		selectors = append(selectors, "{apiVersion: "+apiVersion+", kind: "+kind+"}")
	}
	return "apiVersion: armada-sync.io/v1alpha1\nkind: ClusterPropagationPolicy\nmetadata: {name: everything}\nspec: {resourceSelectors: [" +
		strings.Join(selectors, ", ") + "]}\n"
}

func manifest(apiVersion, kind, metadata string, rest ...string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: " + metadata + "\n" + strings.Join(rest, "\n") + "\n"
}

// planOf computes the plan of one source on one cluster.
func planOf(t *testing.T, o plan.Options, settings map[string]sourceSettings, docs ...string) (*plan.Plan, plan.Trees, plan.Snapshot) {
	t.Helper()
	files := []txtar.File{{Name: "head/shop/all.yaml", Data: []byte(strings.Join(docs, "---\n"))}}
	snap := loadFleet(t, []byte(oneCluster))
	trees := loadTrees(t, files, "head", settings)
	return plan.NewPlanner(o).Compute(trees, snap), trees, snap
}

func clusterPlan(t *testing.T, p *plan.Plan) plan.ClusterPlan {
	t.Helper()
	cp, err := p.ClusterPlan("eu-1")
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

func TestOperationsAreInOrder(t *testing.T) {
	kinds := []string{
		"apps/v1 Deployment", "v1 Service", "v1 ConfigMap", "rbac.authorization.k8s.io/v1 ClusterRole", "networking.k8s.io/v1 Ingress",
		"apiextensions.k8s.io/v1 CustomResourceDefinition", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration",
		"example.com/v1 Widget", "v1 ServiceAccount",
	}
	docs := []string{
		everything(kinds...),
		manifest("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "{name: hook}"),
		manifest("example.com/v1", "Widget", "{name: w, namespace: shop}"),
		manifest("apps/v1", "Deployment", "{name: web, namespace: shop}", "spec: {template: {spec: {containers: []}}}"),
		manifest("networking.k8s.io/v1", "Ingress", "{name: web, namespace: shop}"),
		manifest("v1", "Service", "{name: web, namespace: shop}"),
		manifest("v1", "ConfigMap", "{name: late, namespace: shop, annotations: {armada-sync.io/wave: \"1\"}}"),
		manifest("v1", "ConfigMap", "{name: early, namespace: shop, annotations: {armada-sync.io/wave: \"-1\"}}"),
		manifest("v1", "ServiceAccount", "{name: web, namespace: shop}"),
		manifest("rbac.authorization.k8s.io/v1", "ClusterRole", "{name: web}"),
		manifest("v1", "Namespace", "{name: shop}"),
		manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", "{name: widgets.example.com}",
			"spec: {group: example.com, scope: Namespaced, names: {kind: Widget, plural: widgets}, versions: []}"),
	}
	p, trees, snap := planOf(t, plan.Options{}, nil, docs...)
	want := []string{
		"ConfigMap shop/early", "CustomResourceDefinition widgets.example.com", "Namespace shop", "ClusterRole web",
		"ServiceAccount shop/web", "Service shop/web", "Deployment shop/web", "Widget shop/w", "Ingress shop/web",
		"ValidatingWebhookConfiguration hook", "ConfigMap shop/late",
	}
	if diff := gocmp.Diff(want, names(clusterPlan(t, p))); diff != "" {
		t.Errorf("applied in another order (-want +got):\n%s", diff)
	}

	// Removal goes the other way, but what leads traffic to the rest goes first. Of the waves of what
	// is gone from Git nothing is known.
	held := plan.NextSnapshot(p, snap)
	for h := range held.Members["eu-1"].Objects.All() {
		h.SetDetail(func(d *plan.HeldDetails) { d.Prune = "confirm" })
	}
	trees[0].Objects, trees[0].AllowPrune = nil, trees[0].Revision
	want = []string{
		"Ingress shop/web", "Service shop/web", "ValidatingWebhookConfiguration hook", "Widget shop/w",
		"Deployment shop/web", "ConfigMap shop/early", "ConfigMap shop/late", "ServiceAccount shop/web", "ClusterRole web",
		"Namespace shop", "CustomResourceDefinition widgets.example.com",
	}
	if diff := gocmp.Diff(want, names(clusterPlan(t, plan.Compute(trees, held)))); diff != "" {
		t.Errorf("removed in another order (-want +got):\n%s", diff)
	}
}

func names(cp plan.ClusterPlan) []string {
	var all []string
	for _, op := range cp.Operations {
		all = append(all, op.String())
	}
	return all
}

func TestOperationCarriesWhatTheExecutorNeeds(t *testing.T) {
	settings := map[string]sourceSettings{"shop": {
		Tenant:      &v1alpha1.Tenant{ServiceAccount: "tenants/shop"},
		IgnoreDrift: []v1alpha1.IgnoreRule{{Target: &v1alpha1.ResourceSelector{APIVersion: "v1", Kind: "ConfigMap"}, Paths: []string{"/data/theirs", "/data/missing"}}},
	}}
	docs := []string{
		everything("v1 ConfigMap", "apps/v1 Deployment") + "  \n",
		manifest("v1", "ConfigMap", "{name: a, namespace: shop, annotations: {armada-sync.io/wave: \"2\"}}", "data: {ours: x, theirs: z}"),
		manifest("v1", "ConfigMap", "{name: b, namespace: shop, annotations: {config.kubernetes.io/depends-on: /namespaces/shop/ConfigMap/a}}", "data: {ours: x}"),
	}
	docs[0] = strings.Replace(docs[0], "spec: {", "spec: {conflictResolution: Overwrite, ", 1)
	p, trees, snap := planOf(t, plan.Options{}, settings, docs...)
	cp := clusterPlan(t, p)
	a, b := operationNamed(t, cp, "a"), operationNamed(t, cp, "b")
	if !a.Adopt || a.Identity != "tenants/shop" || a.Wave != 2 || a.Source != "shop" {
		t.Errorf("operation %+v", a)
	}
	if diff := gocmp.Diff([]string{"/data/theirs"}, a.OnCreateOnly); diff != "" {
		t.Errorf("fields that are sent with a create alone: %s", diff)
	}
	if !a.Unowned || b.Unowned {
		t.Errorf("a field that a rule leaves to anyone is kept by the hand-over manager: %+v", a)
	}
	if v, _, _ := unstructured.NestedString(a.Manifest.Object, "data", "theirs"); v != "z" {
		t.Errorf("the manifest of a create lacks a field that is sent with it: %v", a.Manifest.Object)
	}
	if len(b.DependsOn) != 1 || b.DependsOn[0].Name != "a" || b.Gate.Kind() != v1alpha1.GateDependsOn {
		t.Errorf("operation %+v", b)
	}

	// Their value is not ours to compare once the object is there, and ours is.
	next := plan.NextSnapshot(p, snap)
	trees[0].Objects[0] = changed(trees[0].Objects[0], "theirs", "other")
	if got := actionOf(plan.Compute(trees, next), "a"); got != v1alpha1.ActionUnchanged {
		t.Errorf("a change of an ignored field gives %s", got)
	}
	trees[0].Objects[0] = changed(trees[0].Objects[0], "ours", "other")
	if got := actionOf(plan.Compute(trees, next), "a"); got != v1alpha1.ActionConfigure {
		t.Errorf("a change of our field gives %s", got)
	}
}

func changed(o render.Object, key, value string) render.Object {
	u := o.DeepCopy()
	if err := unstructured.SetNestedField(u.Object, value, "data", key); err != nil {
		panic(err)
	}
	o.Unstructured, o.ContentDigest = u, render.Digest(u)
	return o
}

func operationNamed(t *testing.T, cp plan.ClusterPlan, name string) plan.Operation {
	t.Helper()
	i := slices.IndexFunc(cp.Operations, func(o plan.Operation) bool { return o.Name == name })
	if i < 0 {
		t.Fatalf("no operation on %q", name)
	}
	return cp.Operations[i]
}

func actionOf(p *plan.Plan, name string) v1alpha1.Action {
	for _, ch := range p.Changes("eu-1") {
		if ch.Name == name {
			return ch.Action
		}
	}
	return ""
}

func TestDividedJob(t *testing.T) {
	files := []txtar.File{{Name: "head/shop/all.yaml", Data: []byte(manifest("batch/v1", "Job", "{name: j, namespace: shop}",
		"spec: {parallelism: 3, completions: 7, template: {spec: {containers: []}}}") + "---\n" +
		strings.Replace(everything("batch/v1 Job"), "spec: {", "spec: {placement: {replicaScheduling: {replicaSchedulingType: Divided}}, ", 1))}}
	snap := loadFleet(t, []byte(oneCluster+"---\n"+strings.ReplaceAll(oneCluster, "eu-1", "us-1")))
	p := plan.Compute(loadTrees(t, files, "head", nil), snap)
	parallelism, completions := int64(0), int64(0)
	for _, cluster := range []string{"eu-1", "us-1"} {
		cp, err := p.ClusterPlan(cluster)
		if err != nil {
			t.Fatal(err)
		}
		spec := cp.Operations[0].Manifest.Object["spec"].(map[string]any)
		parallelism += spec["parallelism"].(int64)
		completions += spec["completions"].(int64)
		if spec["completions"].(int64) == 0 {
			t.Errorf("%s has parallelism and no completions", cluster)
		}
	}
	if parallelism != 3 || completions != 7 {
		t.Errorf("parts sum to %d and %d, want 3 and 7", parallelism, completions)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	const canary, other = "c4n4ry-value", "0ther-canary"
	secret := func(v string) string {
		return manifest("v1", "Secret", "{name: s, namespace: shop}", "stringData: {password: "+v+"}")
	}
	options := plan.Options{SecretDigest: func(u *unstructured.Unstructured) string { return "v1:hmac-" + render.Digest(u)[3:9] }}
	before, trees, snap := planOf(t, options, nil, everything("v1 Secret"), secret(canary))
	applied := plan.NextSnapshot(before, snap)

	// Equal content is unchanged by what the executor recorded, other content is not.
	planner := plan.NewPlanner(options)
	if got := actionOf(planner.Compute(trees, onlyDigests(applied)), "s"); got != v1alpha1.ActionUnchanged {
		t.Errorf("the same Secret: %s", got)
	}
	files := []txtar.File{{Name: "head/shop/all.yaml", Data: []byte(everything("v1 Secret") + "---\n" + secret(other))}}
	changedTrees := loadTrees(t, files, "head", nil)
	after := planner.Compute(changedTrees, onlyDigests(applied))
	if got := actionOf(after, "s"); got != v1alpha1.ActionConfigure {
		t.Errorf("another Secret: %s", got)
	}

	var printed bytes.Buffer
	for _, f := range plan.PlanFormats() {
		for _, p := range []*plan.Plan{before, after} {
			raw, err := f.Print(p, plan.PrintOptions{})
			if err != nil {
				t.Fatal(err)
			}
			printed.Write(raw)
		}
	}
	seen := plan.Preview(planner.Compute(trees, applied), planner.Compute(changedTrees, plan.NextSnapshot(planner.Compute(trees, applied), applied)), plan.PreviewOptions{})
	for _, f := range report.Formats() {
		parts, err := f.Print(seen, report.Options{})
		if err != nil {
			t.Fatal(err)
		}
		printed.Write(bytes.Join(parts, nil))
	}
	cp := clusterPlan(t, after)
	for i := range cp.Operations {
		if cp.Operations[i].Digest != "" {
			t.Errorf("an operation on a Secret carries digest %q", cp.Operations[i].Digest)
		}
		cp.Operations[i].Manifest = nil
		cp.Operations[i].ExpectedDigest = ""
	}
	raw, err := json.Marshal(cp)
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(raw)
	for _, value := range []string{canary, other} {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(printed.String(), form) {
				t.Errorf("%q is in the output", form)
			}
		}
	}
	for _, object := range trees[0].Objects {
		for _, digest := range []string{render.Digest(object.Unstructured), options.SecretDigest(object.Unstructured)} {
			if strings.Contains(printed.String(), strings.TrimPrefix(digest, "v1:")) {
				t.Errorf("digest %q of a Secret is in the output", digest)
			}
		}
	}
	if !strings.Contains(printed.String(), "value #1") || !strings.Contains(printed.String(), "value #2") {
		t.Error("that the value changed is not said")
	}
}

// onlyDigests is a snapshot as a shell makes it: with the digests that members carry and nothing else.
func onlyDigests(snap plan.Snapshot) plan.Snapshot {
	members := map[string]plan.Member{}
	for name, m := range snap.Members {
		var objects []*plan.Held
		for h := range m.Objects.All() {
			objects = append(objects, &plan.Held{ObjectReference: h.ObjectReference, Source: h.Source, Digest: h.Digest, Health: h.Health})
		}
		members[name] = plan.Member{Known: true, Reachable: true, Objects: plan.NewInventory(objects)}
	}
	snap.Members = members
	return snap
}

func TestReadBackPlan(t *testing.T) {
	p, _, _ := planOf(t, plan.Options{}, nil, everything("v1 ConfigMap"), manifest("v1", "ConfigMap", "{name: a, namespace: shop}"))
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back plan.Plan
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, again) {
		t.Errorf("a plan that was read back prints as\n%s\nnot\n%s", again, raw)
	}
	if _, err := back.ClusterPlan("eu-1"); !errors.Is(err, plan.ErrReadBack) {
		t.Errorf("ClusterPlan of a plan that was read back: %v", err)
	}
	if _, err := p.ClusterPlan("mars"); err == nil {
		t.Error("a cluster plan for a cluster that is not there")
	}
	if _, err := p.Rendered("eu-1", v1alpha1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nowhere"}); err == nil {
		t.Error("a rendering of an object that is not there")
	}
}

func TestFindingKinds(t *testing.T) {
	kinds := plan.FindingKinds()
	if !slices.IsSortedFunc(kinds, func(a, b plan.FindingKind) int { return cmp.Compare(a.ID, b.ID) }) {
		t.Error("the table is not sorted by id")
	}
	for _, k := range kinds {
		if k.Severity.Rank() == 0 || !strings.HasSuffix(k.Sentence, ".") {
			t.Errorf("%+v", k)
		}
	}
}

func TestSeverityOfConfig(t *testing.T) {
	files := []txtar.File{{Name: "head/shop/all.yaml", Data: []byte(manifest("v1", "ConfigMap", "{name: a, namespace: shop}"))}}
	for severity, want := range map[string]int{"": 2, "blocker": 3, "info": 1, "off": 0} {
		snap := loadFleet(t, []byte(oneCluster))
		if severity != "" {
			snap.Config.Plan.Severity = map[string]string{plan.Unclaimed: severity}
		}
		if got := plan.Compute(loadTrees(t, files, "head", nil), snap).Worst(); got != want {
			t.Errorf("severity %q gives rank %d, want %d", severity, got, want)
		}
	}
}

// TestPlansAreSharedBetweenGoroutines: workers render their parts while the next plan is computed.
func TestPlansAreSharedBetweenGoroutines(t *testing.T) {
	trees, snap := large(20, "1"), fleetOf(8)
	planner := plan.NewPlanner(plan.Options{})
	p := planner.Compute(trees, snap)
	var workers sync.WaitGroup
	for _, c := range snap.Clusters {
		workers.Go(func() {
			cp, err := p.ClusterPlan(c.Name)
			if err != nil {
				t.Error(err)
				return
			}
			desired := p.Desired(c.Name)
			for _, op := range cp.Operations {
				if u, ok := desired(op.Key()); !ok || u.GetName() != op.Name {
					t.Errorf("%s is not desired on %s", op.ObjectReference, c.Name)
				}
			}
		})
	}
	for range 3 {
		snap = plan.NextSnapshot(planner.Compute(trees, snap), snap)
	}
	workers.Wait()
}
