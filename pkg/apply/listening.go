package apply

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// silentAfter is how long a watch may say nothing. An API server sends a bookmark about every minute where
// nothing else happens, so that a watch without any for so long is one that somebody on the way has
// forgotten: it is opened again where it was.
const silentAfter = 3*time.Minute + 30*time.Second

// listening is a store that notes each word of a watch, and notices silence and time that goes back.
type listening struct {
	cache.ReflectorStore
	lw *listerWatcher
}

// Replace takes in a whole list: what kept the watch from coming up is over.
func (l listening) Replace(items []any, resourceVersion string) error {
	if err := l.ReflectorStore.Replace(items, resourceVersion); err != nil {
		return err
	}
	l.lw.m.report(l.lw.what, nil)
	return nil
}

// sequenced is a store that remembers how far its source was. The versions that one source tells of only grow,
// as long as the API server has the memory that it had: heard returns true for one that is older than
// what was told before, as after etcd was restored from a backup.
type sequenced interface {
	heard(resourceVersion string) (rewound bool)
}

// UpdateResourceVersion is called by the Reflector after each event and bookmark.
func (l listening) UpdateResourceVersion(resourceVersion string) {
	if t := l.lw.silence; t != nil {
		t.Reset(silentAfter)
	}
	if s, ok := l.ReflectorStore.(sequenced); ok && s.heard(resourceVersion) {
		l.lw.m.rewound()
	}
}

// listen waits for a watch to fall silent, and ends it then.
func (l *listerWatcher) listen(end context.CancelFunc, seconds *int64) {
	l.hush()
	l.end, l.silence = end, time.AfterFunc(silentAfter, end)
	l.until = time.Time{}
	if seconds != nil {
		// The API server has counted for a while already.
		l.until = time.Now().Add(time.Duration(*seconds)*time.Second - steadyAfter)
	}
}

// hush lets go of the watch that was open.
func (l *listerWatcher) hush() {
	if l.silence != nil {
		l.silence.Stop()
		l.end()
	}
}

// remembered asks, after a watch that ended before its time, whether the API server still knows of the
// version to go on from: one that was restored from a backup would say nothing until it has given out as
// many versions again.
func (l *listerWatcher) remembered(ctx context.Context, resourceVersion string) error {
	if !time.Now().Before(l.until) {
		return nil
	}
	if err := l.m.breaker.allow(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.m.opts.RequestTimeout)
	defer cancel()
	list, err := l.list(ctx, metav1.ListOptions{Limit: 1, LabelSelector: l.selector})
	l.reported(ctx, err)
	if err != nil {
		return err
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	if older(accessor.GetResourceVersion(), resourceVersion) {
		return apierrors.NewResourceExpired("the cluster is at an older resource version than the one it told last")
	}
	return nil
}

// rewound has everything listed again, since the cluster has forgotten what it told: it was restored from a
// backup. Until then nothing that is known of it is relied on.
func (m *Member) rewound() {
	m.state.unsynced()
	m.parents.setSynced(false)
	m.relist.fire()
	m.changed()
}

// older tells whether resource version a is certainly before b. Versions that cannot be compared, as some
// aggregated API servers have, are not.
func older(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}
