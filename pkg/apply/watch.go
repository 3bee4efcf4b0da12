package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
)

// steadyAfter is how long a watch must have lasted for its end to count as ordinary.
const steadyAfter = 5 * time.Second

// lister is what a watch needs of a client: dynamic and metadata clients have it after a line of
// adapting.
type lister struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// source is one thing to watch: where it comes from, what is selected and where it goes.
type source struct {
	lister
	// what names the watch in problems, as for keep.
	what     string
	selector string
	store    cache.ReflectorStore
}

// listerWatcher adapts a source to client-go's Reflector.
type listerWatcher struct {
	source
	m *Member
	// failed is the last error of a list or watch.
	failed error
	// silence ends the watch that is open when nothing is heard from it; see listening.
	silence *time.Timer
	end     context.CancelFunc
	// until is when the API server would end it.
	until time.Time
}

// IsWatchListSemanticsUnSupported makes the Reflector list before it watches: its streaming list waits
// out its back-off even when it is told to stop, which would keep a cluster that came back waiting.
func (l *listerWatcher) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext lists from the newest state that the server has, never from an older one.
func (l *listerWatcher) ListWithContext(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	if err := l.m.breaker.allow(); err != nil {
		l.failed = err
		return nil, err
	}
	if opts.ResourceVersion == "0" {
		opts.ResourceVersion = ""
	}
	if opts.Continue == "" {
		opts.Limit = 0
	}
	opts.LabelSelector = l.selector
	ctx, cancel := context.WithTimeout(ctx, l.m.opts.RequestTimeout)
	defer cancel()
	list, err := l.list(ctx, opts)
	l.reported(ctx, err)
	return list, err
}

// WatchWithContext opens a watch.
func (l *listerWatcher) WatchWithContext(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.LabelSelector = l.selector
	if err := l.remembered(ctx, opts.ResourceVersion); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := l.watch(ctx, opts)
	l.reported(ctx, err)
	if err != nil {
		cancel()
		return nil, err
	}
	l.listen(cancel, opts.TimeoutSeconds)
	return w, nil
}

// List and Watch are not called; the Reflector prefers the methods with a context.
func (l *listerWatcher) List(opts metav1.ListOptions) (runtime.Object, error) {
	return nil, errors.New("listing needs a context")
}

// Watch is List's twin.
func (l *listerWatcher) Watch(opts metav1.ListOptions) (watch.Interface, error) {
	return nil, errors.New("watching needs a context")
}

func (l *listerWatcher) reported(ctx context.Context, err error) {
	l.failed = err
	if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		l.m.breaker.report(err == nil || isAnswer(err))
	}
}

// isAnswer tells whether an error is something that an API server said.
func isAnswer(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// follow lists and watches a source until ctx is done or the cluster comes back after it was away;
// then everything is listed again, since no event of the meantime can be relied on.
func (m *Member) follow(ctx context.Context, src source) error {
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer cancel()
	again := m.relist.next()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-again:
			cancel()
		case <-stop:
		}
	}()
	lw := &listerWatcher{source: src, m: m}
	defer lw.hush()
	silent := logr.Discard()
	r := cache.NewReflectorWithOptions(lw, nil, listening{src.store, lw}, cache.ReflectorOptions{Name: "armada-sync", TypeDescription: "objects", Logger: &silent})
	err := r.ListAndWatchWithContext(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil && lw.failed != nil {
		return lw.failed
	}
	return err
}

// keep calls do again and again until ctx is done, with a pause after failures that doubles and ends
// when the cluster is known to answer again. errNotServed waits for the cluster to serve other kinds.
func (m *Member) keep(ctx context.Context, what string, do func(context.Context) error) {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		wake, served := m.wake.next(), m.served.next()
		start := time.Now()
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		m.report(what, err)
		if errors.Is(err, errNotServed) {
			select {
			case <-served:
			case <-ctx.Done():
			}
			continue
		}
		if err == nil && time.Since(start) > steadyAfter {
			pause = 0
			continue
		}
		pause = min(max(2*pause, 100*time.Millisecond), m.opts.MaxBackoff)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-wake:
			pause = 0
		case <-served:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// watchKind watches the objects of one kind that carry the label of any ApplySet.
func (m *Member) watchKind(ctx context.Context, gk schema.GroupKind) error {
	r, err := m.mapper.lookup(gk, "")
	if errors.Is(err, errNotServed) || err == nil && !r.listable {
		m.state.notServed(gk)
		return errNotServed
	}
	if err != nil {
		return err
	}
	kind := kindID{GroupKind: gk, apiVersion: r.GroupVersion().String()}
	rule := m.opts.Health.For(gk, r.hasStatus)
	m.state.judge(gk, rule != nil)
	src := source{what: "watch " + gk.String(), selector: v1alpha1.LabelPartOf, store: &kindStore{m: m, kind: kind, rule: rule}}
	if rule != nil {
		src.lister = m.objects(r.GroupVersionResource)
	} else {
		src.lister = m.metadataOf(r.GroupVersionResource, "")
	}
	err = m.follow(ctx, src)
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		// The kind has gone or moved to another version.
		m.rediscover()
	}
	return err
}

// objects lists and watches whole objects.
func (m *Member) objects(gvr schema.GroupVersionResource) lister {
	r := m.dynamic.Resource(gvr)
	return lister{
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		watch: r.Watch,
	}
}

// metadataOf lists and watches metadata alone, in one namespace or in all.
func (m *Member) metadataOf(gvr schema.GroupVersionResource, namespace string) lister {
	r := m.metadata.Resource(gvr).Namespace(namespace)
	return lister{
		list:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		watch: r.Watch,
	}
}

// kindStore takes in what the Reflector hears of one kind.
type kindStore struct {
	m    *Member
	kind kindID
	rule health.Rule
}

// Add takes in an object.
func (s *kindStore) Add(obj any) error {
	o, err := s.observe(obj)
	if err != nil {
		return err
	}
	s.m.took(o, s.m.state.see(o))
	return nil
}

// Update takes in an object, new or not.
func (s *kindStore) Update(obj any) error { return s.Add(obj) }

// Delete takes in that an object left the watch, which it also does when it loses its label.
func (s *kindStore) Delete(obj any) error {
	o, err := s.observe(obj)
	if err != nil {
		return err
	}
	if s.m.state.missed(s.kind.GroupKind, o.name()) == lookGone {
		s.m.checks.add(check{kind: s.kind.GroupKind, name: o.name()})
	}
	return nil
}

// Replace takes in a whole list.
func (s *kindStore) Replace(items []any, resourceVersion string) error {
	s.m.state.relisted(s.kind.GroupKind, resourceVersion)
	listed := make(map[types.NamespacedName]bool, len(items))
	for _, item := range items {
		o, err := s.observe(item)
		if err != nil {
			return err
		}
		listed[o.name()] = true
		s.m.took(o, s.m.state.see(o))
	}
	for _, name := range s.m.state.replaced(s.kind.GroupKind, listed, resourceVersion) {
		s.m.checks.add(check{kind: s.kind.GroupKind, name: name})
	}
	return nil
}

// Resync does nothing: there is nothing to send again.
func (s *kindStore) Resync() error { return nil }

// heard tells the state how far the watch is.
func (s *kindStore) heard(resourceVersion string) (rewound bool) {
	return s.m.state.heard(s.kind.GroupKind, resourceVersion)
}

func (s *kindStore) observe(obj any) (*observed, error) {
	switch o := obj.(type) {
	case *metav1.PartialObjectMetadata:
		return fromMetadata(s.kind, o), nil
	case *unstructured.Unstructured:
		return s.m.keepState(fromObject(s.kind, o, s.rule)), nil
	}
	return nil, fmt.Errorf("watch %s: unexpected %T", s.kind.String(), obj)
}

// took does what has to be done after an object was taken in.
func (m *Member) took(o *observed, next look) {
	if o.groupKind() == crdKind && o.object != nil {
		m.learnCRD(o.object)
	}
	switch {
	case next == lookGone:
		m.checks.add(check{kind: o.groupKind(), name: o.name()})
	case next == lookCompare && o.object != nil:
		m.compare(o)
	case next == lookCompare:
		m.checks.add(check{kind: o.groupKind(), name: o.name(), compare: true})
	}
}

// learnCRD takes the kind of an established CRD of ours, so that its objects need not wait for the
// next discovery.
func (m *Member) learnCRD(crd *unstructured.Unstructured) {
	if !established(crd) {
		return
	}
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	l := learnedKind{gk: schema.GroupKind{Group: group, Kind: kind}}
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if isServed, _ := version["served"].(bool); !isServed {
			continue
		}
		_, hasStatus, _ := unstructured.NestedFieldNoCopy(version, "subresources", "status")
		l.resources = append(l.resources, resource{
			GroupVersionResource: schema.GroupVersionResource{Group: group, Version: name, Resource: plural},
			kind:                 kind, namespaced: scope == "Namespaced", listable: true, hasStatus: hasStatus,
		})
	}
	m.mapper.learn(crd.GetName(), l)
}

// established tells whether a CRD's kind can be used.
func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "Established" {
			return condition["status"] == "True"
		}
	}
	return false
}

// nudge is a store that only tells that something happened after the first list.
type nudge struct{ changed func() }

func (n nudge) Add(any) error               { n.changed(); return nil }
func (n nudge) Update(any) error            { n.changed(); return nil }
func (n nudge) Delete(any) error            { n.changed(); return nil }
func (n nudge) Replace([]any, string) error { n.changed(); return nil }
func (n nudge) Resync() error               { return nil }
