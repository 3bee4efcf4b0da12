package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// Source is one source as a plan sees it: its tree and what its GitSource permits.
type Source struct {
	render.Tree
	// Spec is the GitSource's, with defaults.
	Spec v1alpha1.GitSourceSpec
	// AllowPrune is the revision for which prune limits are lifted.
	AllowPrune string
	// Stale tells that the last fetch failed and Tree is the last good one: nothing is pruned.
	Stale bool
	// Earlier are the trees of revisions that a rollout has not taken from every cluster yet.
	Earlier []render.Tree
	// Leaving tells that the GitSource is deleted: its empty tree is meant. Its objects go along, or with the
	// deletionPolicy Orphan are let go of.
	Leaving bool
}

// Trees are the last good trees of every source. A source that has none yet is not among them, and
// nothing of it changes.
type Trees []Source

// Snapshot is what a plan knows about the fleet, taken at one time.
type Snapshot struct {
	// Now is the time that tolerations and drain times count from.
	Now time.Time
	// TakenAt is when the snapshot was taken; zero where a fleet file does not say.
	TakenAt time.Time
	// Clusters with taints and conditions as they stand.
	Clusters []v1alpha1.Cluster
	// Placements are the standing decisions.
	Placements []v1alpha1.Placement
	// Members are what each member holds, by cluster. A cluster without an entry holds nothing that
	// is known; see Member.Known.
	Members map[string]Member
	// Facts by cluster; a missing one makes checks report not-checked.
	Facts map[string]v1alpha1.ClusterFactsSpec
	// Config with defaults.
	Config v1alpha1.ConfigSpec
	// AppliedRevisions by source, where known.
	AppliedRevisions map[string]string
	// Sources say of sources, by id, how fast their changes spread; the trees that are planned have the
	// last word.
	Sources []v1alpha1.GitSource
	// Rollouts are how far the revisions of sources have spread, by source.
	Rollouts map[string]v1alpha1.RolloutStatus
	// GoneSources are sources that are known to be deleted: others may take over their objects. Of
	// any other source without a tree nothing changes.
	GoneSources []string
	// FleetDigest identifies the fleet's part of the snapshot in the form sha256:<hex>; empty where nobody is
	// shown what comes of the snapshot.
	FleetDigest string
	// Guards hold evictions back.
	Guards Guards
}

// Member is what one member holds of ours.
type Member struct {
	// Known tells that Objects is the whole truth: caches are synced, or the fleet file has an
	// Inventory of this cluster. Otherwise absence proves nothing.
	Known bool
	// Reachable tells that writes can reach it now. Of an unreachable member Objects is the last
	// that was seen.
	Reachable bool
	// Objects are what it holds of ours.
	Objects Inventory
	// Refused are the objects whose manifests the API server does not take, until a person changes something.
	Refused map[v1alpha1.ObjectKey]Refusal
}

// Refusal is why a manifest was not taken.
type Refusal struct {
	// Digest is that of the manifest.
	Digest  string
	Message string
}

// UnreadablePause stands for a pause that is not a time. Like any that lies too far ahead it is not honoured, and
// that is reported.
func UnreadablePause() time.Time { return time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC) }

// Held is one object of ours on a member.
type Held struct {
	v1alpha1.ObjectReference
	UID             string
	ResourceVersion string
	// Source is the name of the GitSource that it came from.
	Source string
	// Digest of the manifest that was applied last, from the object's annotation.
	Digest string
	// OwnedFields is the fieldsV1 document of our Apply entry, empty where it is not known. Fields of
	// the desired manifest that it lacks were changed by someone else.
	OwnedFields string
	Health      v1alpha1.Health
	// Replicas is the share that was recorded on a divided object.
	Replicas *int64
	// Terminating tells that the object is being deleted.
	Terminating bool
	// Details are nil where the object has none of them, as most have not: there is one of this for each object
	// on each cluster. Detail reads them, SetDetail changes them.
	Details *HeldDetails
}

// HeldDetails are what is worth telling of few objects.
type HeldDetails struct {
	// Drift are fields, as JSON pointers, in which a full comparison found the live object to
	// differ though we own them.
	Drift []string
	// Managers are others who own fields, without those that write the status alone.
	Managers []Manager
	// ChangedAt is when someone else was seen to change the object; zero: not known.
	ChangedAt time.Time
	// HealthMessage says why it is not healthy.
	HealthMessage string
	// Prune is the live object's prune annotation: "", "confirm" or "disabled".
	Prune string
	// PausedUntil is the live object's; zero: not paused; UnreadablePause: it says something that is no time.
	PausedUntil time.Time
	// Unschedulable is how many of its pods have found no node for long.
	Unschedulable int64
	// State are the values of its status that its policy preserves over a failover, by label.
	State map[string]string

	// content is the digest of what NextSnapshot put there. It is known of Secrets too and never
	// leaves the process.
	content string
}

// Detail returns the details; zero where there are none.
func (h *Held) Detail() HeldDetails {
	if h.Details == nil {
		return HeldDetails{}
	}
	return *h.Details
}

// SetDetail gives the object other details. Those that it had, which others may share, stay as they are.
func (h *Held) SetDetail(change func(*HeldDetails)) {
	d := h.Detail()
	change(&d)
	h.Details = nil
	if !d.empty() {
		kept := d
		h.Details = &kept
	}
}

func (d *HeldDetails) empty() bool {
	return len(d.Drift)+len(d.Managers)+len(d.State) == 0 && d.ChangedAt.IsZero() && d.PausedUntil.IsZero() &&
		d.HealthMessage+d.Prune+d.content == "" && d.Unschedulable == 0
}

// Plan is everything that changes, and why.
type Plan struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Revisions by source.
	Revisions   map[string]string `json:"revisions"`
	FleetDigest string            `json:"fleetDigest"`
	// Placements by namespace, kind and name of the workload.
	Placements []PlacementEntry `json:"placements"`
	// Clusters by name: every cluster of the fleet.
	Clusters []ClusterChanges `json:"clusters"`
	// Findings in the order of Finding.Compare.
	Findings []v1alpha1.Finding `json:"findings"`
	// Rollouts by source, of the sources that have one.
	Rollouts []RolloutEntry `json:"rollouts,omitempty"`
	// RecheckAt is the earliest time at which the plan changes though nothing else does: a toleration
	// ends, a move has drained, a pause is over. Zero: never.
	RecheckAt time.Time `json:"-"`

	// at is what the plan was computed from; nil in a plan that was read back.
	at *computation
	// parts are the plans of earlier revisions by which clusters are kept, by cluster; earlier are those
	// revisions in such a plan, by source.
	parts   map[string]*Plan
	earlier map[string]string
	// rollouts are how far each rollout has come with this plan.
	rollouts map[string]v1alpha1.RolloutStatus
}

// PlacementEntry is the decision about one object with the policy that asked for it.
type PlacementEntry struct {
	Workload v1alpha1.ObjectReference `json:"workload"`
	Source   string                   `json:"source"`
	Policy   PolicyReference          `json:"policy"`
	placement.Decision
	// Stay is why the workload stays for now where it would have to leave; empty: nothing holds it.
	Stay string `json:"-"`
	// Waiting says what is to happen on clusters that has not happened yet, and why.
	Waiting []v1alpha1.ClusterMessage `json:"-"`
}

// PolicyReference names a policy and its place.
type PolicyReference struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Source    string `json:"source"`
}

// ClusterChanges lists what happens on one cluster.
type ClusterChanges struct {
	Name    string         `json:"name"`
	Objects []ObjectChange `json:"objects"`
}

// ObjectChange is what happens to one object on one cluster.
type ObjectChange struct {
	v1alpha1.ObjectReference
	Action v1alpha1.Action `json:"action"`
	// Digest of the desired manifest, or of the held one for prune; empty for Secrets.
	Digest string `json:"digest"`
	// Overrides are the "file:line" of the rules that changed it.
	Overrides []string      `json:"overrides"`
	Gate      v1alpha1.Gate `json:"gate"`

	// Source is the name of the GitSource.
	Source string `json:"-"`
	// Replicas is the share of a divided object on this cluster.
	Replicas *int64 `json:"-"`
	// Reason says in words why, where the action alone does not.
	Reason string `json:"-"`

	// pair is what the executor needs; nil in a plan that was read back.
	pair *pair
	// of is the computation that it comes from, nil: the plan's own.
	of *computation
}

// ClusterPlan is one cluster's part of a plan, complete in itself: it can be stored, sent to an agent
// in the cluster or to another shard, and be carried out there without the rest.
type ClusterPlan struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Cluster    string `json:"cluster"`
	HubID      string `json:"hubID"`
	// Revisions by source, for messages.
	Revisions map[string]string `json:"revisions"`
	// Operations in the order in which they may start: by wave, then by kind. Prunes come last.
	Operations []Operation `json:"operations"`
	// Sets are, by source, what the ApplySets of this cluster must list when all is done.
	Sets []ApplySet `json:"sets"`
}

// Operation is one thing to do with one object. Skipped and unchanged ones are listed without a
// manifest, since sets and health concern them too.
type Operation struct {
	v1alpha1.ObjectReference
	Action v1alpha1.Action `json:"action"`
	Gate   v1alpha1.Gate   `json:"gate,omitempty"`
	Source string          `json:"source"`
	// Manifest is what to send, without our own metadata; nil unless create or configure.
	Manifest *unstructured.Unstructured `json:"manifest,omitempty"`
	// Digest goes into the object's annotation. For Secrets the executor computes its own.
	Digest string `json:"digest,omitempty"`
	// Replicas is recorded on divided objects.
	Replicas *int64 `json:"replicas,omitempty"`
	// HandOver are JSON pointers of fields that we let go of: their live values are kept.
	HandOver []string `json:"handOver,omitempty"`
	// OnCreateOnly are JSON pointers of fields that are sent with a create alone.
	OnCreateOnly []string `json:"onCreateOnly,omitempty"`
	// Unowned tells that rules of the source leave all of these fields to whoever writes them, so that the
	// hand-over manager is not to keep them either: it would be in the way of every apply by someone else.
	Unowned bool `json:"unowned,omitempty"`
	// Release lets go of an object instead of removing it: what is ours on it is taken off (a prune alone).
	Release bool `json:"release,omitempty"`
	// Adopt takes over an existing object that is not ours (conflictResolution: Overwrite).
	Adopt bool `json:"adopt,omitempty"`
	// Expected is what the plan saw of the object; another digest there makes the plan stale.
	ExpectedUID    string `json:"expectedUID,omitempty"`
	ExpectedDigest string `json:"expectedDigest,omitempty"`
	// PutsBack tells of a configure that Git has not changed: it undoes what someone else did.
	PutsBack bool `json:"putsBack,omitempty"`
	// Wave orders operations; lower first.
	Wave int `json:"wave,omitempty"`
	// DependsOn are objects that must be applied and healthy first.
	DependsOn []v1alpha1.ObjectReference `json:"dependsOn,omitempty"`
	// Identity is the service account to act as, as namespace/name; empty: the controller's own.
	Identity string `json:"identity,omitempty"`
	// Bounded tells that the source is a tenant's. What it may do was judged by the reference: where the
	// cluster takes the kind as cluster-scoped and the reference has a namespace, nothing is to be done.
	Bounded bool `json:"bounded,omitempty"`
	// Reason is for people: why this happens.
	Reason string `json:"reason,omitempty"`
}

// ApplySet is one source's set of objects on one cluster.
type ApplySet struct {
	Source string `json:"source"`
	// GroupKinds in kubectl's spelling, sorted.
	GroupKinds []string `json:"groupKinds"`
	// Namespaces that the members live in, sorted.
	Namespaces []string `json:"namespaces"`
}
