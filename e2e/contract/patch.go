package contract

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func patchStatements() []statement {
	return []statement{
		{name: "merge patch sets and removes", check: patchMerge},
		{name: "JSON patch tests and replaces", check: patchJSON},
		{name: "strategic merge patch merges lists by key and deletes with a directive", check: patchStrategic},
		{name: "of what is absent is not found", check: patchAbsent},
		{name: "with a stale resourceVersion conflicts", check: patchStale},
		{name: "that changes nothing writes nothing", check: patchNoop},
		{name: "dry run writes nothing", check: patchDryRun},
		{name: "of an unknown type is refused", check: patchUnknown},
		{name: "PUT with a stale resourceVersion conflicts", check: updateStale},
		{name: "PUT without a resourceVersion wins", check: updateUnconditional},
		{name: "PUT of what is absent is not found", check: updateAbsent},
		{name: "POST of what exists conflicts", check: createTwice},
		{name: "POST with generateName makes a name", check: createGenerateName},
		{name: "POST with a resourceVersion is refused", check: createResourceVersion},
	}
}

func (e *env) patch(t *testing.T, gvr schemaGVR, name string, kind types.PatchType, body string) (*unstructured.Unstructured, error) {
	t.Helper()
	return e.in(gvr).Patch(e.ctx, name, kind, []byte(body), metav1.PatchOptions{FieldManager: "hand"})
}

func patchMerge(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":null,"z":"26"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, nil, "data", "a")
	want(t, obj, "2", "data", "b")
	want(t, obj, "26", "data", "z")
}

func patchJSON(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj, err := e.patch(t, configMaps, "c", types.JSONPatchType, `[{"op":"test","path":"/data/a","value":"1"},{"op":"replace","path":"/data/a","value":"9"}]`)
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "9", "data", "a")
	_, err = e.patch(t, configMaps, "c", types.JSONPatchType, `[{"op":"test","path":"/data/a","value":"1"}]`)
	wantCode(t, err, http.StatusUnprocessableEntity)
}

func patchStrategic(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	obj, err := e.patch(t, deployments, "web", types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"B","value":"2"},{"name":"A","$patch":"delete"}]}]}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	list := env0(t, obj)
	if len(list) != 1 || list[0].(map[string]any)["name"] != "B" {
		t.Errorf("env = %v, want B only", list)
	}
}

func patchAbsent(t *testing.T, e *env) {
	_, err := e.patch(t, configMaps, "absent", types.MergePatchType, `{"data":{"a":"1"}}`)
	st := wantCode(t, err, http.StatusNotFound)
	if st.Message != `configmaps "absent" not found` {
		t.Errorf("message: %s", st.Message)
	}
}

func patchStale(t *testing.T, e *env) {
	old := e.apply(t, configMaps, manager, config)
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":"3"}}`); err != nil {
		t.Fatal(err)
	}
	_, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"metadata":{"resourceVersion":"`+old.GetResourceVersion()+`"},"data":{"a":"4"}}`)
	wantCode(t, err, http.StatusConflict)
}

func patchNoop(t *testing.T, e *env) {
	before := e.apply(t, configMaps, manager, config)
	after, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":"1"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if before.GetResourceVersion() != after.GetResourceVersion() {
		t.Error("the resource version was bumped")
	}
}

func patchDryRun(t *testing.T, e *env) {
	before := e.apply(t, configMaps, manager, config)
	obj, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{"data":{"a":"9"}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "9", "data", "a")
	if after := e.get(t, configMaps, "c"); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("a dry run wrote")
	}
}

func patchUnknown(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	_, err := e.patch(t, configMaps, "c", types.PatchType("application/x-unknown"), `{}`)
	wantCode(t, err, http.StatusUnsupportedMediaType)
}

func updateStale(t *testing.T, e *env) {
	old := e.apply(t, configMaps, manager, config)
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":"3"}}`); err != nil {
		t.Fatal(err)
	}
	_, err := e.in(configMaps).Update(e.ctx, old, metav1.UpdateOptions{})
	st := wantCode(t, err, http.StatusConflict)
	if !strings.Contains(st.Message, "the object has been modified") {
		t.Errorf("message: %s", st.Message)
	}
}

func updateUnconditional(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj := object(t, strings.Replace(config, `a: "1"`, `a: "8"`, 1))
	out, err := e.in(configMaps).Update(e.ctx, obj, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, "8", "data", "a")
}

func updateAbsent(t *testing.T, e *env) {
	_, err := e.in(configMaps).Update(e.ctx, object(t, config), metav1.UpdateOptions{})
	wantCode(t, err, http.StatusNotFound)
}

func createTwice(t *testing.T, e *env) {
	if _, err := e.in(configMaps).Create(e.ctx, object(t, config), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.in(configMaps).Create(e.ctx, object(t, config), metav1.CreateOptions{})
	st := wantCode(t, err, http.StatusConflict)
	if st.Reason != metav1.StatusReasonAlreadyExists || st.Message != `configmaps "c" already exists` {
		t.Errorf("got %s: %s", st.Reason, st.Message)
	}
}

func createGenerateName(t *testing.T, e *env) {
	obj, err := e.in(configMaps).Create(e.ctx, object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {generateName: gen-}}`), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(obj.GetName(), "gen-") || len(obj.GetName()) != len("gen-")+5 {
		t.Errorf("name = %q", obj.GetName())
	}
}

func createResourceVersion(t *testing.T, e *env) {
	obj := object(t, config)
	obj.SetResourceVersion("7")
	_, err := e.in(configMaps).Create(e.ctx, obj, metav1.CreateOptions{})
	wantCode(t, err, http.StatusInternalServerError)
}
