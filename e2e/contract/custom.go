package contract

import (
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

func customStatements() []statement {
	return []statement{
		{name: "a definition is established and served", check: customLife},
		{name: "list keys of the schema count in an apply", check: customListKeys},
		{name: "defaults, pruning and strictness", check: customSchema},
		{name: "faults are 422", check: customFaults},
		{name: "status and scale", check: customSubresources},
		{name: "two versions are one object", check: customVersions},
		{name: "strategic merge patch is not understood", check: customStrategic},
		{name: "PUT needs a resourceVersion", check: customUpdate},
		{name: "a definition takes its objects along", check: customCascade},
		{name: "an invalid definition is 422", check: customInvalid},
		{name: "a schema without keys makes lists atomic", check: customAtomic},
	}
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.contract.armada-sync.io}
spec:
  group: contract.armada-sync.io
  scope: Namespaced
  names: {plural: PLURAL, singular: SINGULAR, kind: KIND, listKind: KINDList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema: &schema
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 3, minimum: 1}
              replicas: {type: integer}
              plain: {type: array, items: {type: string}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, value: {type: string}, kind: {type: string, default: std}}
          status: {type: object, properties: {replicas: {type: integer}, phase: {type: string}}}
  - name: v2
    served: true
    storage: false
    schema: *schema
`

// define creates a definition of its own for a statement and waits until it is
// served. The names come from a word in lower case.
func (e *env) define(t *testing.T, word string) schemaGVR {
	t.Helper()
	manifest := strings.NewReplacer("PLURAL", word+"s", "SINGULAR", word, "KIND", strings.ToUpper(word[:1])+word[1:]).Replace(definition)
	crd := object(t, manifest)
	if _, err := e.dynamic.Resource(crds).Apply(e.ctx, crd.GetName(), crd, metav1.ApplyOptions{FieldManager: manager}); err != nil {
		t.Fatalf("apply definition: %v", err)
	}
	t.Cleanup(func() { e.undefine(crd.GetName()) })
	e.eventually(t, "the definition is established", func() bool { return e.established(crd.GetName()) })
	gvr := schemaGVR{Group: "contract.armada-sync.io", Version: "v1", Resource: word + "s"}
	e.eventually(t, "the kind is served", func() bool {
		_, err := e.in(gvr).List(e.ctx, metav1.ListOptions{})
		return err == nil
	})
	return gvr
}

func (e *env) established(name string) bool {
	crd, err := e.dynamic.Resource(crds).Get(e.ctx, name, metav1.GetOptions{})
	if err != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}

func customLife(t *testing.T, e *env) {
	gvr := e.define(t, "life")
	obj := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Life, metadata: {name: a}, spec: {size: 4}}`)
	want(t, obj, int64(1), "metadata", "generation")
	mustOwn(t, applied(t, obj, manager), field("spec", "size"))
	again := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Life, metadata: {name: a}, spec: {size: 4}}`)
	if again.GetResourceVersion() != obj.GetResourceVersion() {
		t.Error("a repeated apply writes")
	}
	crd, err := e.dynamic.Resource(crds).Get(e.ctx, "lifes.contract.armada-sync.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, crd, "Life", "status", "acceptedNames", "kind")
	want(t, crd, int64(1), "metadata", "generation")
}

func customListKeys(t *testing.T, e *env) {
	gvr := e.define(t, "listkey")
	e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Listkey, metadata: {name: a}, spec: {parts: [{name: x, value: "1"}]}}`)
	obj := e.apply(t, gvr, "other", `{apiVersion: contract.armada-sync.io/v1, kind: Listkey, metadata: {name: a}, spec: {parts: [{name: q, value: "2"}]}}`)
	parts, _, _ := unstructured.NestedSlice(obj.Object, "spec", "parts")
	if len(parts) != 2 {
		t.Fatalf("parts = %v, want both", parts)
	}
	want(t, &unstructured.Unstructured{Object: parts[1].(map[string]any)}, "std", "kind")
	mustOwn(t, applied(t, obj, "other"), field("spec", "parts", fieldpath.KeyByFields("name", "q"), "value"))
	mustNotOwn(t, applied(t, obj, "other"), field("spec", "parts", fieldpath.KeyByFields("name", "x"), "value"))
	_, err := e.tryApply(t, gvr, "third", `{apiVersion: contract.armada-sync.io/v1, kind: Listkey, metadata: {name: a}, spec: {parts: [{name: x, value: "9"}]}}`, metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusConflict)
	wantCause(t, st, metav1.CauseTypeFieldManagerConflict, `.spec.parts[name="x"].value`)
	_, err = e.tryApply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Listkey, metadata: {name: b}, spec: {parts: [{name: x}, {name: x}]}}`, metav1.ApplyOptions{})
	wantCode(t, err, http.StatusInternalServerError)
}

func customSchema(t *testing.T, e *env) {
	gvr := e.define(t, "pruned")
	obj, err := e.in(gvr).Create(e.ctx, object(t, `{apiVersion: contract.armada-sync.io/v1, kind: Pruned, metadata: {name: a}, spec: {unknown: 1}}`), metav1.CreateOptions{FieldValidation: "Ignore"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, nil, "spec", "unknown")
	want(t, obj, int64(3), "spec", "size")
	_, err = e.in(gvr).Create(e.ctx, object(t, `{apiVersion: contract.armada-sync.io/v1, kind: Pruned, metadata: {name: b}, spec: {unknown: 1}}`), metav1.CreateOptions{FieldValidation: "Strict"})
	st := wantCode(t, err, http.StatusBadRequest)
	if !strings.Contains(st.Message, `unknown field "spec.unknown"`) {
		t.Errorf("message: %s", st.Message)
	}
	_, err = e.tryApply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Pruned, metadata: {name: c}, spec: {unknown: 1}}`, metav1.ApplyOptions{})
	st = wantCode(t, err, http.StatusInternalServerError)
	if !strings.Contains(st.Message, "field not declared in schema") {
		t.Errorf("message: %s", st.Message)
	}
}

func customFaults(t *testing.T, e *env) {
	gvr := e.define(t, "fault")
	_, err := e.tryApply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Fault, metadata: {name: a}, spec: {size: 0}}`, metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusUnprocessableEntity)
	wantCause(t, st, metav1.CauseTypeFieldValueInvalid, "spec.size")
	_, err = e.in(gvr).Create(e.ctx, object(t, `{apiVersion: contract.armada-sync.io/v1, kind: Fault, metadata: {name: a}, spec: {size: big}}`), metav1.CreateOptions{})
	st = wantCode(t, err, http.StatusUnprocessableEntity)
	wantCause(t, st, metav1.CauseTypeTypeInvalid, "spec.size")
}

func customSubresources(t *testing.T, e *env) {
	gvr := e.define(t, "sub")
	obj := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Sub, metadata: {name: a}, spec: {replicas: 2}, status: {phase: Mine}}`)
	want(t, obj, nil, "status", "phase")
	obj, err := e.in(gvr).Patch(e.ctx, "a", types.MergePatchType, []byte(`{"spec":{"size":9},"status":{"phase":"Good","replicas":2}}`), metav1.PatchOptions{FieldManager: "ctl"}, "status")
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "Good", "status", "phase")
	want(t, obj, int64(3), "spec", "size")
	want(t, obj, int64(1), "metadata", "generation")
	mustOwn(t, owned(t, obj, "ctl", metav1.ManagedFieldsOperationUpdate, "status"), field("status", "phase"))
	scale, err := e.in(gvr).Patch(e.ctx, "a", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{FieldManager: "scaler"}, "scale")
	if err != nil {
		t.Fatal(err)
	}
	want(t, scale, int64(5), "spec", "replicas")
	want(t, scale, int64(2), "status", "replicas")
	obj = e.get(t, gvr, "a")
	want(t, obj, int64(5), "spec", "replicas")
	mustNotOwn(t, applied(t, obj, manager), field("spec", "replicas"))
}

func customVersions(t *testing.T, e *env) {
	gvr := e.define(t, "versioned")
	obj := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Versioned, metadata: {name: a}, spec: {size: 4}}`)
	v2 := gvr
	v2.Version = "v2"
	other := e.get(t, v2, "a")
	want(t, other, "contract.armada-sync.io/v2", "apiVersion")
	if other.GetUID() != obj.GetUID() || other.GetResourceVersion() != obj.GetResourceVersion() {
		t.Error("the versions are two objects")
	}
	changed := e.apply(t, v2, "second", `{apiVersion: contract.armada-sync.io/v2, kind: Versioned, metadata: {name: a}, spec: {replicas: 1}}`)
	want(t, changed, "contract.armada-sync.io/v2", "apiVersion")
	want(t, e.get(t, gvr, "a"), "contract.armada-sync.io/v1", "apiVersion")
	list, err := e.in(v2).List(e.ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].GetAPIVersion() != "contract.armada-sync.io/v2" {
		t.Errorf("list: %v %v", list, err)
	}
}

func customStrategic(t *testing.T, e *env) {
	gvr := e.define(t, "strategic")
	e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Strategic, metadata: {name: a}}`)
	_, err := e.patch(t, gvr, "a", types.StrategicMergePatchType, `{"spec":{"size":4}}`)
	wantCode(t, err, http.StatusUnsupportedMediaType)
}

func customUpdate(t *testing.T, e *env) {
	gvr := e.define(t, "update")
	obj := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Update, metadata: {name: a}}`)
	obj.SetResourceVersion("")
	_, err := e.in(gvr).Update(e.ctx, obj, metav1.UpdateOptions{})
	st := wantCode(t, err, http.StatusUnprocessableEntity)
	wantCause(t, st, metav1.CauseTypeFieldValueInvalid, "metadata.resourceVersion")
}

func customCascade(t *testing.T, e *env) {
	gvr := e.define(t, "cascade")
	e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Cascade, metadata: {name: a}}`)
	name := "cascades.contract.armada-sync.io"
	if err := e.dynamic.Resource(crds).Delete(e.ctx, name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "the definition is gone", func() bool {
		_, err := e.dynamic.Resource(crds).Get(e.ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	e.eventually(t, "the kind is no longer served", func() bool {
		_, err := e.in(gvr).Get(e.ctx, "a", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func customInvalid(t *testing.T, e *env) {
	crd := object(t, strings.NewReplacer("PLURAL.contract", "wrongname.contract", "PLURAL", "invalids", "SINGULAR", "invalid", "KIND", "Invalid").Replace(definition))
	_, err := e.dynamic.Resource(crds).Apply(e.ctx, crd.GetName(), crd, metav1.ApplyOptions{FieldManager: manager})
	st := wantCode(t, err, http.StatusUnprocessableEntity)
	wantCause(t, st, metav1.CauseTypeFieldValueInvalid, "metadata.name")
}

func customAtomic(t *testing.T, e *env) {
	gvr := e.define(t, "atomic")
	obj := e.apply(t, gvr, manager, `{apiVersion: contract.armada-sync.io/v1, kind: Atomic, metadata: {name: a}, spec: {plain: [p, q]}}`)
	mustOwn(t, applied(t, obj, manager), field("spec", "plain"))
	_, err := e.tryApply(t, gvr, "other", `{apiVersion: contract.armada-sync.io/v1, kind: Atomic, metadata: {name: a}, spec: {plain: [p, q, r]}}`, metav1.ApplyOptions{})
	wantCode(t, err, http.StatusConflict)
}
