package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// rollOut turns a plan that takes every latest revision everywhere into one that takes them as far as
// their rollouts allow. A cluster that a revision may not go to yet gets, as a whole, the plan of the
// revisions that it is at: content, shares, removals, drift repair and failover are as if the new commit
// were not there. What the commit will bring there is shown with the gate rollout:<step>.
func (p *Planner) rollOut(newest *Plan, trees Trees, snap Snapshot) *Plan {
	rollouts := p.rollouts(newest, trees, snap)
	if len(rollouts) == 0 {
		p.earlier = nil
		return newest
	}
	newest.rollouts = map[string]v1alpha1.RolloutStatus{}
	findings := newFindingSet(v1alpha1.PlanConfig{})
	for _, r := range rollouts {
		newest.rollouts[r.source] = r.status
		newest.Rollouts = append(newest.Rollouts, r.entry())
		newest.recheck(r.recheck)
		if f, stopped := r.finding(); stopped {
			newest.at.findings.add(f)
		}
	}
	parts := p.earlierPlans(newest, rollouts, trees, snap)
	for _, f := range newest.at.findings.list() {
		findings.keep(f)
	}
	for _, part := range parts {
		newest.take(part, rollouts)
		newest.recheck(part.RecheckAt)
		for _, f := range part.Findings {
			if f.Clusters = slices.DeleteFunc(slices.Clone(f.Clusters), func(name string) bool { return newest.parts[name] != part }); len(f.Clusters) > 0 {
				findings.keep(f)
			}
		}
	}
	newest.Findings = findings.list()
	return newest
}

// rollouts works out how far the revision of each source with a rollout may go, by the source's name.
func (p *Planner) rollouts(newest *Plan, trees Trees, snap Snapshot) []*rollout {
	var all []*rollout
	for i := range trees {
		s := &trees[i]
		if s.Spec.Rollout == nil || s.Leaving {
			continue
		}
		pinned := s.Spec.PinnedRevision != ""
		r := &rollout{
			// Until the commit is read that the source is pinned to, what is there goes no further.
			source: s.Source, revision: s.Revision, spec: *s.Spec.Rollout, suspended: s.Spec.Suspend || pinned,
			everywhere: pinned && commitID(s.Spec.PinnedRevision) == commitID(s.Revision), clusters: newest.at.clusters, now: snap.Now, state: statesOf(newest, s.Source),
		}
		var before *v1alpha1.RolloutStatus
		if recorded, known := snap.Rollouts[s.Source]; known {
			before = &recorded
		}
		r.advance(before, snap.AppliedRevisions[s.Source])
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *rollout) int { return strings.Compare(a.source, b.source) })
	return all
}

// recheck takes another time into account at which the plan changes by itself.
func (p *Plan) recheck(t time.Time) {
	if !t.IsZero() && (p.RecheckAt.IsZero() || t.Before(p.RecheckAt)) {
		p.RecheckAt = t
	}
}

// earlierPlans computes the plans of the clusters that are not at the latest revision of every source: one
// for each set of revisions that clusters are at.
func (p *Planner) earlierPlans(newest *Plan, rollouts []*rollout, trees Trees, snap Snapshot) []*Plan {
	members := map[string][]string{}
	revisions := map[string]map[string]string{}
	for i, cl := range newest.at.clusters {
		at := map[string]string{}
		for _, r := range rollouts {
			if r.at[i] != r.revision {
				at[r.source] = r.at[i]
			}
		}
		if len(at) == 0 {
			continue
		}
		key := fmt.Sprint(at) // Maps are printed in the order of their keys.
		members[key], revisions[key] = append(members[key], cl.Name), at
	}
	planners := map[string]*Planner{}
	var parts []*Plan
	newest.parts = map[string]*Plan{}
	decided := NextPlacements(newest, snap)
	for _, key := range keys(members) {
		planner := p.earlier[key]
		if planner == nil {
			planner = NewPlanner(p.options)
		}
		planners[key] = planner
		part := planner.begin(earlierTrees(trees, revisions[key]), earlierSnapshot(snap, newest, decided, revisions[key])).run()
		part.earlier = revisions[key]
		for _, name := range members[key] {
			newest.parts[name] = part
		}
		parts = append(parts, part)
	}
	p.earlier = planners
	return parts
}

// earlierTrees are the trees with some sources at earlier revisions. A source of whose revision there is no
// tree is left out: of it nothing changes.
func earlierTrees(trees Trees, revisions map[string]string) Trees {
	var earlier Trees
	for _, s := range trees {
		if revision, behind := revisions[s.Source]; behind {
			i := slices.IndexFunc(s.Earlier, func(t render.Tree) bool { return t.Revision == revision })
			if i < 0 {
				continue
			}
			s.Tree = s.Earlier[i]
		}
		earlier = append(earlier, s)
	}
	return earlier
}

// earlierSnapshot is the snapshot with the decisions that count with some sources at earlier revisions:
// of those sources the ones that were made then, of all others the ones that the newest plan makes.
func earlierSnapshot(snap Snapshot, newest *Plan, decided []v1alpha1.Placement, revisions map[string]string) Snapshot {
	behind := func(key v1alpha1.ObjectKey) (string, bool) {
		it := newest.at.byKey[key]
		if it == nil {
			return "", true
		}
		revision, is := revisions[it.source.Source]
		return revision, is
	}
	placements := make([]v1alpha1.Placement, 0, len(decided))
	for _, r := range decided {
		if _, is := behind(r.Spec.Workload.Key()); !is {
			placements = append(placements, r)
		}
	}
	for _, r := range snap.Placements {
		revision, is := behind(r.Spec.Workload.Key())
		if !is {
			continue
		}
		if i := slices.IndexFunc(r.Status.Earlier, func(e v1alpha1.EarlierDecision) bool { return e.Revision == revision }); i >= 0 {
			e := r.Status.Earlier[i]
			r.Spec.Clusters, r.Spec.AffinityGroup, r.Spec.Evicting, r.Spec.Inputs = e.Clusters, e.AffinityGroup, e.Evicting, e.Inputs
		}
		placements = append(placements, r)
	}
	snap.Placements = placements
	return snap
}

// take lets a plan of earlier revisions say what happens on its clusters, and shows what waits there.
func (p *Plan) take(part *Plan, rollouts []*rollout) {
	for i := range p.Clusters {
		cc := &p.Clusters[i]
		if p.parts[cc.Name] != part {
			continue
		}
		later, now := cc.Objects, part.Clusters[i].Objects
		merged := make([]ObjectChange, 0, max(len(later), len(now)))
		for len(later) > 0 || len(now) > 0 {
			switch order := compareHeads(later, now); {
			case order < 0:
				if ch, shown := p.waiting(later[0], nil, i, rollouts); shown {
					merged = append(merged, ch)
				}
				later = later[1:]
			case order > 0:
				merged = append(merged, part.foreign(now[0]))
				now = now[1:]
			default:
				ch, shown := p.waiting(later[0], &now[0], i, rollouts)
				if !shown {
					ch = part.foreign(now[0])
				}
				merged = append(merged, ch)
				later, now = later[1:], now[1:]
			}
		}
		cc.Objects = merged
	}
}

// compareHeads orders the first objects of two lists; an empty list comes last.
func compareHeads(a, b []ObjectChange) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return a[0].Key().Compare(b[0].Key())
}

// foreign marks a change as one of another computation than the plan's own.
func (p *Plan) foreign(ch ObjectChange) ObjectChange {
	ch.of = p.at
	return ch
}

// waiting returns what the new revision will do to an object on a cluster that it may not go to yet; false
// where that is nothing, or where what happens now matters more.
func (p *Plan) waiting(later ObjectChange, now *ObjectChange, cluster int, rollouts []*rollout) (ObjectChange, bool) {
	i := slices.IndexFunc(rollouts, func(r *rollout) bool { return r.source == later.Source && r.at[cluster] != r.revision })
	changes := func(a v1alpha1.Action) bool {
		return a == v1alpha1.ActionCreate || a == v1alpha1.ActionConfigure || a == v1alpha1.ActionPrune
	}
	if now != nil && changes(now.Action) && !now.Gate.NeedsReplan() {
		return ObjectChange{}, false
	}
	if i < 0 || !changes(later.Action) {
		// Without a tree of its revision the object is not looked at; as far as is known it is as it
		// should be.
		unseen := now != nil && now.Gate == v1alpha1.GateHeld.Of(heldNoTree) && later.Action == v1alpha1.ActionUnchanged
		return later, unseen
	}
	r := rollouts[i]
	later.Gate = v1alpha1.GateRollout.Of(fmt.Sprint(r.step[cluster]))
	later.Reason = fmt.Sprintf("waits for %s of the rollout of %q", stepName(r.step[cluster], len(r.spec.Steps)), r.source)
	return later, true
}

// part is the plan by which a cluster is kept: this one, or one of earlier revisions.
func (p *Plan) part(cluster string) *Plan {
	if part := p.parts[cluster]; part != nil {
		return part
	}
	return p
}

// RevisionsAt are the revisions that a cluster is kept at, by source.
func (p *Plan) RevisionsAt(cluster string) map[string]string {
	part := p.part(cluster)
	if part == p {
		return p.Revisions
	}
	at := maps.Clone(part.Revisions)
	maps.Copy(at, part.earlier)
	return at
}

// computation is the one that a change comes from.
func (p *Plan) computation(ch *ObjectChange) *computation {
	if ch.of != nil {
		return ch.of
	}
	return p.at
}

// NextRollouts returns how far every rollout has come with a plan, to be recorded before it is carried out.
func NextRollouts(p *Plan) map[string]v1alpha1.RolloutStatus { return p.rollouts }

// EarlierRevisions are the revisions that clusters of a source are kept at besides the latest, sorted.
func (p *Plan) EarlierRevisions(source string) []string {
	found := map[string]bool{}
	for _, part := range p.parts {
		if revision := part.earlier[source]; revision != "" {
			found[revision] = true
		}
	}
	return keys(found)
}

// joinEarlier puts together the records of a plan and of the plans of earlier revisions: every cluster
// counts for the plan that it is kept by.
func joinEarlier(p *Plan, next map[v1alpha1.ObjectKey]v1alpha1.Placement) {
	for key, r := range next {
		if r.Status.Earlier != nil {
			r.Status.Earlier = nil
			next[key] = r
		}
	}
	done := map[*Plan]bool{}
	for _, name := range keys(p.parts) {
		part := p.parts[name]
		if done[part] {
			continue
		}
		done[part] = true
		here := func(cluster string) bool { return p.parts[cluster] == part }
		for _, earlier := range NextPlacements(part, *part.at.snap) {
			key := earlier.Spec.Workload.Key()
			it := p.at.byKey[key]
			record, known := next[key]
			if it == nil || !known {
				// Only the earlier revision has the workload.
				next[key] = earlier
				continue
			}
			next[key] = joined(record, earlier, part.earlier[it.source.Source], here)
		}
	}
}

// joined is a record with what an earlier revision says of its clusters.
func joined(record, earlier v1alpha1.Placement, revision string, here func(cluster string) bool) v1alpha1.Placement {
	s := &record.Status
	s.Moves = joinLists(s.Moves, earlier.Status.Moves, func(m v1alpha1.MoveStatus) bool { return here(m.From) })
	at := func(t v1alpha1.ClusterTime) bool { return here(t.Cluster) }
	s.Debts = joinLists(s.Debts, earlier.Status.Debts, at)
	s.UnhealthySince = joinLists(s.UnhealthySince, earlier.Status.UnhealthySince, at)
	if revision == "" || sameDecision(record.Spec, earlier.Spec) {
		return record
	}
	s.Earlier = append(slices.Clone(s.Earlier), v1alpha1.EarlierDecision{
		Revision: revision, Clusters: earlier.Spec.Clusters, AffinityGroup: earlier.Spec.AffinityGroup,
		Evicting: earlier.Spec.Evicting, Inputs: earlier.Spec.Inputs,
	})
	return record
}

// joinLists takes what concerns some clusters from one list and the rest from the other.
func joinLists[T any](rest, these []T, here func(T) bool) []T {
	all := slices.DeleteFunc(slices.Clone(rest), here)
	for _, t := range these {
		if here(t) {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func sameDecision(a, b v1alpha1.PlacementSpec) bool {
	return a.Inputs == b.Inputs && a.AffinityGroup == b.AffinityGroup && slices.Equal(a.Evicting, b.Evicting) &&
		slices.EqualFunc(a.Clusters, b.Clusters, func(x, y v1alpha1.TargetCluster) bool {
			return x.Name == y.Name && equalReplicas(x.Replicas, y.Replicas)
		})
}

// appliedNext are the revisions that are everywhere once a plan was carried out.
func appliedNext(p *Plan, snap Snapshot) map[string]string {
	applied := maps.Clone(p.Revisions)
	for source, status := range p.rollouts {
		if status.Phase == v1alpha1.RolloutComplete {
			continue
		}
		delete(applied, source)
		if before := snap.AppliedRevisions[source]; before != "" {
			applied[source] = before
		}
	}
	return applied
}

// commitID is the id in a revision, which may be written without anything in front of it.
func commitID(revision string) string { return revision[strings.LastIndexAny(revision, ":@")+1:] }
