package contract

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func ownershipStatements() []statement {
	return []statement{
		{name: "another value of somebody's field conflicts", check: ownershipConflict},
		{name: "the same value is owned together", check: ownershipShared},
		{name: "force takes the field", check: ownershipForce},
		{name: "a foreign edit takes the field out of our set", check: ownershipForeignEdit},
		{name: "a foreign edit of a field that we do not own leaves our set alone", check: ownershipForeignOther},
		{name: "dropping a field that only we own removes it", check: ownershipDrop},
		{name: "dropping a field with a default resets it", check: ownershipDropDefault},
		{name: "dropping a field that another owns keeps it", check: ownershipDropShared},
		{name: "a handover keeps the live value", check: ownershipHandover},
		{name: "an update owns what it changes", check: ownershipUpdate},
		{name: "the manager of an update is the user agent", check: ownershipUserAgent},
		{name: "applying nothing gives everything up", check: ownershipGiveUp},
		{name: "removing a label of ours shows in our set", check: ownershipLabel},
		{name: "stringData is folded into data and owned as stringData", check: ownershipStringData},
	}
}

func ownershipConflict(t *testing.T, e *env) {
	e.apply(t, configMaps, "first", config)
	_, err := e.tryApply(t, configMaps, "second", strings.Replace(config, `a: "1"`, `a: "9"`, 1), metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusConflict)
	wantCause(t, st, metav1.CauseTypeFieldManagerConflict, ".data.a")
	if !strings.Contains(st.Message, `conflict with "first"`) {
		t.Errorf("the message does not name the owner: %s", st.Message)
	}
	want(t, e.get(t, configMaps, "c"), "1", "data", "a")
}

func ownershipShared(t *testing.T, e *env) {
	e.apply(t, configMaps, "first", config)
	obj := e.apply(t, configMaps, "second", config)
	mustOwn(t, applied(t, obj, "first"), field("data", "a"))
	mustOwn(t, applied(t, obj, "second"), field("data", "a"))
	_, err := e.tryApply(t, configMaps, "second", strings.Replace(config, `a: "1"`, `a: "9"`, 1), metav1.ApplyOptions{})
	wantCode(t, err, http.StatusConflict)
}

func ownershipForce(t *testing.T, e *env) {
	e.apply(t, configMaps, "first", config)
	obj, err := e.tryApply(t, configMaps, "second", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "9"}}`, metav1.ApplyOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "9", "data", "a")
	mustOwn(t, applied(t, obj, "second"), field("data", "a"))
	mustNotOwn(t, applied(t, obj, "first"), field("data", "a"))
	mustOwn(t, applied(t, obj, "first"), field("data", "b"))
}

func ownershipForeignEdit(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{"data":{"a":"hand"}}`), metav1.PatchOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	mustNotOwn(t, applied(t, obj, manager), field("data", "a"))
	mustOwn(t, applied(t, obj, manager), field("data", "b"))
	mustOwn(t, owned(t, obj, "hand", metav1.ManagedFieldsOperationUpdate, ""), field("data", "a"))
	// Put back by force, it is ours alone again.
	obj, err = e.tryApply(t, configMaps, manager, config, metav1.ApplyOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, obj, "1", "data", "a")
	mustOwn(t, applied(t, obj, manager), field("data", "a"))
	mustNotOwn(t, owned(t, obj, "hand", metav1.ManagedFieldsOperationUpdate, ""), field("data", "a"))
}

func ownershipForeignOther(t *testing.T, e *env) {
	before := applied(t, e.apply(t, configMaps, manager, config), manager)
	obj, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{"data":{"z":"hand"}}`), metav1.PatchOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	if after := applied(t, obj, manager); !after.Equals(before) {
		t.Errorf("our set changed from\n%s to\n%s", before, after)
	}
}

func ownershipDrop(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "1"}}`)
	want(t, obj, nil, "data", "b")
	want(t, obj, nil, "metadata", "labels", "l")
}

func ownershipDropDefault(t *testing.T, e *env) {
	e.apply(t, deployments, manager, strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 5\n  selector", 1))
	want(t, e.apply(t, deployments, manager, web), int64(1), "spec", "replicas")
}

func ownershipDropShared(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, "other", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: "2"}}`)
	obj := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "1"}}`)
	want(t, obj, "2", "data", "b")
	mustNotOwn(t, applied(t, obj, manager), field("data", "b"))
}

func ownershipHandover(t *testing.T, e *env) {
	five := strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: 5\n  selector", 1)
	e.apply(t, deployments, manager, five)
	e.apply(t, deployments, "handover", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 5}}`)
	want(t, e.apply(t, deployments, manager, web), int64(5), "spec", "replicas")
}

func ownershipUpdate(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, config)
	obj.Object["data"] = map[string]any{"a": "1", "b": "hand"}
	obj, err := e.in(configMaps).Update(e.ctx, obj, metav1.UpdateOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	set := owned(t, obj, "hand", metav1.ManagedFieldsOperationUpdate, "")
	mustOwn(t, set, field("data", "b"))
	mustNotOwn(t, set, field("data", "a"))
	mustNotOwn(t, applied(t, obj, manager), field("data", "b"))
}

func ownershipUserAgent(t *testing.T, e *env) {
	body := []byte(config)
	err := e.raw(t).Post().AbsPath("/api/v1/namespaces", e.ns, "configmaps").SetHeader("User-Agent", "agent/v1 (x)").
		SetHeader("Content-Type", "application/yaml").Body(body).Do(e.ctx).Error()
	if err != nil {
		t.Fatal(err)
	}
	mustOwn(t, owned(t, e.get(t, configMaps, "c"), "agent", metav1.ManagedFieldsOperationUpdate, ""), field("data", "a"))
}

func ownershipGiveUp(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`)
	want(t, obj, nil, "data", "a")
	if set := applied(t, obj, manager); !set.Empty() {
		t.Errorf("still owned:\n%s", set)
	}
}

func ownershipLabel(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{"metadata":{"labels":{"l":null}}}`), metav1.PatchOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	mustNotOwn(t, applied(t, obj, manager), field("metadata", "labels", "l"))
	mustOwn(t, applied(t, obj, manager), field("data", "a"))
}

func ownershipStringData(t *testing.T, e *env) {
	obj := e.apply(t, secrets, manager, `{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: hello}}`)
	want(t, obj, "aGVsbG8=", "data", "a")
	want(t, obj, nil, "stringData")
	want(t, obj, "Opaque", "type")
	set := applied(t, obj, manager)
	mustOwn(t, set, field("stringData", "a"))
	mustNotOwn(t, set, field("data", "a"))
	// So an edit of data is invisible in our set.
	obj, err := e.in(secrets).Patch(e.ctx, "s", types.MergePatchType, []byte(`{"data":{"a":"Ynll"}}`), metav1.PatchOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	if after := applied(t, obj, manager); !after.Equals(set) {
		t.Errorf("our set is\n%s", after)
	}
	// data, on the other hand, is owned as such.
	obj = e.apply(t, secrets, manager, `{apiVersion: v1, kind: Secret, metadata: {name: d}, data: {a: aGVsbG8=}}`)
	mustOwn(t, applied(t, obj, manager), field("data", "a"))
}
