package plan

import (
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// Report says what a change of Git does to every cluster: the contract of preview's JSON. Lists are
// sorted and never null.
type Report struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Base       ReportRevision `json:"base"`
	Head       ReportRevision `json:"head"`
	Snapshot   ReportSnapshot `json:"snapshot"`
	Summary    ReportSummary  `json:"summary"`
	// Clusters are those of the fleet, by name.
	Clusters []ReportCluster `json:"clusters"`
	// Placements are those that change, by workload.
	Placements []ReportPlacement `json:"placements"`
	// Groups are the changes of objects, each once with the clusters that it concerns.
	Groups []ReportGroup `json:"groups"`
	// Held are the objects that stay as they are for a reason that the base does not have.
	Held []ReportHeld `json:"held"`
	// Findings are those that the change brings.
	Findings []v1alpha1.Finding `json:"findings"`
	// Standing are the findings that are true with or without the change.
	Standing []v1alpha1.Finding `json:"standing"`
	// Checks are what was looked at, in a fixed order, and where what it needs is not known.
	Checks []ReportCheck `json:"checks"`
	// Drift are the objects that someone else changed on the members: true anyway, and no part of the
	// change.
	Drift []ReportDrift `json:"drift"`
}

// ReportCluster is what a reader wants to know of a cluster.
type ReportCluster struct {
	Name     string `json:"name"`
	Provider string `json:"provider,omitempty"`
	Region   string `json:"region,omitempty"`
	// Version of Kubernetes; empty where the fleet file does not say.
	Version string `json:"version,omitempty"`
	// Changed tells that the change writes to it.
	Changed bool `json:"changed"`
}

// ReportCheck is one thing that was looked at on the clusters that the change concerns.
type ReportCheck struct {
	ID string `json:"id"`
	// About says in a few words what was looked at.
	About string `json:"about"`
	// Findings are the ids that speak of it.
	Findings []string `json:"findings"`
	// Checked is on how many clusters it was looked at, and NotChecked names those of which the fleet
	// file does not say what is needed.
	Checked    int      `json:"checked"`
	NotChecked []string `json:"notChecked"`
	// Failed are the clusters of the findings that the change brings; Severity is the worst of these,
	// empty where there is none.
	Failed   []string          `json:"failed"`
	Severity v1alpha1.Severity `json:"severity"`
}

// ReportDrift is an object that someone else changed.
type ReportDrift struct {
	v1alpha1.ObjectReference
	Reason   string   `json:"reason"`
	Clusters []string `json:"clusters"`
}

// ReportRevision names one side.
type ReportRevision struct {
	Commit string `json:"commit"`
	// Revisions by source.
	Revisions map[string]string `json:"revisions"`
}

// ReportSnapshot says of the fleet what the report was computed on.
type ReportSnapshot struct {
	// TakenAt is nil where the fleet file does not say.
	TakenAt  *time.Time `json:"takenAt"`
	Clusters int        `json:"clusters"`
	Digest   string     `json:"digest"`
}

// ReportSummary counts.
type ReportSummary struct {
	Clusters ClusterCounts `json:"clusters"`
	Objects  ObjectCounts  `json:"objects"`
	// Replicas are those of the workloads in Placements, over all clusters.
	Replicas ReplicaCounts `json:"replicas"`
	// PodsRestarted is how many pods are replaced since their template changes.
	PodsRestarted int64 `json:"podsRestarted"`
	// Workloads are the objects with replicas that change or move; Policies the propagation and override
	// policies that are new, gone or different.
	Workloads int `json:"workloads"`
	Policies  int `json:"policies"`
	// SecretValues is how many values of Secrets change; none of them is in the report.
	SecretValues int `json:"secretValues"`
}

// ClusterCounts counts clusters.
type ClusterCounts struct {
	Total   int `json:"total"`
	Changed int `json:"changed"`
}

// ObjectCounts counts objects on clusters: one object on three clusters counts three.
type ObjectCounts struct {
	Create    int `json:"create"`
	Configure int `json:"configure"`
	Prune     int `json:"prune"`
}

// ReplicaCounts counts replicas.
type ReplicaCounts struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// PlacementAction says what becomes of a workload on a cluster.
type PlacementAction string

// The values of PlacementAction.
const (
	PlacementJoin    PlacementAction = "join"
	PlacementLeave   PlacementAction = "leave"
	PlacementRescale PlacementAction = "rescale"
	PlacementStay    PlacementAction = "stay"
)

// ReportPlacement is one workload before and after.
type ReportPlacement struct {
	Workload v1alpha1.ObjectReference `json:"workload"`
	Source   string                   `json:"source"`
	Policy   PolicyReference          `json:"policy"`
	Strategy string                   `json:"strategy"`
	// Before and After are the replicas over all clusters; null for objects without.
	Before *int64 `json:"before"`
	After  *int64 `json:"after"`
	// Clusters are those that have the workload before or after: joins, leaves, rescales, stays, each
	// by name.
	Clusters []ReportAssignment `json:"clusters"`
	// Rejected are the clusters that have it neither before nor after, with the reason.
	Rejected []ReportRejection `json:"rejected"`
	// Error says why the head cannot be placed; nothing of the workload changes then.
	Error string `json:"error"`
}

// ReportAssignment is one cluster of a placement.
type ReportAssignment struct {
	Name string `json:"name"`
	// Before and After are 0 where the workload is not, and null where it has no replicas.
	Before   *int64           `json:"before"`
	After    *int64           `json:"after"`
	Action   PlacementAction  `json:"action"`
	Score    int64            `json:"score"`
	Scores   map[string]int64 `json:"scores"`
	FilterBy string           `json:"filteredBy,omitempty"`
	Reasons  []string         `json:"reasons"`
}

// ReportRejection lists clusters that one filter rejects for one reason.
type ReportRejection struct {
	Filter   string   `json:"filter"`
	Reason   string   `json:"reason"`
	Clusters []string `json:"clusters"`
}

// GroupKind says how alike the members of a group are.
type GroupKind string

// The values of GroupKind.
const (
	// GroupExact: the same change, value by value, on every cluster.
	GroupExact GroupKind = "exact"
	// GroupSameShape: the same fields, each cluster with its own values.
	GroupSameShape GroupKind = "same-shape"
)

// ReportGroup is one change with all clusters that it concerns.
type ReportGroup struct {
	// ID is A to Z, then AA and so on, in the order of the report.
	ID     string          `json:"id"`
	Kind   GroupKind       `json:"kind"`
	Action v1alpha1.Action `json:"action"`
	// Object is the first of Objects; a configure group has exactly one.
	Object  v1alpha1.ObjectReference `json:"object"`
	Objects []ReportObject           `json:"objects"`
	// Clusters by name.
	Clusters []string `json:"clusters"`
	// Selection says in words which clusters these are, where that is exact: "all 14 with tier=gold".
	Selection string `json:"selection,omitempty"`
	// Fields are what changes; empty for creates and prunes.
	Fields []ReportField `json:"fields"`
	// Reason says why where no field of the manifest changes.
	Reason string `json:"reason,omitempty"`
	// PodsRestarted is how many pods of the group are replaced.
	PodsRestarted int64 `json:"podsRestarted,omitempty"`
}

// ReportObject is one object of a group.
type ReportObject struct {
	v1alpha1.ObjectReference
	// Replicas is its share, null where there is none or where the clusters differ.
	Replicas *int64 `json:"replicas"`
	// Gate is what a removal waits for.
	Gate v1alpha1.Gate `json:"gate"`
	// Storage is what a PersistentVolumeClaim asks for, as in its manifest.
	Storage string `json:"storage,omitempty"`
}

// ReportField is one field that changes.
type ReportField struct {
	Path string `json:"path"`
	// Old and New are absent where the field is; of a Secret they are "value #1" and so on. In a
	// same-shape group both are absent and Values has them.
	Old any `json:"old,omitempty"`
	New any `json:"new,omitempty"`
	// Origin is what made the new value; nil in a same-shape group whose clusters differ in it.
	Origin *render.Origin `json:"origin,omitempty"`
	Values []ReportValue  `json:"values,omitempty"`
}

// ReportValue is a field on one cluster.
type ReportValue struct {
	Cluster string         `json:"cluster"`
	Old     any            `json:"old,omitempty"`
	New     any            `json:"new,omitempty"`
	Origin  *render.Origin `json:"origin,omitempty"`
}

// ReportHeld is an object that stays as it is.
type ReportHeld struct {
	v1alpha1.ObjectReference
	Gate     v1alpha1.Gate `json:"gate"`
	Reason   string        `json:"reason"`
	Clusters []string      `json:"clusters"`
	// Source is the name of the GitSource, and Storage as in ReportObject.
	Source  string `json:"source,omitempty"`
	Storage string `json:"storage,omitempty"`
}

// PreviewOptions say how a report names things.
type PreviewOptions struct {
	// BaseCommit and HeadCommit are shown for the two sides. Default: the revision of the first source
	// that differs between them.
	BaseCommit string
	HeadCommit string
}

// Changes tells whether the report has anything that a cluster will notice.
func (r Report) Changes() bool {
	return r.Summary.Objects != (ObjectCounts{}) || len(r.Placements) > 0
}

// Worst returns the rank of the worst finding that the change brings; see Severity.Rank.
func (r Report) Worst() int { return worst(r.Findings) }

// Worst returns the rank of the worst finding; see Severity.Rank.
func (p *Plan) Worst() int { return worst(p.Findings) }

func worst(findings []finding) int {
	rank := 0
	for _, f := range findings {
		rank = max(rank, f.Severity.Rank())
	}
	return rank
}
