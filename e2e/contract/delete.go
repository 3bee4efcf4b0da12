package contract

import (
	"fmt"
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func deleteStatements() []statement {
	return []statement{
		{name: "removes", check: deleteRemoves},
		{name: "with a wrong uid conflicts", check: deleteWrongUID},
		{name: "with a stale resourceVersion conflicts", check: deleteStale},
		{name: "with right preconditions removes", check: deletePreconditions},
		{name: "dry run removes nothing", check: deleteDryRun},
		{name: "waits for finalizers", check: deleteFinalizers},
		{name: "an object in deletion takes no new finalizers", check: deleteNoNewFinalizers},
		{name: "an object in deletion can be applied, not created", check: deleteThenApply},
		{name: "bumps the generation while it waits", check: deleteGeneration},
		{name: "foreground puts a finalizer first", check: deleteForeground},
		{name: "of a collection takes what is selected", check: deleteCollection},
		{name: "takes dependents along", controllers: true, check: deleteDependents},
		{name: "orphans dependents when asked to", controllers: true, check: deleteOrphan},
		{name: "of a claim waits for its protection only", controllers: true, check: deleteClaim},
		{name: "a dependent of nothing goes", controllers: true, check: deleteAbsentOwner},
	}
}

func (e *env) absent(gvr schemaGVR, name string) bool {
	_, err := e.in(gvr).Get(e.ctx, name, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

func deleteRemoves(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if !e.absent(configMaps, "c") {
		t.Error("it is still there")
	}
	wantCode(t, e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}), http.StatusNotFound)
}

func deleteWrongUID(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr.To(types.UID("nobody"))}})
	wantCode(t, err, http.StatusConflict)
	e.get(t, configMaps, "c")
}

func deleteStale(t *testing.T, e *env) {
	old := e.apply(t, configMaps, manager, config)
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":"3"}}`); err != nil {
		t.Fatal(err)
	}
	err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: ptr.To(old.GetResourceVersion())}})
	wantCode(t, err, http.StatusConflict)
	e.get(t, configMaps, "c")
}

func deletePreconditions(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, config)
	err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{
		UID: ptr.To(obj.GetUID()), ResourceVersion: ptr.To(obj.GetResourceVersion()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !e.absent(configMaps, "c") {
		t.Error("it is still there")
	}
}

func deleteDryRun(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	e.get(t, configMaps, "c")
}

const guarded = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, finalizers: [example.com/guard]}}`

func deleteFinalizers(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, guarded)
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	obj := e.get(t, configMaps, "c")
	if obj.GetDeletionTimestamp() == nil || obj.GetDeletionGracePeriodSeconds() == nil || *obj.GetDeletionGracePeriodSeconds() != 0 {
		t.Errorf("metadata = %v", obj.Object["metadata"])
	}
	if _, err := e.patch(t, configMaps, "c", types.JSONPatchType, `[{"op":"remove","path":"/metadata/finalizers"}]`); err != nil {
		t.Fatal(err)
	}
	if !e.absent(configMaps, "c") {
		t.Error("it is still there")
	}
}

func deleteNoNewFinalizers(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, guarded)
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"metadata":{"finalizers":["example.com/guard","example.com/more"]}}`)
	st := wantCode(t, err, http.StatusUnprocessableEntity)
	wantCause(t, st, metav1.CauseTypeForbidden, "metadata.finalizers")
	e.release(t, configMaps, "c")
}

// release takes the finalizers away.
func (e *env) release(t *testing.T, gvr schemaGVR, name string) {
	t.Helper()
	if _, err := e.patch(t, gvr, name, types.MergePatchType, `{"metadata":{"finalizers":null}}`); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

func deleteThenApply(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, guarded)
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.in(configMaps).Create(e.ctx, object(t, config), metav1.CreateOptions{})
	st := wantCode(t, err, http.StatusConflict)
	if st.Reason != metav1.StatusReasonAlreadyExists || st.Message != `object is being deleted: configmaps "c" already exists` {
		t.Errorf("got %s: %s", st.Reason, st.Message)
	}
	obj := e.apply(t, configMaps, "other", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "1"}}`)
	if obj.GetDeletionTimestamp() == nil {
		t.Error("an apply revived the object")
	}
	e.release(t, configMaps, "c")
}

func deleteGeneration(t *testing.T, e *env) {
	e.apply(t, deployments, manager, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, finalizers: [example.com/guard]}
spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: "b:1"}]}}}
`)
	if err := e.in(deployments).Delete(e.ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want(t, e.get(t, deployments, "web"), int64(2), "metadata", "generation")
	e.release(t, deployments, "web")
}

func deleteForeground(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, guarded)
	err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)})
	if err != nil {
		t.Fatal(err)
	}
	if e.features.Controllers {
		e.eventually(t, "the garbage collector lets go", func() bool {
			return fmt.Sprint(e.get(t, configMaps, "c").GetFinalizers()) == "[example.com/guard]"
		})
	} else if got := fmt.Sprint(e.get(t, configMaps, "c").GetFinalizers()); got != "[example.com/guard foregroundDeletion]" {
		t.Errorf("finalizers = %s", got)
	}
	e.release(t, configMaps, "c")
}

func deleteCollection(t *testing.T, e *env) {
	e.fill(t, 4)
	if err := e.in(configMaps).DeleteCollection(e.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "half"}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(e.names(t, metav1.ListOptions{LabelSelector: "set"})); got != "[c1 c3]" {
		t.Errorf("left are %s", got)
	}
}

// family makes an owner and a dependent.
func (e *env) family(t *testing.T) {
	t.Helper()
	owner := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}`)
	e.apply(t, configMaps, manager, fmt.Sprintf(
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: child, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: %s, blockOwnerDeletion: true}]}}`, owner.GetUID()))
}

func deleteDependents(t *testing.T, e *env) {
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		t.Run(string(policy), func(t *testing.T) {
			e.family(t)
			if err := e.in(configMaps).Delete(e.ctx, "owner", metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
				t.Fatal(err)
			}
			e.eventually(t, "owner and child are gone", func() bool { return e.absent(configMaps, "child") && e.absent(configMaps, "owner") })
		})
	}
}

func deleteOrphan(t *testing.T, e *env) {
	e.family(t)
	if err := e.in(configMaps).Delete(e.ctx, "owner", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan)}); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "the owner is gone", func() bool { return e.absent(configMaps, "owner") })
	if refs := e.get(t, configMaps, "child").GetOwnerReferences(); len(refs) != 0 {
		t.Errorf("the child still names %v", refs)
	}
}

func deleteAbsentOwner(t *testing.T, e *env) {
	e.apply(t, configMaps, manager,
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: child, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: 11111111-2222-3333-4444-555555555555}]}}`)
	e.eventually(t, "the child is gone", func() bool { return e.absent(configMaps, "child") })
}

func deleteClaim(t *testing.T, e *env) {
	obj := e.apply(t, claims, manager, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`)
	if got := fmt.Sprint(obj.GetFinalizers()); got != "[kubernetes.io/pvc-protection]" {
		t.Errorf("finalizers = %s", got)
	}
	mustNotOwn(t, applied(t, obj, manager), field("metadata", "finalizers"))
	if err := e.in(claims).Delete(e.ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "the claim is gone", func() bool { return e.absent(claims, "p") })
}
