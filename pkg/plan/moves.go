package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// Details of gate move.
const (
	moveUnreachable = "unreachable"
	moveHealth      = "health"
	moveStuck       = "stuck"
	moveDrain       = "drain"
	moveTogether    = "together"
	movePurge       = "purge"
	moveRecovering  = "recovering"
	moveRate        = "rate"
	moveStopped     = "stopped"
)

// departure is one copy of a workload that has to leave a cluster.
type departure struct {
	item    *item
	cluster int
	change  *ObjectChange
	// status is what is to be recorded; the zero value where nobody has to receive anything.
	status v1alpha1.MoveStatus
}

// moveSet are the departures of a plan.
type moveSet []departure

// gateMoves makes removals wait for the copies that replace them: until every receiving cluster holds
// the desired version healthy, and then as long as connections may need to drain. What belongs
// together leaves together, so that nothing loses what it needs while it still serves.
func (c *computation) gateMoves() {
	for i := range c.changes {
		for j := range c.changes[i] {
			ch := &c.changes[i][j]
			if it := ch.pair.item; it != nil && ch.pair.more().cause == causeMoved {
				c.moves = append(c.moves, departure{item: it, cluster: i, change: ch})
			}
		}
	}
	slices.SortStableFunc(c.moves, func(a, b departure) int {
		return cmp.Or(a.item.key.Compare(b.item.key), cmp.Compare(a.cluster, b.cluster))
	})
	for i := range c.moves {
		c.gateMove(&c.moves[i])
	}
	c.paceRemovals()
	c.awaitRemovals()
	for c.joinPolicies() || c.joinNeeds() {
		// Each round adds at least one gate, so this ends.
	}
	c.guardNamespaces()
}

// gateMove decides what one departure waits for.
func (c *computation) gateMove(d *departure) {
	earlier, waited := c.recordedMove(d)
	receivers := c.receivers(d.item, earlier)
	if len(receivers) > 0 || waited {
		d.status = v1alpha1.MoveStatus{From: c.clusters[d.cluster].Name, Since: earlier.Since, To: c.names(receivers)}
		if !waited {
			d.status.Since = metav1.NewTime(c.snap.Now)
		}
	}
	if d.change.Action != v1alpha1.ActionPrune {
		// A debt waits for its cluster; whether the new copies are healthy by then is recorded still.
		c.awaitHealth(d, receivers, earlier)
		return
	}
	if c.purge(d.item, d.cluster) == v1alpha1.PurgeDirectly {
		return // awaitRemovals holds the new copies back.
	}
	unready := c.awaitHealth(d, receivers, earlier)
	if c.recovering(d) {
		d.gate(moveRecovering, "the cluster came back a moment ago; what is wanted there is decided when it has recovered")
		return
	}
	if len(unready) > 0 {
		c.waitForHealth(d, unready)
		return
	}
	if d.status.HealthySince != nil {
		if drained := d.status.HealthySince.Add(c.drain()); c.snap.Now.Before(drained) {
			d.gate(moveDrain, "the new copies are healthy; connections drain")
		}
		return
	}
	c.keepLastHealthy(d)
}

func (d *departure) gate(detail, reason string) {
	d.change.Gate, d.change.Reason = v1alpha1.GateMove.Of(detail), reason
}

// recordedMove returns what was recorded when the departure began to wait.
func (c *computation) recordedMove(d *departure) (v1alpha1.MoveStatus, bool) {
	record := c.recorded[d.item.key]
	if record == nil {
		return v1alpha1.MoveStatus{}, false
	}
	for _, m := range record.Status.Moves {
		if m.From == c.clusters[d.cluster].Name {
			return m, true
		}
	}
	return v1alpha1.MoveStatus{}, false
}

// receivers returns the targets that take over from somebody: those that do not hold the object yet,
// those whose share grew, and those that were recorded as such.
func (c *computation) receivers(it *item, earlier v1alpha1.MoveStatus) []target {
	shares := map[string]*int64{}
	if record := c.recorded[it.key]; record != nil {
		for _, t := range record.Spec.Clusters {
			shares[t.Name] = t.Replicas
		}
	}
	var to []target
	for _, t := range it.targets {
		name := c.clusters[t.cluster].Name
		held, isHeld := it.held(t.cluster)
		before, known := shares[name]
		if !known {
			before = held.Replicas
		}
		grew := t.replicas != nil && before != nil && *t.replicas > *before
		if !isHeld || grew || slices.Contains(earlier.To, name) {
			to = append(to, t)
		}
	}
	return to
}

// awaitHealth returns the receivers that do not hold the desired version healthy, and sets since when
// all of them do.
func (c *computation) awaitHealth(d *departure, receivers []target, earlier v1alpha1.MoveStatus) (unready []string) {
	for _, t := range receivers {
		if !c.settled(d.item, t.cluster) {
			unready = append(unready, c.clusters[t.cluster].Name)
		}
	}
	if len(receivers) == 0 || len(unready) > 0 {
		return unready
	}
	d.status.HealthySince = earlier.HealthySince
	if d.status.HealthySince == nil {
		now := metav1.NewTime(c.snap.Now)
		d.status.HealthySince = &now
	}
	return nil
}

// recovering tells that a cluster answers again after a failure and that a decision leaves it out for no
// other reason than that it takes nothing new yet. Whoever is duplicated or divided by fixed weights is
// placed there again as soon as it may, so what the cluster holds is not removed in between. Decisions
// by capacity stand, and the old copy goes.
func (c *computation) recovering(d *departure) bool {
	if d.item.entry == nil || rejectedBy(d.item.entry.Decision, c.clusters[d.cluster].Name) != "TaintToleration" {
		return false
	}
	if s := d.item.entry.Strategy; strings.HasSuffix(s, "/Dynamic") || strings.HasSuffix(s, "/Aggregated") {
		return false
	}
	return c.comingBack(d.cluster)
}

// comingBack tells that a cluster has failed and takes nothing new yet, while nothing has to leave it
// any more.
func (c *computation) comingBack(cluster int) bool {
	closed := false
	for _, t := range c.clusters[cluster].Spec.Taints {
		if t.Key != v1alpha1.TaintNotReady && t.Key != v1alpha1.TaintUnreachable {
			continue
		}
		if t.Effect == corev1.TaintEffectNoExecute {
			return false
		}
		closed = closed || t.Effect == corev1.TaintEffectNoSchedule
	}
	return closed
}

// settled tells whether a cluster holds the desired version of an object healthy. What a cluster that
// cannot be reached held last proves nothing.
func (c *computation) settled(it *item, cluster int) bool {
	held, isHeld := it.held(cluster)
	i, isTarget := it.targetIndex(cluster)
	return isHeld && isTarget && it.targets[i].settled && c.reachable(cluster) && isHealthy(held)
}

// isHealthy judges a held object. Kinds that have no state of their own are healthy by existing.
func isHealthy(h Held) bool {
	if h.Terminating {
		return false
	}
	if h.Health == v1alpha1.HealthUnknown {
		return !judgedKinds[groupKind{h.Group(), h.Kind}]
	}
	return h.Health == v1alpha1.HealthHealthy
}

// judgedKinds are the built-in kinds that exist long before they work.
var judgedKinds = map[groupKind]bool{
	{"", "Pod"}: true, {"", "PersistentVolumeClaim"}: true,
	{"apps", "Deployment"}: true, {"apps", "StatefulSet"}: true, {"apps", "DaemonSet"}: true, {"apps", "ReplicaSet"}: true,
	{"batch", "Job"}: true, {"apiextensions.k8s.io", "CustomResourceDefinition"}: true,
}

// JudgedKinds lists the built-in kinds whose health a move waits for, sorted. Whoever observes members
// must judge them; all others are healthy by existing.
func JudgedKinds() []schema.GroupKind {
	kinds := make([]schema.GroupKind, 0, len(judgedKinds))
	for gk := range judgedKinds {
		kinds = append(kinds, schema.GroupKind{Group: gk.group, Kind: gk.kind})
	}
	slices.SortFunc(kinds, func(a, b schema.GroupKind) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Kind, b.Kind))
	})
	return kinds
}

// cannotCome tells that a copy on one of some clusters cannot be made, however long one waits.
func (c *computation) cannotCome(it *item, clusters []string) bool {
	return slices.ContainsFunc(clusters, func(name string) bool {
		i, isTarget := it.targetIndex(c.clusterN[name])
		return isTarget && (it.targets[i].denied != "" || it.targets[i].rendered.failed != "")
	})
}

func (c *computation) waitForHealth(d *departure, unready []string) {
	reason := "waits for a healthy copy on " + strings.Join(unready, ", ")
	// What follows others has no record that says since when it waits.
	if c.snap.Now.Sub(d.status.Since.Time) <= c.grace(d.item) && (d.item.owner != nil || !c.cannotCome(d.item, unready)) {
		d.gate(moveHealth, reason)
		return
	}
	d.gate(moveStuck, reason)
	ref := d.item.ref
	c.findings.add(finding{
		ID: MoveStuck, Object: &ref, Clusters: []string{c.clusters[d.cluster].Name},
		Message: fmt.Sprintf("%s stays since there is no healthy copy on %s yet", ref, strings.Join(unready, ", ")),
		Source:  d.item.Origin.Source, Repository: d.item.source.Source,
	})
}

// keepLastHealthy keeps a healthy copy while no other that stays is healthy, even where nobody new has
// to receive anything.
func (c *computation) keepLastHealthy(d *departure) {
	held, _ := d.item.held(d.cluster)
	if !judgedKinds[groupKind{held.Group(), held.Kind}] || !isHealthy(held) || len(d.item.targets) == 0 {
		return
	}
	for _, t := range d.item.targets {
		if other, ok := d.item.held(t.cluster); ok && c.reachable(t.cluster) && isHealthy(other) {
			return
		}
	}
	d.gate(moveStuck, "it is the last healthy copy")
	ref := d.item.ref
	c.findings.add(finding{
		ID: MoveStuck, Object: &ref, Clusters: []string{c.clusters[d.cluster].Name},
		Message: fmt.Sprintf("%s stays since it is the last healthy copy", ref),
		Source:  d.item.Origin.Source, Repository: d.item.source.Source,
	})
}

// purge returns how old copies leave a cluster: as the policy's failover says where health drove the
// workload away, else gracefully. What must not run twice is removed first in any case.
func (c *computation) purge(it *item, cluster int) v1alpha1.PurgeMode {
	if c.standsAlone(it) {
		return v1alpha1.PurgeDirectly
	}
	if it.owner == nil || it.owner.Spec.Failover == nil || it.entry == nil {
		return v1alpha1.PurgeGracefully
	}
	f := it.owner.Spec.Failover
	switch rejectedBy(it.entry.Decision, c.clusters[cluster].Name) {
	case "TaintToleration":
		if f.Cluster == nil {
			break
		}
		return cmp.Or(f.Cluster.PurgeMode, v1alpha1.PurgeGracefully)
	case "Eviction":
		if f.Application != nil {
			return cmp.Or(f.Application.PurgeMode, v1alpha1.PurgeGracefully)
		}
	}
	return v1alpha1.PurgeGracefully
}

// rejectedBy returns the filter that rejected a cluster.
func rejectedBy(d placement.Decision, cluster string) string {
	for _, r := range d.Rejected {
		if r.Clusters.Contains(cluster) {
			return r.Filter
		}
	}
	return ""
}

func (c *computation) drain() time.Duration {
	return time.Duration(*c.config.Failover.DrainSeconds) * time.Second
}

func (c *computation) grace(it *item) time.Duration {
	if it.owner != nil && it.owner.Spec.Failover != nil && it.owner.Spec.Failover.Application != nil {
		if s := it.owner.Spec.Failover.Application.GracePeriodSeconds; s != nil {
			return time.Duration(*s) * time.Second
		}
	}
	return time.Duration(*c.config.Failover.GracePeriodSeconds) * time.Second
}

// waits tells whether a removal is still in front of a departure.
func (d *departure) waits() bool {
	return d.change.Action == v1alpha1.ActionPrune && d.change.Gate != ""
}

func (d *departure) ready() bool {
	return d.change.Action == v1alpha1.ActionPrune && d.change.Gate == ""
}

// joinPolicies makes the objects of one policy leave a cluster together. Of those that run pods each
// goes in its own time, since they may be many and take turns: it waits for what has no pods and waits
// for its own sake, such as the Service before it. It tells whether it added a gate.
func (c *computation) joinPolicies() bool {
	type group struct {
		policy  *policy
		cluster int
		// pods tells whom the group is for.
		pods bool
	}
	waiting := map[group]*departure{}
	for i := range c.moves {
		d := &c.moves[i]
		if !d.waits() || d.item.owner == nil {
			continue
		}
		if all := (group{d.item.owner, d.cluster, false}); waiting[all] == nil {
			waiting[all] = d
		}
		together := d.change.Gate == v1alpha1.GateMove.Of(moveTogether)
		if pods := (group{d.item.owner, d.cluster, true}); waiting[pods] == nil && !runsPods(d.item) && !together {
			waiting[pods] = d
		}
	}
	joined := false
	for i := range c.moves {
		d := &c.moves[i]
		first := waiting[group{d.item.owner, d.cluster, runsPods(d.item)}]
		if d.ready() && first != nil && c.purge(d.item, d.cluster) != v1alpha1.PurgeDirectly {
			d.gate(moveTogether, "leaves together with "+first.item.ref.String())
			joined = true
		}
	}
	return joined
}

// joinNeeds keeps what a waiting workload refers to until it goes too. It tells whether it added a
// gate.
func (c *computation) joinNeeds() bool {
	type place struct {
		key     v1alpha1.ObjectKey
		cluster int
	}
	needed := map[place]*item{}
	for i := range c.moves {
		d := &c.moves[i]
		if !d.waits() {
			continue
		}
		for _, key := range d.item.traits.needs {
			needed[place{key, d.cluster}] = d.item
		}
	}
	joined := false
	for i := range c.moves {
		d := &c.moves[i]
		user := needed[place{d.item.key, d.cluster}]
		if user == nil && d.ready() {
			user = c.remainingUser(d)
		}
		if user != nil && d.ready() {
			d.gate(moveTogether, "leaves together with "+user.ref.String())
			joined = true
		}
	}
	return joined
}

// remainingUser returns what may need an object that a taint drives off a cluster, and stays there: what
// refers to it and is pinned, or tolerates what the object does not; and what runs beside it, in its
// namespace or for what has none in any, and waits for its turn to leave.
func (c *computation) remainingUser(d *departure) *item {
	if d.item.entry == nil || rejectedBy(d.item.entry.Decision, c.clusters[d.cluster].Name) != "TaintToleration" {
		return nil
	}
	if c.users == nil {
		c.users = map[v1alpha1.ObjectKey][]*item{}
		for _, it := range c.items {
			for _, key := range it.traits.needs {
				c.users[key] = append(c.users[key], it)
			}
		}
	}
	for _, it := range c.users[d.item.key] {
		if _, held := it.held(d.cluster); held && it.goesTo(d.cluster) {
			return it
		}
	}
	if runsPods(d.item) {
		return nil
	}
	for _, it := range c.staying {
		if it.goesTo(d.cluster) && (d.item.ref.Namespace == "" || d.item.ref.Namespace == it.ref.Namespace) {
			return it
		}
	}
	return nil
}
