package engine

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// inbox is what others want of the loop.
type inbox struct {
	// configuration is the latest that was not taken up yet.
	configuration *Configuration
	// changes of orders, the oldest first.
	changes []orderChange
	// records is what others did to records of decisions.
	records RecordChange
}

// Reconfigure replaces the configuration of an engine, running or not; of several the last one counts. A
// source is known by its id and a cluster by its name: what did not change goes on as it is; a source
// whose address, content or credentials changed is read anew while its last good tree stays in use; a
// cluster that is reached otherwise is connected anew. A source that is missing, or is being deleted,
// leaves its objects behind or takes them along as its deletionPolicy says; a cluster that is missing is
// no longer touched. The id of the hub and the name of the configuration stay what they were.
func (e *Engine) Reconfigure(c Configuration) {
	e.inbox.update(func(in *inbox) bool { in.configuration = &c; return true })
	e.nudge()
}

// takeUp does what came in since the last turn.
func (e *Engine) takeUp(ctx context.Context) {
	var in inbox
	e.inbox.update(func(box *inbox) bool { in, *box = *box, inbox{}; return true })
	if in.configuration != nil {
		e.configure(*in.configuration) //nolint:contextcheck // what the crew runs lives as long as Run, whichever turn starts it
	}
	e.reconnect() //nolint:contextcheck // what the crew runs lives as long as Run, whichever turn starts it
	e.obey(ctx, in.changes)
	e.takeRecords(in.records)
}

// configure makes the pollers and sites those of a configuration and of the orders over it.
func (e *Engine) configure(given Configuration) {
	before, next := e.current, e.state.Orders.over(given)
	e.configured, e.current = given, next
	if e.rules == nil || !slices.Equal(before.Config.Health.Rules, next.Config.Health.Rules) {
		// Whoever reads a configuration refuses rules that do not compile; here the others count.
		e.rules, _ = health.NewRules(next.Config.Health.Rules)
	}
	e.configureSources(next)
	e.configureClusters(before, next)
}

func (e *Engine) configureSources(next Configuration) {
	old := map[string]*poller{}
	for _, p := range e.pollers {
		old[p.id] = p
	}
	e.pollers = nil
	for _, spec := range next.Sources {
		id := SourceID(spec)
		p := e.newPoller(spec, next.SourceCredentials[id])
		if before := old[id]; before != nil {
			delete(old, id)
			if reflect.DeepEqual(before.spec, p.spec) && before.credentials == p.credentials {
				e.pollers = append(e.pollers, before)
				continue
			}
			p.follow(before)
		}
		e.pollers = append(e.pollers, p)
		e.crew.start(p)
	}
	for _, id := range slices.Sorted(maps.Keys(old)) {
		p := old[id]
		if !p.leaving && !slices.Contains(next.Unusable, id) {
			leaving := e.newPoller(p.spec, p.credentials)
			leaving.leaving = true
			leaving.follow(p)
			p = leaving
		}
		if p.leaving {
			e.pollers = append(e.pollers, p)
			continue
		}
		p.end()
		e.metrics.forgetSource(id)
	}
	slices.SortFunc(e.pollers, func(a, b *poller) int { return strings.Compare(a.id, b.id) })
}

func (e *Engine) newPoller(spec v1alpha1.GitSource, credentials string) *poller {
	p := &poller{
		lifecycle: newLifecycle(), id: SourceID(spec), spec: spec, credentials: credentials,
		leaving: spec.DeletionTimestamp != nil,
		open:    e.options.Open, builder: e.options.Builder,
		metrics: e.metrics, changed: e.nudge, given: spec.Spec,
	}
	for _, s := range e.configured.Sources {
		if SourceID(s) == p.id {
			p.given = s.Spec
		}
	}
	p.recall(e.remembered(p.id))
	return p
}

// follow takes over from the poller that the same source had so far, which ends.
func (p *poller) follow(before *poller) {
	p.succeedTo(&before.lifecycle)
	state := before.state.get()
	if !sameContent(before, p) {
		state.outdated, state.earlier, state.missing = true, nil, nil
	}
	p.state.value = state
}

// sameContent tells that what two forms of a source read from a revision is the same.
func sameContent(a, b *poller) bool {
	x, y := a.spec.Spec, b.spec.Spec
	return x.URL == y.URL && x.Path == y.Path && x.TargetNamespace == y.TargetNamespace && reflect.DeepEqual(x.Limits, y.Limits) && x.Variables == y.Variables &&
		reflect.DeepEqual(x.Decryption, y.Decryption) && (x.Decryption == nil || a.credentials == b.credentials)
}

func (e *Engine) configureClusters(before, next Configuration) {
	same := reflect.DeepEqual(before.Config.Apply, next.Config.Apply) && reflect.DeepEqual(before.Config.Health, next.Config.Health)
	old := map[string]*site{}
	for _, s := range e.sites {
		old[s.name] = s
	}
	e.sites = nil
	for _, c := range next.Clusters {
		s := e.newSite(c, next.ClusterCredentials[c.Name])
		if was := old[c.Name]; was != nil {
			delete(old, c.Name)
			if same && was.credentials == s.credentials && sameConnection(was.described.get().Spec, c.Spec) {
				was.described.update(func(d *v1alpha1.Cluster) bool { *d = c; return true })
				e.sites = append(e.sites, was)
				continue
			}
			s.follow(was)
		}
		e.sites = append(e.sites, s)
		e.crew.start(s)
	}
	for _, s := range old {
		s.end()
		e.metrics.forgetCluster(s.name)
	}
	slices.SortFunc(e.sites, func(a, b *site) int { return strings.Compare(a.name, b.name) })
}

// sameConnection tells that two descriptions of a cluster say the same about how to reach it.
func sameConnection(a, b v1alpha1.ClusterSpec) bool {
	return a.KubeconfigFile == b.KubeconfigFile && a.KubeconfigContext == b.KubeconfigContext && reflect.DeepEqual(a.SecretRef, b.SecretRef)
}

func (e *Engine) newSite(c v1alpha1.Cluster, credentials string) *site {
	config := e.current.Config
	a := config.Apply
	return &site{
		lifecycle: newLifecycle(), name: c.Name, described: locked[v1alpha1.Cluster]{value: c}, credentials: credentials,
		connect: e.options.Connect, config: config, metrics: e.metrics, now: e.options.Now,
		// There is room for the one task that a worker may not have begun when it ends.
		changed: e.nudge, work: make(chan struct{}, 1), connecting: e.connecting, writing: e.writing,
		options: apply.Options{
			Name: c.Name, HubID: e.hubID, SourceNamespace: DefaultNamespace, SecretKey: e.options.SecretKey,
			Concurrency: int(*a.Concurrency), RequestTimeout: a.RequestTimeout.Duration,
			WaitTimeout: a.WaitTimeout.Duration, FullCompareInterval: a.FullCompareInterval.Duration,
			Capacity: true, Health: e.rules,
			OnChange: func(string) { e.nudge() },
		},
	}
}

// follow takes over from the site that the same cluster had so far, which ends: with its health and its
// failures, and without its connection.
func (s *site) follow(before *site) {
	s.succeedTo(&before.lifecycle)
	was := before.state.get()
	s.state.value = siteState{health: was.health, probed: was.probed, facts: was.facts, location: was.location, failures: was.failures, writes: was.writes}
}

// SourceStatus is what is known of one source.
type SourceStatus struct {
	ID string
	// Revision is the last one that was read, Applied the last one that has arrived on every cluster that
	// it concerns; both are empty before the first.
	Revision, Applied string
	// History are the revisions that were applied, the newest first, and Rollout is how far the latest has
	// spread; nil: at once.
	History []v1alpha1.AppliedRevision
	Rollout *v1alpha1.RolloutStatus
	// Problem is why the last attempt to read it failed, of the Class "stalled", "wait" or "retry"; empty
	// after a success.
	Problem, Class string
	// Tried tells that there was an attempt.
	Tried bool
	// Gone tells of a source that is being deleted that nothing of it is left to remove.
	Gone bool
}

// sourceStatuses tells how the sources stand. A source that has left is forgotten once it is no longer
// configured.
func (e *Engine) sourceStatuses(p *plan.Plan, snap plan.Snapshot) []SourceStatus {
	out := make([]SourceStatus, 0, len(e.pollers))
	stay := make([]*poller, 0, len(e.pollers))
	for _, poller := range e.pollers {
		st := poller.state.get()
		known := e.remembered(poller.id).Status
		status := SourceStatus{ID: poller.id, History: known.History, Rollout: known.Rollout, Applied: st.applied, Problem: st.problem, Class: st.class, Tried: st.tried}
		if st.tree != nil {
			status.Revision = st.tree.Revision
		}
		status.Gone = poller.leaving && left(poller.id, p, snap)
		if poller.leaving && !poller.told {
			poller.told = true
			e.log.Info("source leaves", "source", poller.id, "deletionPolicy", poller.spec.Spec.DeletionPolicy)
		}
		out = append(out, status)
		configured := slices.ContainsFunc(e.current.Sources, func(s v1alpha1.GitSource) bool { return SourceID(s) == poller.id })
		if status.Gone && !configured {
			poller.end()
			e.metrics.forgetSource(poller.id)
			e.log.Info("source is gone", "source", poller.id)
			continue
		}
		stay = append(stay, poller)
	}
	e.pollers = stay
	return out
}

// left tells that of a source that leaves nothing will be removed any more: every cluster was seen, and
// what it still holds stays for a reason of its own, such as a missing confirmation.
func left(source string, p *plan.Plan, snap plan.Snapshot) bool {
	for _, c := range snap.Clusters {
		if m := snap.Members[c.Name]; !m.Known || !m.Reachable {
			return false
		}
		if slices.ContainsFunc(p.Changes(c.Name), func(o plan.ObjectChange) bool {
			return o.Source == source && o.Action == v1alpha1.ActionPrune
		}) {
			return false
		}
	}
	return true
}

// goneSources are the sources that members hold objects of and that do not exist: the configuration is
// the whole truth.
func (e *Engine) goneSources(members map[string]plan.Member) []string {
	exists := map[string]bool{"": true}
	for _, p := range e.pollers {
		exists[p.id] = true
	}
	for _, id := range e.current.Unusable {
		exists[id] = true
	}
	gone := map[string]bool{}
	for _, m := range members {
		for held := range m.Objects.All() {
			if !exists[qualified(held.Source)] {
				gone[qualified(held.Source)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(gone))
}

// qualified is the id of a source that may be named without its namespace.
func qualified(source string) string {
	if source == "" || strings.Contains(source, "/") {
		return source
	}
	return DefaultNamespace + "/" + source
}

// crew starts what runs beside the loop, and waits for it.
type crew struct {
	ctx   context.Context
	group sync.WaitGroup
}

// runner is a poller or a site.
type runner interface {
	run(ctx context.Context)
	life() *lifecycle
}

// start runs r until it ends or the crew's context does. A nil crew has not begun: what is configured is
// started when it does.
func (c *crew) start(r runner) {
	if c == nil {
		return
	}
	l := r.life()
	ctx, cancel := context.WithCancel(c.ctx)
	c.group.Go(func() {
		defer cancel()
		select {
		case <-l.stop:
		case <-l.over:
		}
	})
	c.group.Go(func() {
		defer close(l.over)
		if l.after != nil {
			<-l.after
		}
		r.run(ctx)
	})
}

// wait returns when everything that was started has ended.
func (c *crew) wait() { c.group.Wait() }

// lifecycle lets a poller or a site end while the engine goes on, and its successor begin after that.
type lifecycle struct {
	// stop is closed when it is to end, over when run has returned; after is over of the predecessor, nil
	// without one.
	stop, over, after chan struct{}
}

func newLifecycle() lifecycle {
	return lifecycle{stop: make(chan struct{}), over: make(chan struct{})}
}

func (l *lifecycle) life() *lifecycle { return l }

// end asks for the end, once.
func (l *lifecycle) end() { close(l.stop) }

// succeedTo ends the predecessor and begins after it.
func (l *lifecycle) succeedTo(before *lifecycle) {
	l.after = before.over
	before.end()
}
