package contract

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func subresourceStatements() []statement {
	return []statement{
		{name: "scale shows and sets replicas", check: scaleSets},
		{name: "scale takes the ownership of replicas", check: scaleOwnership},
		{name: "scale refuses what is negative", check: scaleNegative},
		{name: "status changes nothing but status", check: statusOnly},
		{name: "status has a manager of its own", check: statusManager},
		{name: "status does not bump the generation", check: statusGeneration},
		{name: "status of a kind without is not found", check: statusAbsent},
	}
}

func scaleSets(t *testing.T, e *env) {
	e.apply(t, deployments, manager, strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1))
	scale, err := e.in(deployments).Get(e.ctx, "web", metav1.GetOptions{}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	want(t, scale, "Scale", "kind")
	want(t, scale, int64(2), "spec", "replicas")
	want(t, scale, "app=web", "status", "selector")
	if err := unstructured.SetNestedField(scale.Object, int64(4), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	// A controller may have written status since.
	scale.SetResourceVersion("")
	out, err := e.in(deployments).Update(e.ctx, scale, metav1.UpdateOptions{FieldManager: "scaler"}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, int64(4), "spec", "replicas")
	obj := e.get(t, deployments, "web")
	want(t, obj, int64(4), "spec", "replicas")
	want(t, obj, int64(2), "metadata", "generation")
}

func scaleOwnership(t *testing.T, e *env) {
	e.apply(t, deployments, manager, strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1))
	_, err := e.in(deployments).Patch(e.ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{FieldManager: "scaler"}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	obj := e.get(t, deployments, "web")
	mustNotOwn(t, applied(t, obj, manager), field("spec", "replicas"))
	mustOwn(t, owned(t, obj, "scaler", metav1.ManagedFieldsOperationUpdate, "scale"), field("spec", "replicas"))
	_, err = e.tryApply(t, deployments, manager, strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1), metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusConflict)
	wantCause(t, st, metav1.CauseTypeFieldManagerConflict, ".spec.replicas")
}

func scaleNegative(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	_, err := e.in(deployments).Patch(e.ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{}, "scale")
	wantCode(t, err, http.StatusUnprocessableEntity)
}

// budget has a status that no controller without pods fights over.
const budget = `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}, spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}`

func statusOnly(t *testing.T, e *env) {
	e.apply(t, ingresses, manager, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{host: a.example.com}]}}`)
	obj, err := e.in(ingresses).Patch(e.ctx, "i", types.MergePatchType,
		[]byte(`{"spec":{"ingressClassName":"x"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`), metav1.PatchOptions{FieldManager: "lb"}, "status")
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, nil, "spec", "ingressClassName")
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "loadBalancer", "ingress")
	if len(list) != 1 {
		t.Errorf("status = %v", obj.Object["status"])
	}
	// Through the main resource status stays.
	obj, err = e.patch(t, ingresses, "i", types.MergePatchType, `{"spec":{"ingressClassName":"y"},"status":{"loadBalancer":null}}`)
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "y", "spec", "ingressClassName")
	if list, _, _ := unstructured.NestedSlice(obj.Object, "status", "loadBalancer", "ingress"); len(list) != 1 {
		t.Errorf("status = %v", obj.Object["status"])
	}
}

func statusManager(t *testing.T, e *env) {
	e.apply(t, ingresses, manager, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{host: a.example.com}]}}`)
	obj, err := e.in(ingresses).Patch(e.ctx, "i", types.MergePatchType,
		[]byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`), metav1.PatchOptions{FieldManager: manager}, "status")
	if err != nil {
		t.Fatal(err)
	}
	mustOwn(t, owned(t, obj, manager, metav1.ManagedFieldsOperationUpdate, "status"), field("status", "loadBalancer", "ingress"))
	mustNotOwn(t, applied(t, obj, manager), field("status", "loadBalancer", "ingress"))
}

func statusGeneration(t *testing.T, e *env) {
	e.apply(t, budgets, manager, budget)
	obj, err := e.in(budgets).Patch(e.ctx, "b", types.MergePatchType, []byte(`{"status":{"expectedPods":7}}`), metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, int64(1), "metadata", "generation")
}

func statusAbsent(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}, "status")
	wantCode(t, err, http.StatusNotFound)
}
