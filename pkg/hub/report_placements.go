package hub

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

const (
	// maxWorst is how many clusters a status names, maxWorstMessage how long each message may be, in
	// bytes.
	maxWorst        = 10
	maxWorstMessage = 200
	// maxShares bounds the list of clusters in words, in bytes.
	maxShares = 256
)

// badness orders how ill a copy is, the worst first.
type badness int

const (
	failed badness = iota
	unreachable
	degraded
	held
	missing
	progressing
	fine
)

// standing is how one copy of a workload is doing.
type standing struct {
	cluster string
	is      badness
	message string
}

func (r *reporter) reportPlacements(cycle *engine.Cycle, changed drifted) error {
	names := r.store.names()
	view := newView(cycle)
	view.drift = changed.workloads
	for i := range cycle.Plan.Placements {
		entry := &cycle.Plan.Placements[i]
		name, recorded := names[entry.Workload.Key()]
		if !recorded {
			continue
		}
		err := r.store.report(name, func(last v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
			return view.status(name, entry, last)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// view is a cycle by object, as often as it is asked.
type view struct {
	members map[string]plan.Member
	changes map[string]map[v1alpha1.ObjectKey]*plan.ObjectChange
	// failures are reasons by cluster and object.
	failures map[[2]string]string
	// drift is what someone else changed, by workload.
	drift map[v1alpha1.ObjectKey][]v1alpha1.ObjectDrift
}

func newView(cycle *engine.Cycle) *view {
	v := &view{
		members: cycle.Snapshot.Members, changes: map[string]map[v1alpha1.ObjectKey]*plan.ObjectChange{}, failures: map[[2]string]string{},
	}
	for i := range cycle.Plan.Clusters {
		c := &cycle.Plan.Clusters[i]
		byKey := make(map[v1alpha1.ObjectKey]*plan.ObjectChange, len(c.Objects))
		for j := range c.Objects {
			byKey[c.Objects[j].Key()] = &c.Objects[j]
		}
		v.changes[c.Name] = byKey
	}
	for _, p := range cycle.Problems {
		if p.Cluster != "" && p.Object != "" && p.ID != engine.ProblemUnhealthy {
			v.failures[[2]string{p.Cluster, p.Object}] = p.Reason
		}
	}
	return v
}

// standing judges the copy on one cluster.
func (v *view) standing(cluster string, key v1alpha1.ObjectKey) standing {
	s := standing{cluster: cluster, is: fine}
	m := v.members[cluster]
	copied := m.Objects.Get(key)
	change := v.changes[cluster][key]
	reason := v.failures[[2]string{cluster, key.String()}]
	switch {
	case reason != "":
		s.is, s.message = failed, reason
	case !m.Reachable:
		s.is, s.message = unreachable, "the cluster cannot be reached"
	case copied != nil && copied.Health == v1alpha1.HealthDegraded:
		s.is, s.message = degraded, cmp.Or(copied.Detail().HealthMessage, "degraded")
	case change != nil && change.Action == v1alpha1.ActionSkip:
		s.is, s.message = held, cmp.Or(change.Reason, string(change.Gate))
	case copied == nil:
		s.is, s.message = missing, "not there yet"
	case change != nil && change.Action != v1alpha1.ActionUnchanged:
		s.is, s.message = progressing, "being changed"
	case copied.Health == v1alpha1.HealthProgressing:
		s.is, s.message = progressing, cmp.Or(copied.Detail().HealthMessage, "progressing")
	}
	return s
}

// status is what a Placement says for people.
func (v *view) status(_ types.NamespacedName, entry *plan.PlacementEntry, last v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
	key := entry.Workload.Key()
	var ill []standing
	for _, c := range entry.Clusters {
		if s := v.standing(c.Name, key); s.is != fine {
			ill = append(ill, s)
		}
	}
	slices.SortFunc(ill, func(a, b standing) int { return cmp.Or(cmp.Compare(a.is, b.is), strings.Compare(a.cluster, b.cluster)) })
	next := v1alpha1.PlacementStatus{Summary: &v1alpha1.PlacementSummary{Workload: key.String(), Clusters: shares(entry)}}
	for _, s := range ill[:min(maxWorst, len(ill))] {
		next.Worst = append(next.Worst, v1alpha1.ClusterMessage{Cluster: s.cluster, Message: shortened(s.message, maxWorstMessage)})
	}
	for _, w := range entry.Waiting {
		next.Waiting = append(next.Waiting, v1alpha1.ClusterMessage{Cluster: w.Cluster, Message: shortened(w.Message, maxWorstMessage)})
	}
	next.Drift = summary(v.drift[key], last.Drift)
	next.Conditions = placementVerdict(entry, ill).conditions(last.Conditions, 0)
	return next
}

func placementVerdict(entry *plan.PlacementEntry, ill []standing) verdict {
	n := len(entry.Clusters)
	switch {
	case entry.Error != "":
		return verdict{ready: metav1.ConditionFalse, reason: "NotPlaced", message: entry.Error, stalled: true}
	case len(ill) == 0:
		return verdict{ready: metav1.ConditionTrue, reason: "Ready", message: fmt.Sprintf("ready on %d of %d clusters", n, n)}
	}
	worst := ill[0]
	v := verdict{
		ready: metav1.ConditionFalse, reason: map[badness]string{
			failed: "Failed", unreachable: "Unreachable", degraded: "Degraded", held: "Held", missing: "Progressing", progressing: "Progressing",
		}[worst.is],
		message: fmt.Sprintf("ready on %d of %d clusters; %s: %s", n-len(ill), n, worst.cluster, worst.message),
	}
	v.stalled = worst.is == failed || worst.is == held
	v.reconciling = !v.stalled && worst.is != degraded
	return v
}

// shares are the chosen clusters with their replicas in words; where they are many, how many more.
func shares(entry *plan.PlacementEntry) string {
	var b strings.Builder
	for i, c := range entry.Clusters {
		word := c.Name
		if c.Replicas != nil {
			word = fmt.Sprintf("%s=%d", c.Name, *c.Replicas)
		}
		if i > 0 {
			word = ", " + word
		}
		if b.Len()+len(word) > maxShares {
			fmt.Fprintf(&b, " and %d more", len(entry.Clusters)-i)
			break
		}
		b.WriteString(word)
	}
	return b.String()
}
