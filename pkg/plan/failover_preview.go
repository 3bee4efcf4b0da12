package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// Moves says where workloads would go if a cluster were drained, or if they were divided anew. It is the
// production plan, computed once more. No list of it is nil.
type Moves struct {
	APIVersion string `json:"apiVersion"`
	// Kind is DrainPlan or RebalancePlan.
	Kind string `json:"kind"`
	// Cluster is the one that would be drained; empty for a rebalance.
	Cluster string `json:"cluster,omitempty"`
	// FleetDigest identifies the fleet that was planned for.
	FleetDigest string `json:"fleetDigest"`
	// Moves are the workloads that would go elsewhere or change their shares, in the order in which they
	// would.
	Moves []Move `json:"moves"`
	// Stays are those that would not, and why.
	Stays []Stay `json:"stays"`
	// Stopped is why nothing would happen for now: failover is paused, or a veto holds; empty: it would.
	Stopped string `json:"stopped"`
}

// Move is one workload that would be elsewhere.
type Move struct {
	Workload v1alpha1.ObjectReference `json:"workload"`
	// From are its shares now, To those afterwards, by cluster.
	From []v1alpha1.TargetCluster `json:"from"`
	To   []v1alpha1.TargetCluster `json:"to"`
	// First tells that the old copy is removed before the new one is made.
	First bool `json:"removedFirst"`
}

// Stay is one workload that would stay where it is.
type Stay struct {
	Workload v1alpha1.ObjectReference `json:"workload"`
	Reason   string                   `json:"reason"`
	// Remedy says what a person can do about it; empty: nothing has to be done.
	Remedy string `json:"remedy"`
}

// Kinds of Moves.
const (
	KindDrainPlan     = "DrainPlan"
	KindRebalancePlan = "RebalancePlan"
)

// PreviewDrain says where what a cluster has would go if it were drained. An error names a cluster that
// the fleet does not have.
func PreviewDrain(trees Trees, snap Snapshot, cluster string) (Moves, error) {
	now := unguarded(snap)
	drained, err := Assume(now, Assumptions{Drained: []string{cluster}})
	if err != nil {
		return Moves{}, err
	}
	before, after := Compute(trees, now), Compute(trees, drained)
	m := Moves{
		APIVersion: v1alpha1.APIVersion, Kind: KindDrainPlan, Cluster: cluster, FleetDigest: snap.FleetDigest,
		Moves: []Move{}, Stays: []Stay{}, Stopped: before.stoppedIn(snap),
	}
	later := after.entries()
	for i := range before.Placements {
		b := &before.Placements[i]
		if !slices.Contains(assigned(b), cluster) {
			continue
		}
		a := later[b.Workload.Key()]
		if slices.Contains(assigned(a), cluster) || a.Error != "" {
			m.Stays = append(m.Stays, after.whyStays(a, cluster))
			continue
		}
		m.Moves = append(m.Moves, Move{
			Workload: b.Workload, From: targetsOf(b), To: targetsOf(a), First: after.removedFirst(a, cluster),
		})
	}
	return m, nil
}

// PreviewRebalance says where the replicas of some workloads would go if they were divided anew.
func PreviewRebalance(trees Trees, snap Snapshot, chosen func(v1alpha1.ObjectReference) bool) Moves {
	now := unguarded(snap)
	before := Compute(trees, now)
	asked := now
	asked.Placements = NextPlacements(before, now)
	at := metav1.NewTime(now.Now)
	for i := range asked.Placements {
		if p := &asked.Placements[i]; chosen(p.Spec.Workload) {
			p.Spec.RebalanceAt = &at
		}
	}
	after := Compute(trees, asked)
	m := Moves{
		APIVersion: v1alpha1.APIVersion, Kind: KindRebalancePlan, FleetDigest: snap.FleetDigest,
		Moves: []Move{}, Stays: []Stay{}, Stopped: before.stoppedIn(snap),
	}
	later := after.entries()
	for i := range before.Placements {
		b := &before.Placements[i]
		a := later[b.Workload.Key()]
		switch {
		case !chosen(b.Workload):
		case a.Error != "":
			m.Stays = append(m.Stays, Stay{b.Workload, a.Error, "make room, or widen its policy"})
		case sameTargets(targetsOf(a), targetsOf(b)):
			m.Stays = append(m.Stays, Stay{b.Workload, "it is where a fresh decision puts it", ""})
		default:
			m.Moves = append(m.Moves, Move{Workload: b.Workload, From: targetsOf(b), To: targetsOf(a)})
		}
	}
	return m
}

// unguarded is a snapshot without what holds evictions back.
func unguarded(snap Snapshot) Snapshot {
	snap.Guards = Guards{}
	snap.Config.Failover.PausedUntil, snap.Config.Failover.PausedReason = nil, ""
	return snap
}

// stoppedIn returns why evictions are stopped in a snapshot.
func (p *Plan) stoppedIn(snap Snapshot) string {
	snap.Guards = snap.guards()
	c := computation{snap: &snap, config: snap.Config}
	return c.stopped()
}

// Trees returns what a plan was computed from; nil for a plan that was read back.
func (p *Plan) Trees() Trees {
	if p.at == nil {
		return nil
	}
	trees := make(Trees, 0, len(p.at.sources))
	for _, s := range p.at.sources {
		trees = append(trees, *s)
	}
	return trees
}

func (p *Plan) entries() map[v1alpha1.ObjectKey]*PlacementEntry {
	byKey := make(map[v1alpha1.ObjectKey]*PlacementEntry, len(p.Placements))
	for i := range p.Placements {
		byKey[p.Placements[i].Workload.Key()] = &p.Placements[i]
	}
	return byKey
}

func assigned(e *PlacementEntry) []string {
	names := make([]string, 0, len(e.Clusters))
	for _, a := range e.Clusters {
		names = append(names, a.Name)
	}
	return names
}

func targetsOf(e *PlacementEntry) []v1alpha1.TargetCluster {
	list := make([]v1alpha1.TargetCluster, 0, len(e.Clusters))
	for _, a := range e.Clusters {
		list = append(list, v1alpha1.TargetCluster{Name: a.Name, Replicas: a.Replicas})
	}
	return list
}

func sameTargets(a, b []v1alpha1.TargetCluster) bool {
	return slices.EqualFunc(a, b, func(x, y v1alpha1.TargetCluster) bool {
		return x.Name == y.Name && (x.Replicas == y.Replicas || x.Replicas != nil && y.Replicas != nil && *x.Replicas == *y.Replicas)
	})
}

// removedFirst tells that a policy removes the copy on a cluster before it makes another.
func (p *Plan) removedFirst(e *PlacementEntry, cluster string) bool {
	it := p.at.byKey[e.Workload.Key()]
	return p.at.purge(it, p.at.clusterN[cluster]) == v1alpha1.PurgeDirectly
}

// whyStays says why a workload does not leave a cluster that is drained.
func (p *Plan) whyStays(e *PlacementEntry, cluster string) Stay {
	s := Stay{Workload: e.Workload, Reason: e.Error, Remedy: "make room elsewhere, or widen its policy"}
	if e.Error != "" {
		return s
	}
	it := p.at.byKey[e.Workload.Key()]
	switch {
	case !p.at.pinned(it):
		s.Reason, s.Remedy = "its policy tolerates the taint", ""
	case it.traits.neverMoves:
		s.Reason = "pinned by " + v1alpha1.AnnotationFailover + ": never"
		s.Remedy = "take the annotation away, or move it by hand"
	case it.facts.PinnedOnceStarted:
		s.Reason, s.Remedy = "it has started there and does not move", "wait until it is done, or delete it there"
	case it.facts.Stateful && !p.at.holdersReachable(it):
		s.Reason, s.Remedy = "it holds state, and a cluster that has it cannot be reached", "wait for the cluster"
	case it.facts.Stateful:
		s.Reason = "it holds state and is pinned"
		s.Remedy = "move its data and take the cluster out of its policy's affinity, or, if it can be made anew from nothing, set failover.cluster.stateful: Recreate"
	default:
		s.Reason, s.Remedy = "it is pinned", "wait until its cluster can be reached"
	}
	return s
}

// MovesPrinter writes Moves in one format.
type MovesPrinter func(Moves, PrintOptions) ([]byte, error)

// MovesFormat is a format of Moves with its printer.
type MovesFormat struct {
	Name  string
	Print MovesPrinter
}

// MovesFormats lists the formats of a drain or rebalance that is not carried out; the first is the
// default.
func MovesFormats() []MovesFormat {
	return []MovesFormat{
		{"text", printMovesText},
		{"json", func(m Moves, _ PrintOptions) ([]byte, error) { return marshal(m) }},
	}
}

func printMovesText(m Moves, o PrintOptions) ([]byte, error) {
	out := page.New(o.Width, o.Color)
	title := "REBALANCE"
	if m.Kind == KindDrainPlan {
		title = "DRAIN  " + page.Scrub(m.Cluster)
	}
	out.Split(page.Head, title, fmt.Sprintf("%s, %d to stay", plural(len(m.Moves), "workload to move", "workloads to move"), len(m.Stays)))
	if m.Stopped != "" {
		out.Words(page.Remove, "  ✘ ", 4, page.Scrub("nothing moves for now: "+m.Stopped))
	}
	for _, move := range m.Moves {
		out.Words(page.Change, "  ~ ", 4, page.Scrub(objectName(move.Workload)+"  "+shareWords(move.From)+" → "+shareWords(move.To)))
		if move.First {
			out.Words(page.Plain, "      ", 6, "its policy removes the old copy first")
		}
	}
	if len(m.Stays) > 0 {
		out.Blank()
		out.Styled(page.Head, "STAYS")
	}
	for _, s := range m.Stays {
		out.Words(page.Plain, "  ", 4, page.Scrub(objectName(s.Workload)+": "+s.Reason))
		if s.Remedy != "" {
			out.Words(page.Plain, "      ", 6, page.Scrub(s.Remedy))
		}
	}
	return out.Bytes(), nil
}

// shareWords lists clusters with their replicas.
func shareWords(list []v1alpha1.TargetCluster) string {
	words := make([]string, 0, len(list))
	for _, t := range list {
		word := t.Name
		if t.Replicas != nil {
			word = fmt.Sprintf("%s=%d", t.Name, *t.Replicas)
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return "nowhere"
	}
	return strings.Join(firstFewInOrder(words, 8), ", ")
}

// drainTaints are what cordon and drain put on a cluster.
func drainTaints(now metav1.Time) []corev1.Taint {
	return []corev1.Taint{
		{Key: v1alpha1.TaintCordoned, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &now},
		{Key: v1alpha1.TaintDrain, Effect: corev1.TaintEffectNoExecute, TimeAdded: &now},
	}
}

// drain puts the taints of a drain on a cluster.
func (s *Snapshot) drain(c *v1alpha1.Cluster) {
	c.Spec.Taints = slices.DeleteFunc(c.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == v1alpha1.TaintCordoned || t.Key == v1alpha1.TaintDrain
	})
	c.Spec.Taints = append(c.Spec.Taints, drainTaints(metav1.NewTime(s.Now))...)
	slices.SortStableFunc(c.Spec.Taints, func(a, b corev1.Taint) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(string(a.Effect), string(b.Effect)))
	})
}
