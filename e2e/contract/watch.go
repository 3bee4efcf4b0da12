package contract

import (
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

func watchStatements() []statement {
	return []statement{
		{name: "sees creates, changes and deletes", check: watchLife},
		{name: "from a resource version replays what came after", check: watchReplay},
		{name: "with a selector sees a label removed as DELETED", check: watchLabelRemoved},
		{name: "with a selector sees a label added as ADDED", check: watchLabelAdded},
		{name: "metadata only", check: watchMetadata},
		{name: "without a position starts with the state", check: watchState},
		{name: "with initial events marks their end", check: watchInitial},
		{name: "ends after its timeout", check: watchTimeout},
		{name: "of one namespace hears nothing of others", check: watchNamespace},
		{name: "a no-op apply sends nothing", check: watchNoop},
		{name: "a finalizer shows as a change, then as a delete", check: watchFinalizer},
	}
}

// next returns the next event of a watch that is not a bookmark.
func (e *env) next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case ev, ok := <-w.ResultChan():
			if !ok {
				t.Fatal("the watch ended")
			}
			if ev.Type == watch.Bookmark {
				continue
			}
			return ev
		case <-deadline.C:
			t.Fatal("no event came")
		}
	}
}

// wantEvent checks the next event's type and name and returns its metadata.
func (e *env) wantEvent(t *testing.T, w watch.Interface, kind watch.EventType, name string) metav1.Object {
	t.Helper()
	ev := e.next(t, w)
	m, err := meta.Accessor(ev.Object)
	if err != nil {
		t.Fatalf("%s of %T: %v", ev.Type, ev.Object, err)
	}
	if ev.Type != kind || m.GetName() != name {
		t.Fatalf("got %s %s, want %s %s", ev.Type, m.GetName(), kind, name)
	}
	return m
}

func (e *env) watch(t *testing.T, opts metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := e.in(configMaps).Watch(e.ctx, opts)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	t.Cleanup(w.Stop)
	return w
}

// revision is the resource version of the collection now.
func (e *env) revision(t *testing.T) string {
	t.Helper()
	list, err := e.in(configMaps).List(e.ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.GetResourceVersion()
}

func watchLife(t *testing.T, e *env) {
	w := e.watch(t, metav1.ListOptions{ResourceVersion: e.revision(t), FieldSelector: "metadata.name=c"})
	obj := e.apply(t, configMaps, manager, config)
	if m := e.wantEvent(t, w, watch.Added, "c"); m.GetResourceVersion() != obj.GetResourceVersion() {
		t.Errorf("event at %s, object at %s", m.GetResourceVersion(), obj.GetResourceVersion())
	}
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"data":{"a":"3"}}`); err != nil {
		t.Fatal(err)
	}
	changed := e.wantEvent(t, w, watch.Modified, "c")
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if gone := e.wantEvent(t, w, watch.Deleted, "c"); gone.GetResourceVersion() == changed.GetResourceVersion() {
		t.Error("the deletion has the resource version of the last change")
	}
}

func watchReplay(t *testing.T, e *env) {
	at := e.revision(t)
	e.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "5"}}`)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: at, FieldSelector: "metadata.name=c"})
	e.wantEvent(t, w, watch.Added, "c")
	e.wantEvent(t, w, watch.Modified, "c")
}

func watchLabelRemoved(t *testing.T, e *env) {
	before := e.apply(t, configMaps, manager, config)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: before.GetResourceVersion(), LabelSelector: "l"})
	after, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"metadata":{"labels":{"l":null}}}`)
	if err != nil {
		t.Fatal(err)
	}
	m := e.wantEvent(t, w, watch.Deleted, "c")
	if m.GetResourceVersion() != after.GetResourceVersion() {
		t.Errorf("event at %s, change at %s", m.GetResourceVersion(), after.GetResourceVersion())
	}
	if m.GetLabels()["l"] != "1" {
		t.Errorf("the event has labels %v, want those of before", m.GetLabels())
	}
	if _, err := e.in(configMaps).Get(e.ctx, "c", metav1.GetOptions{}); err != nil {
		t.Errorf("the object is gone: %v", err)
	}
}

func watchLabelAdded(t *testing.T, e *env) {
	before := e.apply(t, configMaps, manager, config)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: before.GetResourceVersion(), LabelSelector: "new"})
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"metadata":{"labels":{"new":"x"}}}`); err != nil {
		t.Fatal(err)
	}
	e.wantEvent(t, w, watch.Added, "c")
}

func watchMetadata(t *testing.T, e *env) {
	w, err := e.metadata.Resource(configMaps).Namespace(e.ns).Watch(e.ctx, metav1.ListOptions{ResourceVersion: e.revision(t), LabelSelector: "l"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	e.apply(t, configMaps, manager, config)
	ev := e.next(t, w)
	m, ok := ev.Object.(*metav1.PartialObjectMetadata)
	if !ok {
		t.Fatalf("got %T", ev.Object)
	}
	mustOwn(t, applied(t, m, manager), field("data", "a"))
}

func watchState(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	w := e.watch(t, metav1.ListOptions{LabelSelector: "l"})
	e.wantEvent(t, w, watch.Added, "c")
}

func watchInitial(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	w := e.watch(t, metav1.ListOptions{
		LabelSelector: "l", SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	e.wantEvent(t, w, watch.Added, "c")
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case ev := <-w.ResultChan():
		m, err := meta.Accessor(ev.Object)
		if err != nil || ev.Type != watch.Bookmark || m.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true" {
			t.Errorf("got %s %v", ev.Type, ev.Object)
		}
	case <-deadline.C:
		t.Error("no bookmark came")
	}
}

func watchGone(t *testing.T, e *env) {
	old := e.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "5"}}`)
	e.features.Forget(t)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: old.GetResourceVersion()})
	ev := e.next(t, w)
	if ev.Type != watch.Error {
		t.Fatalf("got %s %v", ev.Type, ev.Object)
	}
	err := apierrors.FromObject(ev.Object)
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v", err)
	}
	st := wantCode(t, err, http.StatusGone)
	if !strings.HasPrefix(st.Message, "too old resource version: "+old.GetResourceVersion()+" (") {
		t.Errorf("message: %s", st.Message)
	}
}

func watchTimeout(t *testing.T, e *env) {
	w := e.watch(t, metav1.ListOptions{ResourceVersion: e.revision(t), TimeoutSeconds: ptr.To[int64](1), LabelSelector: "no=such"})
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case ev, ok := <-w.ResultChan():
		if ok && ev.Type != watch.Bookmark {
			t.Errorf("got %v", ev)
		}
	case <-deadline.C:
		t.Error("the watch goes on")
	}
}

func watchNamespace(t *testing.T, e *env) {
	other := e.env(t)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: e.revision(t), LabelSelector: "l"})
	other.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, manager, config)
	if m := e.wantEvent(t, w, watch.Added, "c"); m.GetNamespace() != e.ns {
		t.Errorf("an event of namespace %s", m.GetNamespace())
	}
}

func watchNoop(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, config)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: obj.GetResourceVersion(), LabelSelector: "l"})
	e.apply(t, configMaps, manager, config)
	e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: second, labels: {l: "1"}}}`)
	e.wantEvent(t, w, watch.Added, "second")
}

func watchFinalizer(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, finalizers: [example.com/a]}}`)
	w := e.watch(t, metav1.ListOptions{ResourceVersion: obj.GetResourceVersion(), FieldSelector: "metadata.name=c"})
	if err := e.in(configMaps).Delete(e.ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if m := e.wantEvent(t, w, watch.Modified, "c"); m.GetDeletionTimestamp() == nil {
		t.Error("no deletionTimestamp")
	}
	if _, err := e.patch(t, configMaps, "c", types.MergePatchType, `{"metadata":{"finalizers":null}}`); err != nil {
		t.Fatal(err)
	}
	e.wantEvent(t, w, watch.Deleted, "c")
}
