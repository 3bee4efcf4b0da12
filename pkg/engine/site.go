package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/failover"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Connector says how to reach a cluster. An error concerns that cluster alone and is tried again
// with every probe, since credentials may come later.
type Connector func(v1alpha1.Cluster) (*rest.Config, error)

// site is one cluster with everything that the engine runs for it: a member that watches and
// writes, a prober, and a worker that carries out one plan at a time.
type site struct {
	lifecycle
	name string
	// described is the cluster as people describe it at the moment.
	described locked[v1alpha1.Cluster]
	// credentials is the version of what the cluster is reached with.
	credentials string
	connect     Connector
	options     apply.Options
	config      v1alpha1.ConfigSpec
	metrics     *Metrics
	now         func() time.Time
	// changed tells the engine to plan again.
	changed func()

	// connecting and writing have room for some of all clusters at a time.
	connecting, writing *room

	state locked[siteState]
	// work has a token while a task is offered that the worker has not begun.
	work chan struct{}
}

// task makes a cluster's part of the latest plan when it is its turn; false: it cannot be made.
type task func() (plan.ClusterPlan, bool)

// siteState is what is known of a cluster.
type siteState struct {
	// member is nil while the cluster has no usable connection.
	member *apply.Member
	// reached is how that was made, and outdated tells that the cluster is reached otherwise by now.
	reached  *route
	outdated bool
	health   failover.ClusterHealth
	probed   bool
	// answered is when the last probe began that succeeded. doubts are problems of watches, and since when; unsure
	// tells that some of them were not told yet.
	answered time.Time
	doubts   map[string]time.Time
	unsure   bool
	// facts are those that were recorded, until the cluster tells them itself.
	facts *v1alpha1.ClusterStatus
	// location is where its nodes are.
	location location
	// busy tells that a plan is being carried out, offered that the worker has been told of a task, which is
	// the latest one; nil: there is nothing to do any more.
	busy, offered bool
	task          task
	// carried is the plan that is being carried out; nil: none is.
	carried *carried
	// failures by object, for back-off and problems.
	failures map[v1alpha1.ObjectKey]failure
	// writes by object, to notice when someone undoes them again and again.
	writes map[v1alpha1.ObjectKey]writeStreak
	// refused is why the last plan was refused as a whole; empty: it was not.
	refused string
}

// failure is an operation that did not succeed, and when to try it again.
type failure struct {
	result apply.ObjectResult
	digest string
	// revision is that of the source; anyRevision: no commit that leaves the digest as it is matters.
	revision string
	count    int
	next     time.Time
	// fight tells that the object was written, and changed again by someone else, too often; quiet is
	// since when nobody does.
	fight bool
	quiet time.Time
}

const anyRevision = ""

// askInterval is how often the end of a namespace is asked for.
const askInterval = 5 * time.Second

// run watches the cluster and carries plans out until ctx ends. Then what is in flight is finished, and
// watching ends when the last request was answered.
func (s *site) run(ctx context.Context) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var probing sync.WaitGroup
	probing.Go(func() { s.probeLoop(watching) })
	s.workLoop(ctx)
	stop()
	probing.Wait()
	if m := s.state.get().member; m != nil {
		m.Wait()
	}
}

// probeLoop watches whether the cluster answers, and connects to it first.
func (s *site) probeLoop(ctx context.Context) {
	s.begin(ctx)
	for sleep(ctx, s.config.Health.ProbeInterval.Duration) {
		s.observe(ctx)
	}
}

// begin connects to the cluster when there is room, which it keeps until what the cluster holds is known.
func (s *site) begin(ctx context.Context) {
	leave, err := s.connecting.enter(ctx)
	if err != nil {
		return
	}
	defer leave()
	s.observe(ctx)
	if st := s.state.get(); st.member != nil && st.health.Answering() {
		told, cancel := context.WithTimeout(ctx, roomHeld)
		defer cancel()
		_ = st.member.WaitSynced(told) // What is not known by then comes later, as an event.
	}
}

func (s *site) observe(ctx context.Context) {
	o := failover.Observation{Answer: failover.Ready, Message: "answers"}
	outdated, began := false, s.now()
	if err := s.probe(ctx); err != nil {
		if ctx.Err() != nil {
			return
		}
		outdated = s.reachedOtherwise()
		o.Answer, o.Message = failover.Unreachable, err.Error()
		var notReady *apply.NotReadyError
		if errors.As(err, &notReady) {
			o.Answer = failover.NotReady
		}
	}
	o.Time = s.now()
	news := s.state.update(func(st *siteState) bool {
		before := st.health
		st.health = before.Observe(o, s.thresholds())
		news := !st.probed || before.Status != st.health.Status || before.Recovering() != st.health.Recovering() ||
			before.Answering() != st.health.Answering() || before.Pending() != st.health.Pending()
		news = news || outdated && !st.outdated
		st.probed, st.outdated = true, outdated
		st.writes = recent(st.writes, o.Time)
		if o.Answer == failover.Ready {
			news = news || st.unsure
			st.answered, st.unsure = began, false
		}
		ready := 0.0
		if st.health.Status == metav1.ConditionTrue {
			ready = 1
		}
		s.metrics.clusterReady.WithLabelValues(s.name).Set(ready)
		return news
	})
	if news {
		s.changed()
	}
}

// probe asks the cluster whether it is ready, connecting to it where that has not been done.
func (s *site) probe(ctx context.Context) error {
	member := s.state.get().member
	if member == nil {
		cfg, err := s.connect(s.described.get())
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		options := s.options
		options.RESTConfig = cfg
		if member, err = apply.New(options); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		member.Start(ctx)
		reached := routeOf(cfg)
		s.state.update(func(st *siteState) bool { st.member, st.reached = member, &reached; return true })
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Health.ProbeTimeout.Duration)
	defer cancel()
	return member.Probe(ctx)
}

func (s *site) thresholds() failover.Thresholds {
	h := s.config.Health
	return failover.Thresholds{
		Failure: h.FailureThreshold.Duration, Recovery: h.RecoveryThreshold.Duration,
		MaxGap: 4*(h.ProbeInterval.Duration+h.ProbeTimeout.Duration) + time.Second,
	}
}

// workLoop carries out plans one after another. A plan that has begun is finished even when ctx ends:
// Execute starts nothing new then and waits for what is in flight.
func (s *site) workLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.work:
			leave, err := s.writing.enter(ctx)
			if err != nil {
				return
			}
			if p, ok := s.take(); ok {
				s.execute(ctx, p)
				s.changed()
			}
			leave()
		}
	}
}

// offer hands a task to the worker in place of one that it has not begun; nil: there is nothing to do. While
// it carries one out nothing is offered, since the engine plans again after that.
func (s *site) offer(t task) {
	tell := s.state.update(func(st *siteState) bool {
		if st.busy {
			return false
		}
		tell := t != nil && !st.offered
		st.task, st.offered = t, st.offered || tell
		return tell
	})
	if tell {
		s.work <- struct{}{}
	}
}

// take begins the latest task; false: there is none.
func (s *site) take() (p plan.ClusterPlan, ok bool) {
	var t task
	s.state.update(func(st *siteState) bool {
		t, st.task, st.offered = st.task, nil, false
		st.busy = t != nil
		return true
	})
	if t == nil {
		return plan.ClusterPlan{}, false
	}
	p, ok = t()
	s.state.update(func(st *siteState) bool {
		if st.busy = ok; ok {
			st.carried = newCarried(p)
		}
		return true
	})
	return p, ok
}

// forget drops the failures of objects that no plan wants to change any more: they are gone from Git, go
// elsewhere, or someone else has seen to them. A fight is quiet after each of our writes, so it is
// remembered until its pause is over.
func (s *site) forget(p *plan.Plan, now time.Time) {
	if st := s.state.get(); len(st.failures)+len(st.writes) == 0 {
		return
	}
	wanted := map[v1alpha1.ObjectKey]bool{}
	if len(s.state.get().failures) > 0 {
		for _, o := range p.Changes(s.name) {
			wanted[o.Key()] = actionable(o)
		}
	}
	s.state.update(func(st *siteState) bool {
		kept := make(map[v1alpha1.ObjectKey]failure, len(st.failures))
		for k, f := range st.failures {
			if f.fight && f.rests(wanted[k], now) || !f.fight && wanted[k] {
				kept[k] = f
			}
		}
		st.failures = kept
		st.watchRivals(p, s.name)
		return true
	})
}

func (s *site) execute(ctx context.Context, p plan.ClusterPlan) {
	result, err := s.state.get().member.Execute(ctx, p)
	s.count(p, result)
	s.state.update(func(st *siteState) bool {
		st.busy, st.carried = false, nil
		st.refused = ""
		if err != nil && !errors.Is(err, apply.ErrStalePlan) && ctx.Err() == nil {
			st.refused = err.Error()
		}
		now := s.now()
		st.failures = mergeFailures(st.failures, p, result, now)
		limit := *s.config.Apply.DriftFightLimit
		st.writes = mergeWrites(st.writes, p, result, limit, now)
		for k, f := range fights(st.writes, p, limit, now) {
			st.failures[k] = f
			s.metrics.fights.WithLabelValues(s.name).Inc()
		}
		return true
	})
}

// count feeds the metrics that follow what was done.
func (s *site) count(p plan.ClusterPlan, r apply.Result) {
	for i, o := range r.Objects {
		s.metrics.requests.WithLabelValues(s.name, string(o.Outcome)).Inc()
		if o.Outcome == apply.OutcomeApplied && p.Operations[i].PutsBack {
			s.metrics.driftRepaired.WithLabelValues(s.name).Inc()
		}
	}
}

// mergeFailures drops the failures of objects that succeeded and takes over new ones with the time of
// the next attempt: what waits or may succeed unchanged soon, what needs a person seldom.
func mergeFailures(old map[v1alpha1.ObjectKey]failure, p plan.ClusterPlan, r apply.Result, now time.Time) map[v1alpha1.ObjectKey]failure {
	digests := map[v1alpha1.ObjectKey]string{}
	for _, o := range p.Operations {
		digests[o.Key()] = o.Digest
	}
	next := make(map[v1alpha1.ObjectKey]failure, len(old))
	for k, f := range old {
		next[k] = f
	}
	for _, o := range r.Objects {
		k := o.Key()
		if o.Class == apply.ClassNone {
			delete(next, k)
			continue
		}
		f := failure{result: o, digest: digests[k], revision: p.Revisions[o.Source], count: 1}
		if before, ok := old[k]; ok && before.digest == f.digest && before.revision == f.revision {
			f.count = before.count + 1
		}
		least, greatest := time.Second, time.Minute
		if o.Class == apply.ClassStalled || o.Class == apply.ClassConflict || o.Class == apply.ClassDenied {
			least, greatest = 10*time.Second, 10*time.Minute
		}
		if o.Ordered {
			// In between nobody would see that its turn has come.
			greatest = least
		}
		f.next = now.Add(max(backoff(f.count, least, greatest), o.RetryAfter))
		next[k] = f
	}
	hurry(next, r, now)
	return next
}

// hurry makes due at once what waited for a namespace in which something was just created, as for one that was being
// removed. Until then one object of each such namespace asks for all of it every askInterval.
func hurry(failures map[v1alpha1.ObjectKey]failure, r apply.Result, now time.Time) {
	asks := map[string]v1alpha1.ObjectKey{}
	for k, f := range failures {
		if first, ok := asks[k.Namespace]; f.result.Leaving && (!ok || k.Compare(first) < 0) {
			asks[k.Namespace] = k
		}
		if f.result.Class == apply.ClassWait && takesObjects(r, k.Namespace) {
			f.next, f.count = now, 1
			failures[k] = f
		}
	}
	for _, k := range asks {
		f := failures[k]
		if soon := now.Add(askInterval); f.next.After(soon) {
			f.next = soon
			failures[k] = f
		}
	}
}

// takesObjects tells that something was just created in a namespace: what waited for it, as for one that was
// being deleted, need not wait any longer.
func takesObjects(r apply.Result, namespace string) bool {
	return namespace != "" && slices.ContainsFunc(r.Objects, func(o apply.ObjectResult) bool {
		return o.Namespace == namespace && o.Action == v1alpha1.ActionCreate && o.Outcome == apply.OutcomeApplied
	})
}
