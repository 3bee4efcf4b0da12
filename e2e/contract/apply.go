package contract

import (
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

const config = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {l: "1"}}, data: {a: "1", b: "2"}}`

// web is a Deployment as people write it: everything that has a default is left out.
const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: example.com/web:1
        ports: [{containerPort: 80}]
        env: [{name: A, value: "1"}]
`

func applyStatements() []statement {
	return []statement{
		{name: "creates what is absent", check: applyCreates},
		{name: "repeated writes nothing", check: applyRepeated},
		{name: "with resourceVersion 1 creates what is absent", check: applyOnceCreates},
		{name: "with resourceVersion 1 refuses what exists", check: applyOnceRefuses},
		{name: "with a stale resourceVersion conflicts", check: applyStale},
		{name: "dry run writes nothing", check: applyDryRun},
		{name: "dry run of a create shows the defaults and writes nothing", check: applyDryRunCreate},
		{name: "needs a field manager", check: applyNeedsManager},
		{name: "with managedFields is refused", check: applyManagedFields},
		{name: "of another name is refused", check: applyOtherName},
		{name: "of another kind is refused", check: applyOtherKind},
		{name: "with a uid of nothing conflicts", check: applyUID},
		{name: "as CBOR is not understood", check: applyCBOR},
		{name: "generation counts spec only", check: applyGeneration},
		{name: "annotations count for a Deployment's generation", check: applyGenerationAnnotations},
		{name: "no generation on kinds without spec", check: applyNoGeneration},
		{name: "status through the main resource is ignored", check: applyStatusIgnored},
	}
}

func applyCreates(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, config)
	if obj.GetUID() == "" || obj.GetResourceVersion() == "" || obj.GetCreationTimestamp().Time.IsZero() {
		t.Errorf("system fields are missing: %v", obj.Object["metadata"])
	}
	if obj.GetResourceVersion() == "1" {
		t.Error("an object has resource version 1")
	}
	set := applied(t, obj, manager)
	mustOwn(t, set, field("data", "a"))
	mustOwn(t, set, field("data", "b"))
	mustOwn(t, set, field("metadata", "labels", "l"))
	if len(obj.GetManagedFields()) != 1 {
		t.Errorf("got %d managers, want 1", len(obj.GetManagedFields()))
	}
}

func applyRepeated(t *testing.T, e *env) {
	for _, c := range []struct {
		reason, manifest string
		name             string
		gvr              schemaGVR
	}{
		{"without defaults", config, "c", configMaps},
		{"with defaults", web, "web", deployments},
		{"with allocated fields", `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {a: b}, ports: [{port: 80}]}}`, "s", services},
	} {
		t.Run(c.reason, func(t *testing.T) {
			first := e.apply(t, c.gvr, manager, c.manifest)
			second := e.apply(t, c.gvr, manager, c.manifest)
			if c.gvr == deployments && e.features.Controllers {
				// The controller may have written status in between.
				want(t, second, first.GetGeneration(), "metadata", "generation")
				return
			}
			if first.GetResourceVersion() != second.GetResourceVersion() {
				t.Errorf("resource version went from %s to %s", first.GetResourceVersion(), second.GetResourceVersion())
			}
		})
	}
}

func applyOnceCreates(t *testing.T, e *env) {
	obj := object(t, config)
	obj.SetResourceVersion("1")
	code := 0
	body, err := obj.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	err = e.raw(t).Patch(types.ApplyPatchType).AbsPath("/api/v1/namespaces", e.ns, "configmaps", "c").
		Param("fieldManager", manager).Body(body).Do(e.ctx).StatusCode(&code).Error()
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if code != http.StatusCreated {
		t.Errorf("got %d, want 201", code)
	}
}

func applyOnceRefuses(t *testing.T, e *env) {
	e.apply(t, configMaps, "somebody", config)
	obj := object(t, config)
	obj.SetResourceVersion("1")
	for _, force := range []bool{false, true} {
		_, err := e.in(configMaps).Apply(e.ctx, "c", obj, metav1.ApplyOptions{FieldManager: manager, Force: force})
		st := wantCode(t, err, http.StatusConflict)
		if st.Details != nil && len(st.Details.Causes) > 0 {
			t.Errorf("it reads as a conflict of fields: %+v", st.Details.Causes)
		}
	}
	if got := e.get(t, configMaps, "c").GetManagedFields(); len(got) != 1 {
		t.Errorf("a refused apply left a manager: %v", got)
	}
}

func applyStale(t *testing.T, e *env) {
	old := e.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, manager, strings.Replace(config, `a: "1"`, `a: "3"`, 1))
	obj := object(t, config)
	obj.SetResourceVersion(old.GetResourceVersion())
	_, err := e.in(configMaps).Apply(e.ctx, "c", obj, metav1.ApplyOptions{FieldManager: manager})
	wantCode(t, err, http.StatusConflict)
}

func applyDryRun(t *testing.T, e *env) {
	before := e.apply(t, configMaps, manager, config)
	out, err := e.tryApply(t, configMaps, manager, strings.Replace(config, `a: "1"`, `a: "3"`, 1), metav1.ApplyOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, "3", "data", "a")
	after := e.get(t, configMaps, "c")
	want(t, after, "1", "data", "a")
	if after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("a dry run bumped the resource version")
	}
}

func applyDryRunCreate(t *testing.T, e *env) {
	out, err := e.tryApply(t, deployments, manager, web, metav1.ApplyOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, int64(1), "spec", "replicas")
	if _, err := e.in(deployments).Get(e.ctx, "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run, get says %v", err)
	}
}

func applyNeedsManager(t *testing.T, e *env) {
	body := []byte(config)
	err := e.raw(t).Patch(types.ApplyPatchType).AbsPath("/api/v1/namespaces", e.ns, "configmaps", "c").Body(body).Do(e.ctx).Error()
	wantCode(t, err, http.StatusUnprocessableEntity)
}

func applyManagedFields(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, config)
	obj.SetResourceVersion("")
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.ApplyPatchType, mustJSON(t, obj), metav1.PatchOptions{FieldManager: manager})
	wantCode(t, err, http.StatusBadRequest)
}

func applyOtherName(t *testing.T, e *env) {
	obj := object(t, config)
	_, err := e.in(configMaps).Patch(e.ctx, "other", types.ApplyPatchType, mustJSON(t, obj), metav1.PatchOptions{FieldManager: manager})
	wantCode(t, err, http.StatusBadRequest)
}

func applyOtherKind(t *testing.T, e *env) {
	obj := object(t, strings.Replace(config, "ConfigMap", "Secret", 1))
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.ApplyPatchType, mustJSON(t, obj), metav1.PatchOptions{FieldManager: manager})
	wantCode(t, err, http.StatusBadRequest)
}

func applyUID(t *testing.T, e *env) {
	obj := object(t, config)
	obj.SetUID("11111111-2222-3333-4444-555555555555")
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.ApplyPatchType, mustJSON(t, obj), metav1.PatchOptions{FieldManager: manager})
	wantCode(t, err, http.StatusConflict)
}

func applyCBOR(t *testing.T, e *env) {
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.ApplyCBORPatchType, []byte{0xd9, 0xd9, 0xf7, 0xa0}, metav1.PatchOptions{FieldManager: manager, Force: ptr.To(true)})
	wantCode(t, err, http.StatusUnsupportedMediaType)
}

func applyGeneration(t *testing.T, e *env) {
	obj := e.apply(t, deployments, manager, web)
	want(t, obj, int64(1), "metadata", "generation")
	obj = e.apply(t, deployments, manager, strings.Replace(web, "{name: web}", "{name: web, labels: {x: z}}", 1))
	want(t, obj, int64(1), "metadata", "generation")
	obj = e.apply(t, deployments, manager, strings.Replace(web, "web:1", "web:2", 1))
	want(t, obj, int64(2), "metadata", "generation")
}

func applyGenerationAnnotations(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	obj := e.apply(t, deployments, manager, strings.Replace(web, "{name: web}", "{name: web, annotations: {x: z}}", 1))
	want(t, obj, int64(2), "metadata", "generation")
	sts := strings.NewReplacer("Deployment", "StatefulSet", "spec:\n  selector", "spec:\n  serviceName: web\n  selector").Replace(web)
	e.apply(t, statefulSets, manager, sts)
	obj = e.apply(t, statefulSets, manager, strings.Replace(sts, "{name: web}", "{name: web, annotations: {x: z}}", 1))
	want(t, obj, int64(1), "metadata", "generation")
}

func applyNoGeneration(t *testing.T, e *env) {
	want(t, e.apply(t, configMaps, manager, config), nil, "metadata", "generation")
	want(t, e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}`), nil, "metadata", "generation")
	want(t, e.apply(t, secrets, manager, `{apiVersion: v1, kind: Secret, metadata: {name: s}}`), nil, "metadata", "generation")
	for gvr, manifest := range map[schemaGVR]string{
		ingresses: `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{host: a.example.com}]}}`,
		policies:  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: i}, spec: {podSelector: {}}}`,
		budgets:   `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: i}, spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}`,
		cronJobs:  `{apiVersion: batch/v1, kind: CronJob, metadata: {name: i}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}}`,
	} {
		want(t, e.apply(t, gvr, manager, manifest), int64(1), "metadata", "generation")
	}
}

func applyStatusIgnored(t *testing.T, e *env) {
	obj := e.apply(t, deployments, manager, web+"status: {replicas: 7, observedGeneration: 9}\n")
	want(t, obj, nil, "status", "replicas")
	mustNotOwn(t, applied(t, obj, manager), field("status", "replicas"))
	mustNotOwn(t, applied(t, obj, manager), field("status"))
}
