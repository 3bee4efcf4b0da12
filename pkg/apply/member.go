package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

var (
	crdKind     = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
	crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// rediscoverGap is the least time between two discoveries that events ask for: the installation of an
// operator is many of them.
const rediscoverGap = 200 * time.Millisecond

// Desired tells what the latest plan wants an object to be on the member, without our own metadata;
// false where it wants nothing of it. It must be cheap and safe for concurrent use.
type Desired func(v1alpha1.ObjectKey) (*unstructured.Unstructured, bool)

// Removes tells whether the latest plan removes an object from the member. It must be cheap and safe for
// concurrent use.
type Removes func(v1alpha1.ObjectKey) bool

// Member is one cluster of the fleet.
type Member struct {
	opts     Options
	client   *client
	breaker  *breaker
	mapper   *mapper
	metadata metadata.Interface
	dynamic  dynamic.Interface
	state    *state
	parents  *parents
	checks   *checks
	capacity *capacity
	classes  *classes
	desired  atomic.Pointer[Desired]
	removes  atomic.Pointer[Removes]
	// preserved are the values of statuses that are kept.
	preserved preserved

	// executing has room for one Execute.
	executing chan struct{}

	// wake ends pauses between attempts to reach the cluster, relist has everything listed anew,
	// served fires when the cluster serves other kinds, wanted when there are more to watch.
	wake, relist, served, wanted signal
	// capacityMoved fires when nodes or pods changed.
	capacityMoved signal
	// notifications, discoveries and mends hold at most one request each.
	notifications, discoveries, mends chan struct{}
	running                           sync.WaitGroup
	// away tells that the last probe failed.
	away atomic.Bool

	mu       sync.Mutex
	watching map[schema.GroupKind]bool
	problems map[string]string
	version  string
}

// New checks the options and prepares the connection. It does not talk to the cluster.
func New(opts Options) (*Member, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", opts.Name, err)
	}
	m := &Member{
		opts: opts, parents: newParents(), checks: newChecks(), classes: &classes{},
		executing: make(chan struct{}, 1), notifications: make(chan struct{}, 1), discoveries: make(chan struct{}, 1), mends: make(chan struct{}, 1),
		watching: map[schema.GroupKind]bool{}, problems: map[string]string{},
	}
	m.capacity = newCapacity(m.heldUID, m.known)
	m.state = newState(func(gk schema.GroupKind) bool { return m.ruleOf(gk) != nil }, m.changed)
	m.breaker = newBreaker(opts.MaxBackoff, m.reachabilityChanged)
	if err := m.connect(); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", opts.Name, err)
	}
	return m, nil
}

// connect makes the clients, which share one connection.
func (m *Member) connect() error {
	cfg := m.opts.clientConfig()
	hc, err := httpClient(cfg)
	if err != nil {
		return err
	}
	if m.client, err = newClient(m.opts, cfg, hc, m.breaker); err != nil {
		return err
	}
	if m.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), hc); err != nil {
		return err
	}
	if m.dynamic, err = dynamic.NewForConfigAndClient(cfg, hc); err != nil {
		return err
	}
	d, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, hc)
	if err != nil {
		return err
	}
	m.mapper = &mapper{discovery: d, changed: func() { m.served.fire(); m.changed() }}
	return nil
}

// Start begins to watch and returns at once; the cluster need not answer yet. Watching ends with ctx;
// Wait tells when it has.
func (m *Member) Start(ctx context.Context) {
	m.running.Go(func() { m.notifyChanges(ctx) })
	m.running.Go(func() { m.runChecks(ctx) })
	m.running.Go(func() { m.run(ctx) })
}

// Wait returns when everything that Start began has ended.
func (m *Member) Wait() { m.running.Wait() }

// run brings the watches up in the order in which they need each other: the served kinds, the
// ApplySets (which say what is ours), and then each kind that they or a plan mention.
func (m *Member) run(ctx context.Context) {
	m.until(ctx, "discover kinds", m.mapper.refresh)
	m.until(ctx, "ask for the version", m.readVersion)
	m.running.Go(func() { m.keepDiscovering(ctx) })
	m.running.Go(func() {
		m.keep(ctx, "watch ApplySets", func(ctx context.Context) error {
			return m.follow(ctx, source{
				what: "watch ApplySets", lister: m.metadataOf(secretResource.GroupVersionResource, SystemNamespace), selector: labelSetID, store: parentStore{m},
			})
		})
	})
	m.running.Go(func() { m.mendParents(ctx) })
	m.running.Go(func() { m.watchDefinitions(ctx) })
	if m.opts.Capacity {
		m.watchCapacity(ctx)
		m.watchClasses(ctx)
	}
	if m.opts.FullCompareInterval > 0 {
		m.running.Go(func() { m.compareAll(ctx) })
	}
	m.awaitParents(ctx)
	started := map[schema.GroupKind]bool{}
	for ctx.Err() == nil {
		next := m.wanted.next()
		for _, gk := range m.newKinds(started) {
			m.running.Go(func() {
				m.keep(ctx, "watch "+gk.String(), func(ctx context.Context) error { return m.watchKind(ctx, gk) })
			})
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
}

// newKinds returns the wanted kinds that are not started and marks them.
func (m *Member) newKinds(started map[schema.GroupKind]bool) []schema.GroupKind {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []schema.GroupKind
	for gk := range m.watching {
		if !started[gk] {
			started[gk] = true
			out = append(out, gk)
		}
	}
	return out
}

// until repeats do until it succeeds or ctx is done.
func (m *Member) until(ctx context.Context, what string, do func(context.Context) error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	m.keep(ctx, what, func(ctx context.Context) error {
		if err := m.breaker.allow(); err != nil {
			return err
		}
		requestCtx, cancel := context.WithTimeout(ctx, m.opts.RequestTimeout)
		defer cancel()
		err := do(requestCtx)
		if ctx.Err() == nil {
			m.breaker.report(err == nil || isAnswer(err))
		}
		if err == nil {
			m.report(what, nil)
			done()
		}
		return err
	})
}

// awaitParents returns when the ApplySets have been listed once.
func (m *Member) awaitParents(ctx context.Context) {
	for {
		next := m.parents.changed.next()
		if m.parents.isSynced() {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// watchDefinitions has the kinds discovered again when any CRD changes.
func (m *Member) watchDefinitions(ctx context.Context) {
	m.keep(ctx, "watch CRDs", func(ctx context.Context) error {
		return m.follow(ctx, source{what: "watch CRDs", lister: m.metadataOf(crdResource, ""), store: nudge{m.rediscover}})
	})
}

// rediscover asks for a discovery soon.
func (m *Member) rediscover() {
	select {
	case m.discoveries <- struct{}{}:
	default:
	}
}

// keepDiscovering discovers when it is asked to.
func (m *Member) keepDiscovering(ctx context.Context) {
	for {
		select {
		case <-m.discoveries:
		case <-ctx.Done():
			return
		}
		m.until(ctx, "discover kinds", m.mapper.refresh)
		gap := time.NewTimer(rediscoverGap)
		select {
		case <-gap.C:
		case <-ctx.Done():
		}
		gap.Stop()
	}
}

// want has a kind watched.
func (m *Member) want(gk schema.GroupKind) {
	m.mu.Lock()
	known := m.watching[gk]
	m.watching[gk] = true
	m.mu.Unlock()
	if !known {
		m.wanted.fire()
	}
}

// WaitSynced returns when the inventory is Known, or with the error of ctx.
func (m *Member) WaitSynced(ctx context.Context) error {
	for {
		next := m.state.moved.next()
		parents := m.parents.changed.next()
		if m.known() {
			return nil
		}
		select {
		case <-next:
		case <-parents:
		case <-ctx.Done():
			return fmt.Errorf("cluster %q is not known yet (%v): %w", m.opts.Name, m.Problems(), context.Cause(ctx))
		}
	}
}

// SetDesired is told with every plan what the member shall hold; groupKinds ("Deployment.apps") are
// watched from now on.
func (m *Member) SetDesired(desired Desired, groupKinds []string) {
	m.desired.Store(&desired)
	for _, gk := range groupKinds {
		m.want(groupKind(gk))
	}
}

// SetRemoves is told with every plan what it removes. A deletion that an earlier plan began and that has
// waited, as for a cluster that throttles, is not sent once a later plan keeps the object. Never told, every
// deletion is sent.
func (m *Member) SetRemoves(removes Removes) { m.removes.Store(&removes) }

// mayDelete returns an error once the latest plan keeps an object.
func (m *Member) mayDelete(key v1alpha1.ObjectKey) error {
	if removes := m.removes.Load(); removes != nil && !(*removes)(key) {
		return errOverruled
	}
	return nil
}

// Inventory returns what the member holds of ours, from memory. The maps and bytes in it are shared
// and read-only.
func (m *Member) Inventory() plan.Member {
	return plan.Member{Known: m.known(), Reachable: m.breaker.reachable(), Objects: m.state.all()}
}

// known tells whether everything that ApplySets of ours list has been listed, apart from kinds of an extension
// API server that is down: it must not keep everything else of the cluster waiting. What is of such a
// kind can be neither written nor removed while it lasts.
func (m *Member) known() bool {
	_, discovered := m.mapper.enablements()
	return discovered && m.parents.isSynced() && !slices.ContainsFunc(m.state.missingKinds(), func(gk schema.GroupKind) bool {
		return !m.mapper.isDown(gk)
	})
}

// Problems are what keeps the member from being known or watched, one line each, sorted; empty when
// all is well.
func (m *Member) Problems() []string {
	out := append(m.mapper.failures(), m.state.unjudged()...)
	m.mu.Lock()
	for what, why := range m.problems {
		out = append(out, what+": "+why)
	}
	m.mu.Unlock()
	slices.Sort(out)
	return out
}

// report keeps or clears a problem.
func (m *Member) report(what string, err error) {
	m.mu.Lock()
	_, had := m.problems[what]
	has := err != nil && !errors.Is(err, errNotServed)
	switch {
	case !has:
		delete(m.problems, what)
	case had && errors.Is(err, ErrUnreachable):
		// The reason that led to it says more.
	default:
		m.problems[what] = err.Error()
	}
	m.mu.Unlock()
	if had != has {
		m.changed()
	}
}

// NotReadyError tells that the API server answered and is not ready, in contrast to one that cannot be
// reached.
type NotReadyError struct {
	Cluster string
	Err     error
}

// Error names the cluster and what the API server said. Credentials that it refuses are mended by people,
// and so it says how.
func (e *NotReadyError) Error() string {
	if apierrors.IsUnauthorized(e.Err) {
		return fmt.Sprintf("cluster %q refuses the credentials: they are wrong, revoked or expired; renew those that join made with: armada-sync rotate %s --cluster-context CONTEXT, and others where they come from", e.Cluster, e.Cluster)
	}
	return fmt.Sprintf("cluster %q is not ready: %v", e.Cluster, e.Err)
}

// Unwrap returns what the API server said.
func (e *NotReadyError) Unwrap() error { return e.Err }

// Probe asks the API server whether it is ready. Its success ends all waiting for the cluster. The error
// is a *NotReadyError where the API server answered.
func (m *Member) Probe(ctx context.Context) error {
	_, err := m.client.doAnyway(ctx, call{verb: "probe", method: http.MethodGet, path: "/readyz", accept: "*/*"})
	if err != nil {
		m.away.Store(true)
		if isAnswer(err) {
			return &NotReadyError{Cluster: m.opts.Name, Err: err}
		}
		return fmt.Errorf("cluster %q does not answer: %w", m.opts.Name, err)
	}
	if m.away.Swap(false) {
		m.wake.fire()
	}
	return nil
}

// reachabilityChanged is told when the circuit breaker opens or closes.
func (m *Member) reachabilityChanged(reachable bool) {
	if reachable {
		m.state.unsynced()
		m.parents.setSynced(false)
		m.relist.fire()
		m.wake.fire()
	}
	m.state.moved.fire()
	m.changed()
}

// changed asks for a notification.
func (m *Member) changed() {
	select {
	case m.notifications <- struct{}{}:
	default:
	}
}

func (m *Member) notifyChanges(ctx context.Context) {
	for {
		select {
		case <-m.notifications:
			m.opts.OnChange(m.opts.Name)
		case <-ctx.Done():
			return
		}
	}
}
