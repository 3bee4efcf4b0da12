package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Attempts at one request within one Execute. More belongs to the caller, who can plan anew meanwhile.
const (
	maxAttempts = 3
	// maxBusyAttempts counts 429, where the API server has not even looked at the request.
	maxBusyAttempts = 8
	firstPause      = 100 * time.Millisecond
	// maxOutrun counts requests on condition of a version that somebody else changed first; the pauses between
	// them grow by firstOutrunPause, to half a second in all.
	maxOutrun        = 8
	firstOutrunPause = 20 * time.Millisecond
	// longestRetryAfter bounds how long an Execute obeys Retry-After by waiting.
	longestRetryAfter = 30 * time.Second
)

// run is one Execute.
type run struct {
	m    *Member
	plan plan.ClusterPlan
	// stop is the caller's context: when it is done nothing new starts. requests outlives it by the
	// grace that requests in flight get.
	stop     context.Context
	requests context.Context
	// interrupted fires when the member changed behind our back: waiting on is pointless, since a new
	// plan is due.
	interrupted <-chan struct{}
	deadline    time.Time

	// planned returns the keys of the operations; it is made when somebody asks.
	planned func() map[v1alpha1.ObjectKey]bool
	results []ObjectResult
	writes  atomic.Int64
	secrets *redactor

	mu sync.Mutex
	// finished has the results so far by object, settled fires with each of them.
	finished map[v1alpha1.ObjectKey]*ObjectResult
	settled  signal
	// namespaces joins those who need the same missing namespace; created are those that are there now.
	namespaces singleflight.Group
	created    sync.Map
	// checks joins those who ask about the same service account; accounts are the answers, nil or an error.
	checks   singleflight.Group
	accounts sync.Map
}

// Execute carries the plan out as far as possible and says what came of each operation. The error is
// ErrStalePlan, ErrUnreachable or ErrForeignApplySet, and then no object was written; failures of
// single objects are in the result. When ctx is done no new request starts, and those in flight get
// Options.StopGrace to finish. One Execute runs at a time.
//
// Where an operation waits for a gate (a CRD that is not established, a dependency that is not
// healthy), the others go on. The wait ends with Options.WaitTimeout, and at once when something on
// the member changed that calls for another plan; the operation is skipped then with ClassWait.
func (m *Member) Execute(ctx context.Context, p plan.ClusterPlan) (Result, error) {
	select {
	case m.executing <- struct{}{}:
		defer func() { <-m.executing }()
	case <-ctx.Done():
		return Result{Cluster: m.opts.Name, Stopped: true}, fmt.Errorf("cluster %q: another plan is being carried out: %w", m.opts.Name, ctx.Err())
	}
	if err := m.executable(ctx, p); err != nil {
		return Result{Cluster: m.opts.Name}, err
	}
	requests, cancel := m.outlive(ctx)
	defer cancel()
	r := &run{
		m: m, plan: p, stop: ctx, requests: requests, interrupted: m.state.foreign.next(),
		deadline: time.Now().Add(m.opts.WaitTimeout), results: make([]ObjectResult, len(p.Operations)),
		secrets: newRedactor(p.Operations), finished: map[v1alpha1.ObjectKey]*ObjectResult{},
		planned: sync.OnceValue(func() map[v1alpha1.ObjectKey]bool { return plannedKeys(p.Operations) }),
	}
	// 1. What needs no request. 2. ApplySets list old and new kinds. 3. Writes by wave and rank.
	// 4. Removals. 5. ApplySets list what is left.
	todo, prunes := r.sort()
	if err := r.widenSets(todo); err != nil {
		return Result{Cluster: m.opts.Name, Writes: int(r.writes.Load())}, err
	}
	r.waves(todo)
	r.prunes(prunes)
	r.trimSets()
	return Result{
		Cluster: m.opts.Name, Objects: r.results, Writes: int(r.writes.Load()), Stopped: ctx.Err() != nil,
	}, nil
}

// Overtake ends the waiting of the Execute under way, if there is one: a later plan has something to do that this
// one does not have. What waits is skipped with ClassWait; what is being sent goes on.
func (m *Member) Overtake() { m.state.foreign.fire() }

// executable checks that the plan is for this cluster as it is now.
func (m *Member) executable(ctx context.Context, p plan.ClusterPlan) error {
	if p.Cluster != m.opts.Name || p.HubID != m.opts.HubID {
		return fmt.Errorf("a plan for cluster %q by hub %q was given to cluster %q of hub %q", p.Cluster, p.HubID, m.opts.Name, m.opts.HubID)
	}
	if !m.breaker.reachable() {
		return fmt.Errorf("%w: cluster %q", ErrUnreachable, m.opts.Name)
	}
	waitCtx, cancel := context.WithTimeout(ctx, m.opts.RequestTimeout)
	defer cancel()
	m.awaitParents(waitCtx)
	if !m.parents.isSynced() {
		return fmt.Errorf("%w: cluster %q has not told its ApplySets (%v)", ErrUnreachable, m.opts.Name, m.Problems())
	}
	for i := range p.Operations {
		if err := m.fresh(&p.Operations[i]); err != nil {
			return err
		}
	}
	return nil
}

// fresh compares what an operation expects with what is known to be there.
func (m *Member) fresh(op *plan.Operation) error {
	switch op.Action {
	case v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionPrune:
	default:
		return nil
	}
	held, ok := m.state.held(op.Key())
	switch {
	case ok && op.ExpectedUID != held.UID && (op.ExpectedUID != "" || op.Action == v1alpha1.ActionCreate):
		return fmt.Errorf("%w: cluster %q: %s is another object than the plan saw", ErrStalePlan, m.opts.Name, op.ObjectReference)
	case ok && op.ExpectedDigest != held.Digest:
		return fmt.Errorf("%w: cluster %q: %s has been changed since", ErrStalePlan, m.opts.Name, op.ObjectReference)
	case !ok && op.ExpectedUID != "" && op.Action == v1alpha1.ActionConfigure:
		return fmt.Errorf("%w: cluster %q: %s is gone", ErrStalePlan, m.opts.Name, op.ObjectReference)
	}
	return nil
}

// outlive returns a context that ends StopGrace after ctx.
func (m *Member) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var grace *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		grace = time.AfterFunc(m.opts.StopGrace, cancel)
	})
	return out, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if grace != nil {
			grace.Stop()
		}
		cancel()
	}
}

// job is an operation with its place in the plan.
type job struct {
	*plan.Operation
	index int
}

// sort answers the operations that need no request and returns the others: those that write, in order,
// and the prunes.
func (r *run) sort() (writes, prunes []job) {
	for i := range r.plan.Operations {
		op := &r.plan.Operations[i]
		j := job{op, i}
		switch {
		case op.Action == v1alpha1.ActionUnchanged:
			r.finish(j, OutcomeUnchanged, ClassNone, "")
		case op.Action == v1alpha1.ActionSkip || op.Gate.NeedsReplan():
			r.finish(j, OutcomeSkipped, ClassNone, skipMessage(op))
		case op.Action == v1alpha1.ActionPrune:
			prunes = append(prunes, j)
		case op.Action == v1alpha1.ActionCreate || op.Action == v1alpha1.ActionConfigure:
			writes = append(writes, j)
		default:
			r.finish(j, OutcomeFailed, ClassStalled, fmt.Sprintf("unknown action %q", op.Action))
		}
	}
	return writes, prunes
}

func skipMessage(op *plan.Operation) string {
	switch {
	case op.Gate == "":
		return op.Reason
	case op.Reason == "":
		return string(op.Gate)
	}
	return string(op.Gate) + ": " + op.Reason
}

// finish records the result of an operation.
func (r *run) finish(j job, outcome Outcome, class Class, message string) {
	r.finishWith(j, outcome, verdict{class: class, message: message})
}

func (r *run) finishWith(j job, outcome Outcome, v verdict) {
	r.mu.Lock()
	result := &r.results[j.index]
	*result = ObjectResult{
		ObjectReference: j.ObjectReference, Source: j.Source, Action: j.Action,
		Outcome: outcome, Class: v.class, Message: v.message, RetryAfter: v.retryAfter, Leaving: v.leaving, Ordered: v.ordered,
	}
	r.finished[j.Key()] = result
	r.mu.Unlock()
	r.settled.fire()
}

// failed records the failure of an operation.
func (r *run) failed(j job, err error) {
	outcome := OutcomeFailed
	if errors.Is(err, errStopped) || errors.Is(err, errGate) {
		outcome = OutcomeSkipped
	}
	r.finishWith(j, outcome, r.verdict(j, err))
}

// resultOf returns the result of an object so far.
func (r *run) resultOf(key v1alpha1.ObjectKey) (ObjectResult, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result, ok := r.finished[key]
	if !ok {
		return ObjectResult{}, false
	}
	return *result, true
}

// write sends a request that changes the cluster, when there is room for it, and again where that makes
// sense: after 429 as the API server asks, after 5xx and lost connections a few times. All requests are
// such that a repetition does no harm.
func (r *run) write(ctx context.Context, c call) (answer, error) {
	l := r.m.client.limiter
	pause := firstPause
	for attempt := 1; ; attempt++ {
		if err := l.acquire(r.stop); err != nil { //nolint:contextcheck // r.stop ends with the caller's context; ctx outlives it, so that what is in flight is finished.
			return answer{}, errStopped
		}
		if c.stands != nil {
			if err := c.stands(); err != nil {
				l.handOn()
				return answer{}, err
			}
		}
		start := time.Now()
		r.writes.Add(1)
		ans, err := r.m.client.do(ctx, c)
		after := retryAfter(err)
		l.release(time.Since(start), apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err), after)
		if err == nil || !repeatable(err) || attempt >= attemptsFor(err) || r.stop.Err() != nil {
			return ans, err
		}
		if err := sleep(r.stop, max(after, pause)); err != nil { //nolint:contextcheck // As above.
			return answer{}, errStopped
		}
		pause *= 2
	}
}

// outrun tells, after a pause, that a request on condition of a version is to be made anew: someone else, as the
// controller that writes the status of a new object many times within a second, was faster.
func (r *run) outrun(err error, attempt int) bool {
	return apierrors.IsConflict(err) && attempt < maxOutrun && sleep(r.stop, time.Duration(attempt)*firstOutrunPause) == nil
}

func attemptsFor(err error) int {
	if apierrors.IsTooManyRequests(err) {
		return maxBusyAttempts
	}
	return maxAttempts
}

// retryAfter is how long the API server asks to be left alone.
func retryAfter(err error) time.Duration {
	seconds, ok := apierrors.SuggestsClientDelay(err)
	if !ok {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestRetryAfter)
}

// repeatable tells whether the same request may fare better at once. One that waited for a webhook in vain would
// wait as long again, in the place of objects that the webhook is not for.
func repeatable(err error) bool {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || webhookFailed(err) {
		return false
	}
	if !isAnswer(err) {
		return true
	}
	return apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) ||
		apierrors.IsTimeout(err) || apierrors.IsInternalError(err) && !isTypedPatchError(err)
}

// sleep waits for d or for ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// widenSets makes the ApplySets list what is to come beside what is there, so that whatever happens
// from here on no object of ours is of a kind that its set does not list.
func (r *run) widenSets(todo []job) error {
	sets := slices.Clone(r.plan.Sets)
	for _, j := range todo {
		if !slices.ContainsFunc(sets, func(s plan.ApplySet) bool { return r.m.sourceName(s.Source) == r.m.sourceName(j.Source) }) {
			sets = append(sets, plan.ApplySet{Source: j.Source})
		}
	}
	for _, set := range sets {
		if err := r.m.writeParent(r.requests, r, r.widened(set, todo)); err != nil {
			return err
		}
	}
	return nil
}

// widened is what a set lists already and, where something of its source is to be written, what the
// plan wants it to list.
func (r *run) widened(set plan.ApplySet, todo []job) plan.ApplySet {
	source := r.m.sourceName(set.Source)
	name := r.m.parentName(source)
	r.m.state.know(SetID(name), source)
	known, _ := r.m.parents.get(name)
	wide := plan.ApplySet{
		Source: source, GroupKinds: slices.Clone(known.groupKinds), Namespaces: slices.Clone(known.namespaces),
	}
	writes := false
	for _, j := range todo {
		if r.m.sourceName(j.Source) == source {
			writes = true
			wide.GroupKinds = append(wide.GroupKinds, j.GroupKind())
			wide.Namespaces = append(wide.Namespaces, j.Namespace)
		}
	}
	if writes {
		wide.GroupKinds = append(wide.GroupKinds, set.GroupKinds...)
		wide.Namespaces = append(wide.Namespaces, set.Namespaces...)
	}
	wide = normalized(wide)
	for _, gk := range wide.GroupKinds {
		// What no parent of ours listed until now has no object of ours.
		r.m.state.require(groupKind(gk), !slices.Contains(known.groupKinds, gk))
		r.m.want(groupKind(gk))
	}
	return wide
}

// trimSets makes the ApplySets list what the plan says and what is still there beside it, for example
// since its removal failed.
func (r *run) trimSets() {
	for _, set := range r.plan.Sets {
		if r.stop.Err() != nil {
			return
		}
		groupKinds, namespaces := r.m.state.survivors(SetID(r.m.parentName(set.Source)))
		// Of kinds that cannot be looked at nobody knows whether there is anything left.
		known, _ := r.m.parents.get(r.m.parentName(set.Source))
		for _, gk := range r.m.state.missingKinds() {
			if slices.Contains(known.groupKinds, gk.String()) {
				groupKinds = append(groupKinds, gk.String())
				namespaces = append(namespaces, known.namespaces...)
			}
		}
		trimmed := plan.ApplySet{
			Source:     r.m.sourceName(set.Source),
			GroupKinds: slices.Concat(set.GroupKinds, groupKinds),
			Namespaces: slices.Concat(set.Namespaces, namespaces),
		}
		if err := r.m.writeParent(r.requests, r, normalized(trimmed)); err != nil {
			// Listing too much does no harm, and the next Execute tries again.
			r.m.report("trim ApplySet of "+trimmed.Source, err)
			continue
		}
		r.m.report("trim ApplySet of "+trimmed.Source, nil)
	}
}

// normalized sorts a set's lists and drops what is empty or twice in them.
func normalized(set plan.ApplySet) plan.ApplySet {
	for _, list := range []*[]string{&set.GroupKinds, &set.Namespaces} {
		out := slices.DeleteFunc(slices.Clone(*list), func(s string) bool { return s == "" })
		slices.Sort(out)
		*list = slices.Compact(out)
	}
	return set
}

// gkOf is the kind of an operation's object.
func gkOf(op *plan.Operation) schema.GroupKind {
	return schema.GroupKind{Group: op.Group(), Kind: op.Kind}
}
