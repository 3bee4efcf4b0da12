package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// NextPlacements returns the decisions to record with a plan, by workload: the decisions themselves
// with what they were made from, the moves that wait and the removals that clusters still owe. Its
// times are the snapshot's, so that the same plan records the same. A workload that could not be
// placed keeps its record; one that is gone loses it when nothing of it is left.
func NextPlacements(p *Plan, snap Snapshot) []v1alpha1.Placement {
	if p.at == nil {
		return snap.Placements
	}
	next := map[v1alpha1.ObjectKey]v1alpha1.Placement{}
	for i := range snap.Placements {
		if key := snap.Placements[i].Spec.Workload.Key(); p.at.keepsRecord(key) {
			next[key] = snap.Placements[i]
		}
	}
	for i := range p.Placements {
		entry := &p.Placements[i]
		key := entry.Workload.Key()
		if record, ok := p.at.record(entry, snap.Now); ok {
			next[key] = record
		}
	}
	joinEarlier(p, next)
	placements := make([]v1alpha1.Placement, 0, len(next))
	for _, key := range sortedKeys(next) {
		placements = append(placements, next[key])
	}
	return placements
}

// keepsRecord tells whether the record of a workload may still be needed: it is in Git, it is held
// somewhere, or its source did not load whole.
func (c *computation) keepsRecord(key v1alpha1.ObjectKey) bool {
	if c.byKey[key] != nil {
		return true
	}
	for i := range c.clusters {
		if _, held := c.held(i, key); held {
			return true
		}
	}
	return slices.ContainsFunc(c.sources, func(s *Source) bool { return s.Stale || !s.Complete() })
}

// record returns what is to be recorded of one decision; false where there is nothing to record.
func (c *computation) record(entry *PlacementEntry, now time.Time) (v1alpha1.Placement, bool) {
	it := c.byKey[entry.Workload.Key()]
	var next v1alpha1.Placement
	previous := c.recorded[it.key]
	if previous != nil {
		next = *previous
	}
	next.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindPlacement}
	if next.Name == "" {
		next.Name, next.Namespace = placementName(it.ref), sourceNamespace(it.source.Source)
	}
	if entry.Error != "" {
		if previous == nil {
			return v1alpha1.Placement{}, false
		}
		return next, true
	}
	next.Spec = v1alpha1.PlacementSpec{
		Workload: it.ref, AffinityGroup: entry.AffinityGroup, Inputs: entry.Inputs,
		Evicting: c.stillEvicting(it), RebalanceAt: next.Spec.RebalanceAt,
	}
	next.Spec.Clusters = slices.Grow(next.Spec.Clusters, len(entry.Clusters))
	for _, a := range entry.Clusters {
		next.Spec.Clusters = append(next.Spec.Clusters, v1alpha1.TargetCluster{Name: a.Name, Replicas: a.Replicas})
	}
	if at := next.Spec.RebalanceAt; at != nil && !now.Before(at.Time) && it.stay == "" {
		next.Spec.RebalanceAt = nil
	}
	next.Status.Moves, next.Status.Debts = c.recordMoves(it, next.Status.Debts, now)
	next.Status.UnhealthySince = c.recordUnhealthy(it, now)
	next.Status.Preserve = it.owner.preserves()
	next.Status.Evictions = c.recordEvictions(it, next.Spec.Clusters, now)
	next.Status.LeftOn = c.recordLeftOn(it)
	next.Status.Preserved = it.preserved
	if entry.Moved == placement.MovedByRebalance {
		at := metav1.NewTime(now)
		next.Status.RebalancedAt = &at
	}
	next.Status.FailbackSince = since(entry.Failback != "", next.Status.FailbackSince, now)
	next.Status.ImbalanceSince = since(entry.Imbalance > 0, next.Status.ImbalanceSince, now)
	return next, true
}

// since returns since when something is so: what is known, or now; nil where it is not.
func since(isSo bool, known *metav1.Time, now time.Time) *metav1.Time {
	if !isSo {
		return nil
	}
	if known == nil {
		begins := metav1.NewTime(now)
		known = &begins
	}
	return known
}

// recordMoves returns the moves that wait and the removals that unreachable clusters owe.
func (c *computation) recordMoves(it *item, owed []v1alpha1.ClusterTime, now time.Time) (moves []v1alpha1.MoveStatus, debts []v1alpha1.ClusterTime) {
	for _, d := range c.departures(it) {
		if d.status.From != "" {
			moves = append(moves, d.status)
		}
		if d.change.Gate == v1alpha1.GateMove.Of(moveUnreachable) {
			name := c.clusters[d.cluster].Name
			debts = append(debts, v1alpha1.ClusterTime{Cluster: name, Time: timeOf(owed, name, now)})
		}
	}
	return moves, debts
}

// recordUnhealthy returns since when the workload is unhealthy on its clusters, where its policy has
// application failover.
func (c *computation) recordUnhealthy(it *item, now time.Time) []v1alpha1.ClusterTime {
	if it.owner == nil || it.owner.Spec.Failover == nil || it.owner.Spec.Failover.Application == nil {
		return nil
	}
	var before []v1alpha1.ClusterTime
	if previous := c.recorded[it.key]; previous != nil {
		before = previous.Status.UnhealthySince
	}
	var since []v1alpha1.ClusterTime
	for _, t := range it.targets {
		held, isHeld := it.held(t.cluster)
		if !isHeld || held.Health != v1alpha1.HealthProgressing && held.Health != v1alpha1.HealthDegraded {
			continue
		}
		// Of a cluster that cannot be reached the last that was seen is no longer what is: its own
		// taints move the workload, and a veto stops that.
		if !c.reachable(t.cluster) {
			continue
		}
		name := c.clusters[t.cluster].Name
		since = append(since, v1alpha1.ClusterTime{Cluster: name, Time: timeOf(before, name, now)})
	}
	return since
}

// timeOf returns a cluster's recorded time, or now.
func timeOf(times []v1alpha1.ClusterTime, cluster string, now time.Time) metav1.Time {
	for _, t := range times {
		if t.Cluster == cluster {
			return t.Time
		}
	}
	return metav1.NewTime(now)
}

// evicting returns the clusters that a workload has to leave: those recorded, and those on which it
// has been unhealthy for longer than its policy tolerates.
func (c *computation) evicting(it *item) []string {
	record := c.recorded[it.key]
	if record == nil || it.stay == stayNowhere {
		return nil
	}
	names := map[string]bool{}
	for _, name := range record.Spec.Evicting {
		names[name] = true
	}
	if f := it.owner.Spec.Failover; f != nil && f.Application != nil && it.stay == "" && !c.pinned(it) {
		for _, u := range record.Status.UnhealthySince {
			if n, known := c.clusterN[u.Cluster]; known && c.reachable(n) && !c.snap.Now.Before(c.evictedAt(u, f.Application)) {
				names[u.Cluster] = true
			}
		}
	}
	return keys(names)
}

// evictedAt returns when a workload that is unhealthy on a cluster has to leave it. While evictions are
// stopped no time runs.
func (c *computation) evictedAt(u v1alpha1.ClusterTime, f *v1alpha1.ApplicationFailover) time.Time {
	from := u.Time.Time
	if lifted := c.snap.Guards.Lifted; from.Before(lifted) {
		from = lifted
	}
	return from.Add(c.tolerated(f))
}

func (c *computation) tolerated(f *v1alpha1.ApplicationFailover) time.Duration {
	if s := f.DecisionConditions.TolerationSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return time.Duration(*c.config.Failover.ApplicationTolerationSeconds) * time.Second
}

// stillEvicting drops the clusters that the workload has left.
func (c *computation) stillEvicting(it *item) []string {
	var names []string
	for _, name := range c.evicting(it) {
		cluster, known := c.clusterN[name]
		if !known {
			continue
		}
		if _, held := it.held(cluster); held {
			names = append(names, name)
		}
	}
	return names
}

// placementName is "<kind>-<name>-<hash8>", at most 253 bytes.
func placementName(ref v1alpha1.ObjectReference) string {
	key := ref.Key()
	sum := sha256.Sum256([]byte(strings.Join([]string{key.Group, key.Kind, key.Namespace, key.Name}, "/")))
	name := strings.ToLower(ref.Kind) + "-" + strings.ReplaceAll(strings.ToLower(ref.Name), ":", "-")
	const most = 253 - 1 - 8
	if len(name) > most {
		name = name[:most]
	}
	return name + "-" + hex.EncodeToString(sum[:4])
}

// sourceNamespace is the namespace of the GitSource.
func sourceNamespace(source string) string {
	namespace, _, found := strings.Cut(source, "/")
	if !found {
		return ""
	}
	return namespace
}

// NextSnapshot returns the fleet as it is when a plan has been carried out and everything is healthy:
// what a plan for the next revision starts from. What waits for another plan is still as it was.
func NextSnapshot(p *Plan, snap Snapshot) Snapshot {
	next := snap
	next.Placements = NextPlacements(p, snap)
	next.Members = maps.Clone(snap.Members)
	if next.Members == nil {
		next.Members = map[string]Member{}
	}
	next.AppliedRevisions = appliedNext(p, snap)
	next.Rollouts = p.rollouts
	for _, cc := range p.Clusters {
		before, known := snap.Members[cc.Name]
		objects := before.Objects.ByKey()
		for i := range cc.Objects {
			p.carryOut(&cc.Objects[i], objects, snap.Now)
		}
		next.Members[cc.Name] = Member{Known: true, Reachable: before.Reachable || !known, Objects: InventoryOf(objects)}
	}
	return next
}

// carryOut does to a map of held objects what the executor does to a member.
func (p *Plan) carryOut(ch *ObjectChange, objects map[v1alpha1.ObjectKey]*Held, now time.Time) {
	key := ch.Key()
	if ch.Gate.NeedsReplan() {
		return
	}
	switch ch.Action {
	case v1alpha1.ActionPrune:
		delete(objects, key)
	case v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionUnchanged:
		var held Held
		if before := objects[key]; before != nil {
			held = *before
		}
		held.ObjectReference, held.Source = ch.ObjectReference, ch.Source
		held.Replicas, held.Health, held.OwnedFields = ch.Replicas, v1alpha1.HealthHealthy, ""
		held.SetDetail(func(d *HeldDetails) { d.HealthMessage, d.Drift, d.Unschedulable = "", nil, 0 })
		if ch.pair != nil && ch.pair.target != nil {
			rendered := ch.pair.target.rendered
			held.Digest = cmp.Or(rendered.secretDigest, ch.Digest)
			held.SetDetail(func(d *HeldDetails) {
				d.content = rendered.digest
				if ch.Action != v1alpha1.ActionUnchanged || rendered.prune != "" {
					d.Prune = rendered.prune
				}
			})
		}
		objects[key] = &held
	case v1alpha1.ActionSkip:
	}
}

func keys[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
