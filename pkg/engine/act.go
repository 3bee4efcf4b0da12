package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// record keeps the decisions of a plan, before anything is done about them, so that a crash in between
// finds them standing.
func (e *Engine) record(ctx context.Context, p *plan.Plan, snap plan.Snapshot) error {
	next := State{Placements: plan.NextPlacements(p, snap), Clusters: e.rememberClusters(snap.Clusters)}
	next.Orders = e.state.Orders.settled(p, snap.Now)
	next.Sources = e.rememberSources(p, snap.Now)
	rest := !e.kept.Again.IsZero() && !snap.Now.Before(e.kept.Again)
	if !rest && reflect.DeepEqual(next, e.state) {
		return nil
	}
	kept, err := e.options.Store.Save(ctx, next)
	if err != nil {
		return err
	}
	e.kept = kept
	for cluster, n := range failovers(e.state.Placements, next.Placements, snap.Clusters) {
		e.metrics.failovers.WithLabelValues(cluster).Add(float64(n))
	}
	e.logRollouts(ctx, e.state.Sources, next.Sources)
	e.state = next
	return nil
}

// failovers counts, by cluster, the workloads that a decision took away from a cluster that is not
// well.
func failovers(before, after []v1alpha1.Placement, clusters []v1alpha1.Cluster) map[string]int {
	unwell := map[string]bool{}
	for _, c := range clusters {
		unwell[c.Name] = slices.ContainsFunc(c.Spec.Taints, isOurs)
	}
	now := map[v1alpha1.ObjectKey][]v1alpha1.TargetCluster{}
	for _, p := range after {
		now[p.Spec.Workload.Key()] = p.Spec.Clusters
	}
	left := map[string]int{}
	for _, p := range before {
		targets, decided := now[p.Spec.Workload.Key()]
		if !decided {
			continue
		}
		for _, c := range p.Spec.Clusters {
			stays := slices.ContainsFunc(targets, func(t v1alpha1.TargetCluster) bool { return t.Name == c.Name })
			if unwell[c.Name] && !stays {
				left[c.Name]++
			}
		}
	}
	return left
}

// rememberClusters keeps of each cluster what cannot be seen again: since when it is as it is.
func (e *Engine) rememberClusters(clusters []v1alpha1.Cluster) []v1alpha1.Cluster {
	kept := make([]v1alpha1.Cluster, 0, len(clusters))
	for i, c := range clusters {
		given := e.sites[i].described.get().Spec.Taints
		k := v1alpha1.Cluster{}
		k.APIVersion, k.Kind, k.Name = v1alpha1.APIVersion, v1alpha1.KindCluster, c.Name
		for _, t := range c.Spec.Taints {
			if WorthRecording(t, given) {
				k.Spec.Taints = append(k.Spec.Taints, t)
			}
		}
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1alpha1.ConditionReady {
				condition.Message = ""
				k.Status.Conditions = append(k.Status.Conditions, condition)
			}
		}
		k.Status.Region, k.Status.Zones = c.Status.Region, c.Status.Zones
		k.Status.Evictions, k.Status.ReadyHistory = c.Status.Evictions, c.Status.ReadyHistory
		kept = append(kept, k)
	}
	return kept
}

// dispatch hands every cluster its part of the plan where there is something to do now. It tells
// whether nothing was to do anywhere and nothing is in flight.
func (e *Engine) dispatch(ctx context.Context, p *plan.Plan, snap plan.Snapshot) (idle bool) {
	idle = true
	for _, s := range e.sites {
		s.forget(p, snap.Now)
		st := s.state.get()
		if st.member == nil {
			continue
		}
		st.member.SetDesired(p.Desired(s.name), p.GroupKinds(s.name))
		st.member.SetRemoves(p.Removes(s.name))
		st.member.SetPreserved(p.Preserved(s.name))
		if st.busy {
			idle = false
			if overtakes(p, s.name, st) {
				st.member.Overtake()
			}
			continue
		}
		t := e.taskFor(ctx, s, p, snap)
		if t != nil {
			idle = false
		}
		s.offer(t)
	}
	return idle
}

// taskFor returns what a cluster's worker is to do of a plan now; nil: nothing.
func (e *Engine) taskFor(ctx context.Context, s *site, p *plan.Plan, snap plan.Snapshot) task {
	member, failures, waiting := snap.Members[s.name], s.state.get().failures, e.kept.Waiting
	later := func(key v1alpha1.ObjectKey, digest, revision string) bool {
		return waiting[key] || waits(failures, key, digest, revision, snap.Now)
	}
	if len(failures)+len(waiting) > 0 {
		later = withFollowers(p, s.name, later)
	}
	if !member.Known || !member.Reachable || !due(p, s.name, later) {
		return nil
	}
	return func() (plan.ClusterPlan, bool) {
		cp, err := p.ClusterPlan(s.name)
		if err != nil {
			e.log.ErrorContext(ctx, "a cluster's part of the plan cannot be made", "cluster", s.name, "error", err)
			return plan.ClusterPlan{}, false
		}
		cp.HubID = e.hubID
		cp.Operations = slices.DeleteFunc(cp.Operations, func(o plan.Operation) bool {
			return later(o.Key(), o.Digest, cp.Revisions[o.Source])
		})
		return cp, true
	}
}

// withFollowers makes what comes after an operation that is for later be for later, too, in its order on the
// cluster: else the pause of what failed would be a way past it.
func withFollowers(p *plan.Plan, cluster string, later func(v1alpha1.ObjectKey, string, string) bool) func(v1alpha1.ObjectKey, string, string) bool {
	revisions := p.RevisionsAt(cluster)
	after := p.After(cluster, func(o *plan.ObjectChange) bool { return later(o.Key(), o.Digest, revisions[o.Source]) })
	if len(after) == 0 {
		return later
	}
	return func(key v1alpha1.ObjectKey, digest, revision string) bool {
		return after[key] || later(key, digest, revision)
	}
}

// carried is the plan that a cluster's worker carries out, as far as later ones are compared with it.
type carried struct {
	operations map[v1alpha1.ObjectKey]*plan.Operation
	revisions  map[string]string
}

func newCarried(p plan.ClusterPlan) *carried {
	c := &carried{make(map[v1alpha1.ObjectKey]*plan.Operation, len(p.Operations)), p.Revisions}
	for i := range p.Operations {
		c.operations[p.Operations[i].Key()] = &p.Operations[i]
	}
	return c
}

// overtakes tells whether a plan has something to do on a cluster that is no part of what is being carried out
// there, and no repetition of what failed: what waits there for something else must not keep it waiting.
func overtakes(p *plan.Plan, cluster string, st siteState) bool {
	if st.carried == nil {
		return false
	}
	revisions := p.RevisionsAt(cluster)
	// Secrets have no digest here: a new commit may have changed any of them.
	sameRevision := func(source string) bool { return revisions[source] == st.carried.revisions[source] }
	for _, ch := range p.Changes(cluster) {
		if !actionable(ch) {
			continue
		}
		sameDigest := func(digest string) bool { return digest == ch.Digest && (digest != "" || sameRevision(ch.Source)) }
		if o := st.carried.operations[ch.Key()]; o != nil && sameDigest(o.Digest) && (o.Action == v1alpha1.ActionPrune) == (ch.Action == v1alpha1.ActionPrune) {
			continue
		}
		if f, failed := st.failures[ch.Key()]; !failed || !sameDigest(f.digest) {
			return true
		}
	}
	return false
}

// due tells whether a plan has something for the cluster that can be done now: it is not for later.
func due(p *plan.Plan, cluster string, later func(key v1alpha1.ObjectKey, digest, revision string) bool) bool {
	revisions := p.RevisionsAt(cluster)
	for _, o := range p.Changes(cluster) {
		if actionable(o) && !later(o.Key(), o.Digest, revisions[o.Source]) {
			return true
		}
	}
	return false
}

// actionable tells that the executor can do something about a change.
func actionable(o plan.ObjectChange) bool {
	switch o.Action {
	case v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionPrune:
		return !o.Gate.NeedsReplan()
	case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
	}
	return false
}

// waits tells that the same operation failed lately and its next attempt is not due. A new commit of its
// source is a new attempt: it may have changed the policy that the object fails by, and whoever pushed
// it is waiting for the answer.
func waits(failures map[v1alpha1.ObjectKey]failure, key v1alpha1.ObjectKey, digest, revision string, now time.Time) bool {
	f, failed := failures[key]
	return failed && f.digest == digest && (f.revision == revision || f.revision == anyRevision) && now.Before(f.next)
}

// unwell tells that a cluster is not ready, is about to change its verdict, or has not told what it holds.
func (e *Engine) unwell(snap plan.Snapshot) bool {
	for _, c := range snap.Clusters {
		if readyStatus(c) != metav1.ConditionTrue || !snap.Members[c.Name].Known {
			return true
		}
	}
	for _, s := range e.sites {
		if s.state.get().health.Pending() {
			return true
		}
	}
	return false
}

// report logs what is wrong and what no longer is, sets the metrics that follow the plan, and returns what
// is wrong.
func (e *Engine) report(ctx context.Context, p *plan.Plan, snap plan.Snapshot) []Problem {
	var problems []Problem
	for _, poller := range e.pollers {
		if st := poller.state.get(); st.problem != "" {
			problems = append(problems, Problem{Source: poller.id, ID: "source-" + st.class, Reason: st.problem})
		}
		problems = append(problems, poller.missingProblems()...)
		problems = append(problems, poller.standstill()...)
	}
	bySeverity := map[v1alpha1.Severity]int{v1alpha1.SeverityBlocker: 0, v1alpha1.SeverityCaution: 0, v1alpha1.SeverityInfo: 0}
	for _, f := range p.Findings {
		bySeverity[f.Severity]++
	}
	for _, f := range findingProblems(p.Findings) {
		f.Revision = p.Revisions[f.Source]
		problems = append(problems, f)
	}
	for s, n := range bySeverity {
		e.metrics.findings.WithLabelValues(string(s)).Set(float64(n))
	}
	problems = append(problems, e.stop.problems()...)
	e.metrics.waiting(p)
	for i, s := range e.sites {
		problems = append(problems, s.problems(snap.Clusters[i], snap.Members[s.name], p)...)
		e.countObjects(p, s.name)
	}
	for i := range problems {
		problems[i].Severity = cmp.Or(problems[i].Severity, v1alpha1.SeverityBlocker)
	}
	before := e.problems.standing
	e.problems.update(ctx, problems)
	e.metrics.standing(before, e.problems.standing)
	e.observeApplied(p)
	return problems
}

// findingProblems are the findings that someone should look at. Those with one cause, the same id at the
// same place, are one problem, so that a lost cluster is not a page of lines.
func findingProblems(findings []v1alpha1.Finding) []Problem {
	var problems []Problem
	first, count := map[string]int{}, map[string]int{}
	for _, f := range findings {
		if f.Severity.Rank() < v1alpha1.SeverityCaution.Rank() {
			continue
		}
		p := problemOf(f)
		cause := p
		cause.Object = ""
		if f.Source == "" {
			// Without a place the object is all there is to tell causes apart.
			cause.Object = p.Object
		}
		if count[cause.key()]++; count[cause.key()] == 1 {
			first[cause.key()] = len(problems)
			problems = append(problems, p)
		}
	}
	for key, n := range count {
		if p := &problems[first[key]]; n > 1 {
			p.Object = ""
			p.Reason = fmt.Sprintf("%s (and %d more objects)", p.Reason, n-1)
		}
	}
	return problems
}

func problemOf(f v1alpha1.Finding) Problem {
	p := Problem{Source: f.Repository, At: f.Source, ID: f.ID, Reason: f.Message, Severity: f.Severity}
	if f.Object != nil {
		p.Object = f.Object.String()
	}
	if len(f.Clusters) == 1 {
		p.Cluster = f.Clusters[0]
	}
	return p
}

// problems are those of one cluster, reachable or not: that it is not ready, what its member cannot watch, what has
// failed there, and what could not be written.
func (s *site) problems(c v1alpha1.Cluster, held plan.Member, p *plan.Plan) []Problem {
	st := s.state.get()
	name := s.name
	var ps []Problem
	if readyStatus(c) != metav1.ConditionTrue {
		ps = append(ps, Problem{Cluster: name, ID: "cluster-not-ready", Reason: cmp.Or(st.health.Message, lookedAtAnew)})
	}
	if st.refused != "" {
		ps = append(ps, Problem{Cluster: name, ID: "plan-refused", Reason: st.refused})
	}
	// What cannot be watched on a cluster that is away, or about to count as away, is no other problem than that.
	if st.member != nil && readyStatus(c) == metav1.ConditionTrue && !st.health.Pending() {
		reasons := st.member.Problems()
		if !held.Reachable {
			// No watch works then: that is one thing to look at, and the next probe tells more.
			reasons = []string{apply.ErrUnreachable.Error()}
		}
		unhealthy := s.unhealthy(st.member, held, p)
		for reason := range unhealthy {
			reasons = append(reasons, reason)
		}
		for _, reason := range s.confirmed(reasons) {
			if problem, found := unhealthy[reason]; found {
				ps = append(ps, problem)
				continue
			}
			ps = append(ps, Problem{Cluster: name, ID: "watch", what: reason, Reason: reason})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(st.failures), v1alpha1.ObjectKey.Compare) {
		f := st.failures[k]
		problem := Problem{
			Source: f.result.Source, Cluster: name, Object: f.result.String(), ID: "apply-" + string(f.result.Class),
			At: p.DeclaredAt(name, k), Reason: f.result.Message, Revision: f.revision,
		}
		if f.fight {
			problem.ID = problemFight
		}
		ps = append(ps, problem)
	}
	return ps
}

func (e *Engine) countObjects(p *plan.Plan, cluster string) {
	count := map[v1alpha1.Action]int{}
	for _, o := range p.Changes(cluster) {
		count[o.Action]++
	}
	for _, a := range []v1alpha1.Action{
		v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionUnchanged, v1alpha1.ActionPrune, v1alpha1.ActionSkip,
	} {
		e.metrics.objects.WithLabelValues(cluster, string(a)).Set(float64(count[a]))
	}
}

// observeApplied measures, for each source whose latest commit has just arrived everywhere, how long
// that took.
func (e *Engine) observeApplied(p *plan.Plan) {
	waiting := map[string]bool{}
	for _, c := range p.Clusters {
		for _, o := range c.Objects {
			if actionable(o) || o.Gate.Kind() == v1alpha1.GateRollout {
				waiting[o.Source] = true
			}
		}
	}
	for _, poller := range e.pollers {
		if waiting[poller.id] {
			continue
		}
		poller.state.update(func(st *sourceState) bool {
			if planned := p.Revisions[poller.id]; st.tree == nil || planned != st.tree.Revision {
				return false // A newer one came while this one was planned.
			}
			if st.applied != st.revision.String() {
				st.applied = st.revision.String()
				e.nudge() // The history is to be kept.
			}
			if st.seenAt.IsZero() {
				return false
			}
			took := time.Since(st.seenAt)
			st.seenAt = time.Time{}
			e.metrics.commitToApplied.WithLabelValues(poller.id).Observe(took.Seconds())
			e.log.Info("applied", "source", poller.id, "revision", st.revision.String(), "took", fmt.Sprintf("%.2fs", took.Seconds()))
			return true
		})
	}
}
