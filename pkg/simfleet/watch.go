package simfleet

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
)

const (
	// bookmarkInterval is how often a quiet watch hears the current revision.
	// The API server's watch cache uses about a minute, too.
	bookmarkInterval = time.Minute
	// watchBatch bounds how many changes a watch takes from the log at once.
	watchBatch = 64
)

// watcher follows the log of one kind. It holds a position and no queue: one
// that falls behind the window is ended, as the API server ends slow watchers.
type watcher struct {
	store     *store
	gr        schema.GroupResource
	prefix    string
	predicate storage.SelectionPredicate
	// empty makes the object that a bookmark carries.
	empty func() runtime.Object
	// out shows a stored object as the watched endpoint does.
	out       func(runtime.Object) runtime.Object
	at        uint64
	initial   []runtime.Object
	endMarker bool

	events chan watch.Event
	stop   chan struct{}
	once   sync.Once
}

func (w *watcher) ResultChan() <-chan watch.Event { return w.events }

func (w *watcher) Stop() { w.once.Do(func() { close(w.stop) }) }

// run sends the initial state, then changes until the watch is stopped.
func (w *watcher) run(ctx context.Context) {
	defer close(w.events)
	for _, obj := range w.initial {
		if !w.send(ctx, watch.Event{Type: watch.Added, Object: w.out(obj)}) {
			return
		}
	}
	w.initial = nil
	if w.endMarker && !w.send(ctx, w.bookmark(true)) {
		return
	}
	var tick <-chan time.Time
	if w.predicate.AllowWatchBookmarks {
		ticker := time.NewTicker(bookmarkInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		changes, wake, revision, err := w.store.since(w.gr, w.at, watchBatch)
		if err != nil {
			return
		}
		for _, c := range changes {
			event, ok := w.event(c)
			if ok && !w.send(ctx, event) {
				return
			}
		}
		w.at = revision
		if len(changes) > 0 {
			continue
		}
		select {
		case <-wake:
		case <-tick:
			if !w.send(ctx, w.bookmark(false)) {
				return
			}
		case <-w.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) send(ctx context.Context, e watch.Event) bool {
	select {
	case w.events <- e:
		return true
	case <-w.stop:
		return false
	case <-ctx.Done():
		return false
	}
}

// event says what a change is to this watch: an object that leaves the
// selection is deleted for it, one that enters is added.
func (w *watcher) event(c change) (watch.Event, bool) {
	if !hasPrefix(c.key, w.prefix) {
		return watch.Event{}, false
	}
	was := c.before != nil && w.matches(c.before)
	is := c.after != nil && w.matches(c.after)
	switch {
	case was && is:
		return watch.Event{Type: watch.Modified, Object: w.out(c.after)}, true
	case is:
		return watch.Event{Type: watch.Added, Object: w.out(c.after)}, true
	case was && c.deleted != nil:
		return watch.Event{Type: watch.Deleted, Object: w.out(c.deleted)}, true
	case was:
		// The object as it was when it still matched, at the revision of the change.
		last := c.before.DeepCopyObject()
		setRevision(last, c.revision)
		return watch.Event{Type: watch.Deleted, Object: w.out(last)}, true
	default:
		return watch.Event{}, false
	}
}

func (w *watcher) matches(obj runtime.Object) bool {
	ok, err := w.predicate.Matches(obj)
	return err == nil && ok
}

func (w *watcher) bookmark(end bool) watch.Event {
	obj := w.empty()
	setRevision(obj, w.at)
	if end {
		if m, err := meta.Accessor(obj); err == nil {
			m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		}
	}
	return watch.Event{Type: watch.Bookmark, Object: obj}
}

// failedWatch is a watch that says one error and ends. Like the API server, an
// expired revision is reported inside a started watch, not as its answer.
func failedWatch(err error) watch.Interface {
	w := &watcher{events: make(chan watch.Event, 1), stop: make(chan struct{})}
	status := apierrors.NewInternalError(err).Status()
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	}
	w.events <- watch.Event{Type: watch.Error, Object: &status}
	close(w.events)
	return w
}
