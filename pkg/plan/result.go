package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// ResultState says what became of something that a report announced.
type ResultState string

// The values of ResultState.
const (
	// ResultDone: the fleet is as the report said.
	ResultDone ResultState = "done"
	// ResultPending: it is under way, or waits for something that passes by itself.
	ResultPending ResultState = "pending"
	// ResultDiffers: the controller means to do something else, since the fleet or what people asked of it
	// has changed, or somebody has to act first.
	ResultDiffers ResultState = "differs"
)

// Result compares what a report announced with what a fleet holds now: the contract of the JSON of
// preview --result. Lists are sorted and never null.
type Result struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Head is that of the report.
	Head ReportRevision `json:"head"`
	// Snapshot is the fleet now, not the one of the report.
	Snapshot ReportSnapshot `json:"snapshot"`
	// Applied are the revisions that the controller follows now, by source; empty where the fleet file does
	// not say.
	Applied map[string]string `json:"applied"`
	// Summary counts objects on clusters, and shares that differ.
	Summary ResultSummary `json:"summary"`
	// Items are what the report announced, each once with the clusters that it fared alike on.
	Items []ResultItem `json:"items"`
}

// ResultSummary counts.
type ResultSummary struct {
	Done    int `json:"done"`
	Pending int `json:"pending"`
	Differs int `json:"differs"`
}

// ResultItem is something that the report announced.
type ResultItem struct {
	v1alpha1.ObjectReference
	// Announced is create, configure, prune, skip (it stays as it is) or place: a cluster or share that
	// is another now.
	Announced string      `json:"announced"`
	State     ResultState `json:"state"`
	// Reason says why it is not done, and of what is done what is still worth knowing.
	Reason   string   `json:"reason"`
	Clusters []string `json:"clusters"`
}

// announcedPlace is the announcement of a placement.
const announcedPlace = "place"

// CompareResult says what became of a report. now is the plan for the head of the report on the fleet as it
// is: what is unchanged in it is done. It must come from Compute.
func CompareResult(r Report, now *Plan) Result {
	o := &outcome{now: now, clusters: map[resultKey][]string{}}
	for _, p := range r.Placements {
		o.placement(p)
	}
	for _, g := range r.Groups {
		for _, object := range g.Objects {
			for _, cluster := range g.Clusters {
				state, reason := o.judge(g.Action, object.ObjectReference, cluster)
				o.note(object.ObjectReference, string(g.Action), state, reason, cluster)
			}
		}
	}
	for _, h := range r.Held {
		for _, cluster := range h.Clusters {
			state, reason := o.judge(v1alpha1.ActionSkip, h.ObjectReference, cluster)
			o.note(h.ObjectReference, string(v1alpha1.ActionSkip), state, reason, cluster)
		}
	}
	return o.result(r)
}

// outcome is a result in the making.
type outcome struct {
	now      *Plan
	clusters map[resultKey][]string
}

type resultKey struct {
	ref       v1alpha1.ObjectReference
	announced string
	state     ResultState
	reason    string
}

func (o *outcome) note(ref v1alpha1.ObjectReference, announced string, state ResultState, reason, cluster string) {
	key := resultKey{ref, announced, state, reason}
	o.clusters[key] = append(o.clusters[key], cluster)
}

// judge says what became of one object on one cluster.
func (o *outcome) judge(action v1alpha1.Action, ref v1alpha1.ObjectReference, cluster string) (ResultState, string) {
	c := o.now.at
	i, found := c.clusterN[cluster]
	switch {
	case !found:
		return ResultDiffers, "the cluster is not in the fleet any more"
	case !c.member(i).Known:
		return ResultPending, "what the cluster holds is not known (no Inventory)"
	}
	ch := o.now.change(cluster, ref.Key())
	wanted := ch != nil && ch.pair.target != nil
	if action == v1alpha1.ActionPrune {
		return o.judgePrune(ch, wanted)
	}
	if action == v1alpha1.ActionSkip {
		switch {
		case ch == nil:
			return ResultDiffers, "it is gone"
		case ch.Action == v1alpha1.ActionSkip:
			return ResultDone, ""
		}
		return ResultDiffers, fmt.Sprintf("it is not held back any more: %s", ch.Action)
	}
	switch {
	case !wanted:
		return ResultDiffers, o.whyNotThere(ref.Key(), cluster)
	case !c.reachable(i):
		return ResultPending, "the cluster cannot be reached"
	case ch.Action == v1alpha1.ActionUnchanged:
		return ResultDone, o.unhealthy(i, ref.Key())
	case ch.Gate != "":
		return waitsOrDiffers(ch)
	case ch.pair.more().drifted:
		return ResultDiffers, cmp.Or(ch.Reason, "changed by someone else")
	case ch.Action == v1alpha1.ActionCreate:
		return ResultPending, "it is not there yet"
	}
	return ResultPending, "it still is as it was"
}

func (o *outcome) judgePrune(ch *ObjectChange, wanted bool) (ResultState, string) {
	switch {
	case ch == nil:
		return ResultDone, ""
	case wanted:
		return ResultDiffers, "it belongs there now"
	case ch.Gate != "":
		return waitsOrDiffers(ch)
	}
	return ResultPending, "it is still there"
}

// waitsOrDiffers tells a gate that opens by itself from one that somebody has to open.
func waitsOrDiffers(ch *ObjectChange) (ResultState, string) {
	reason := string(ch.Gate)
	if ch.Reason != "" {
		reason = ch.Reason + " (" + reason + ")"
	}
	switch ch.Gate.Kind() {
	case v1alpha1.GateHeld, v1alpha1.GateSuspended:
		return ResultDiffers, reason
	default:
		return ResultPending, reason
	}
}

// whyNotThere says why a plan does not want an object where a report announced it.
func (o *outcome) whyNotThere(key v1alpha1.ObjectKey, cluster string) string {
	it := o.now.at.byKey[key]
	if it == nil || it.entry == nil {
		return "it does not belong there now"
	}
	if it.entry.Error != "" {
		return "it cannot be placed now: " + it.entry.Error
	}
	for _, r := range it.entry.Rejected {
		if r.Clusters.Contains(cluster) {
			return fmt.Sprintf("it does not belong there now: %s: %s", r.Filter, r.Reason)
		}
	}
	return "it does not belong there now"
}

// unhealthy says what is wrong with an object that is as it should be; "": nothing.
func (o *outcome) unhealthy(cluster int, key v1alpha1.ObjectKey) string {
	held, isHeld := o.now.at.held(cluster, key)
	if !isHeld || isHealthy(held) || held.Health == v1alpha1.HealthUnknown {
		return ""
	}
	return strings.TrimSuffix("not healthy: "+held.Detail().HealthMessage, ": ")
}

// placement names clusters and shares that are others than announced. Whether they are there is told by the
// objects.
func (o *outcome) placement(p ReportPlacement) {
	ref := p.Workload
	var entry *PlacementEntry
	if it := o.now.at.byKey[ref.Key()]; it != nil {
		entry = it.entry
	}
	now := assignments(entry)
	announced := map[string]bool{}
	for _, a := range p.Clusters {
		announced[a.Name] = true
		got := now[a.Name]
		switch {
		case a.Action == PlacementLeave && got != nil:
			o.note(ref, announcedPlace, ResultDiffers, "it stays, or comes back", a.Name)
		case a.Action == PlacementLeave:
		case got == nil:
			o.note(ref, announcedPlace, ResultDiffers, o.whyNotThere(ref.Key(), a.Name), a.Name)
		case !equalReplicas(a.After, got.replicas):
			o.note(ref, announcedPlace, ResultDiffers, fmt.Sprintf("%s instead of %s", replicaWords(got.replicas), replicaWords(a.After)), a.Name)
		}
	}
	for _, name := range keys(now) {
		if !announced[name] {
			o.note(ref, announcedPlace, ResultDiffers, fmt.Sprintf("it is meant to go there now, with %s", replicaWords(now[name].replicas)), name)
		}
	}
}

func replicaWords(n *int64) string {
	if n == nil {
		return "no replicas"
	}
	return plural(*n, "replica", "replicas")
}

// result puts everything in order: what differs first, then what is pending.
func (o *outcome) result(r Report) Result {
	res := Result{
		APIVersion: v1alpha1.APIVersion, Kind: "PreviewResult", Head: r.Head, Applied: map[string]string{}, Items: []ResultItem{},
		Snapshot: ReportSnapshot{Clusters: len(o.now.Clusters), Digest: o.now.FleetDigest},
	}
	if snap := o.now.at.snap; !snap.TakenAt.IsZero() {
		taken := snap.TakenAt.UTC()
		res.Snapshot.TakenAt = &taken
	}
	for source, revision := range o.now.at.snap.AppliedRevisions {
		res.Applied[source] = revision
	}
	for key, names := range o.clusters {
		slices.Sort(names)
		names = slices.Compact(names)
		res.Items = append(res.Items, ResultItem{ObjectReference: key.ref, Announced: key.announced, State: key.state, Reason: key.reason, Clusters: names})
		switch key.state {
		case ResultDone:
			res.Summary.Done += len(names)
		case ResultPending:
			res.Summary.Pending += len(names)
		case ResultDiffers:
			res.Summary.Differs += len(names)
		}
	}
	rank := map[ResultState]int{ResultDiffers: 0, ResultPending: 1, ResultDone: 2}
	slices.SortFunc(res.Items, func(a, b ResultItem) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), a.Compare(b.ObjectReference), strings.Compare(a.Announced, b.Announced),
			strings.Compare(a.Reason, b.Reason), slices.Compare(a.Clusters, b.Clusters))
	})
	return res
}

// AsAnnounced tells that everything is done.
func (r Result) AsAnnounced() bool { return r.Summary.Pending == 0 && r.Summary.Differs == 0 }
