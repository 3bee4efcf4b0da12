package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// finding abbreviates the type of everything that a reader must know.
type finding = v1alpha1.Finding

// The ids of the findings that plans and previews give by themselves; those of what they are made of are in
// v1alpha1.
const (
	APIDeprecated        = "api-deprecated"
	APINotServed         = "api-not-served"
	APIRemoved           = "api-removed"
	ClaimedTwice         = "claimed-twice"
	EvictionWaits        = "eviction-waits"
	FailoverBlocked      = "failover-blocked"
	FailoverWouldViolate = "failover-would-violate"
	FewerThanMinGroups   = "fewer-than-min-groups"
	Headroom             = "headroom"
	HeldBack             = "held"
	HPAMultiplied        = "hpa-multiplied"
	HPAOwned             = "hpa-owned"
	ImmutableField       = "immutable-field"
	LargeChange          = "large-change"
	MissingReference     = "missing-reference"
	MoveStuck            = "move-stuck"
	NoClusterMatches     = "no-cluster-matches"
	NotChecked           = "not-checked"
	PolicyConflict       = "policy-conflict"
	PolicySelectsNothing = "policy-selects-nothing"
	Privileged           = "privileged"
	PruneData            = "prune-data"
	PruneLastReplica     = "prune-last-replica"
	PVCShrink            = "pvc-shrink"
	RBACWidened          = "rbac-widened"
	Restart              = "restart"
	RolloutStopped       = "rollout-stopped"
	RunsTwice            = "runs-twice"
	ScaleToZero          = "scale-to-zero"
	SchemaInvalid        = "schema-invalid"
	SpreadSearchBounded  = "spread-search-bounded"
	StaleSnapshot        = "stale-snapshot"
	StateNotPreserved    = "state-not-preserved"
	TenantNotAllowed     = "tenant-not-allowed"
	ThinSpread           = "thin-spread"
	UnassignedReplicas   = "unassigned-replicas"
	Unclaimed            = "unclaimed"
)

// FindingKind describes one id.
type FindingKind struct {
	ID string
	// Severity is the default: blocker for what will fail or lose data, caution for what a reviewer
	// must know, info for the rest.
	Severity v1alpha1.Severity
	// Sentence says what it means, for people who see it for the first time.
	Sentence string
}

// FindingKinds lists every finding that a plan or a preview can have, by id.
func FindingKinds() []FindingKind {
	return []FindingKind{
		{APIDeprecated, v1alpha1.SeverityCaution, "A cluster's version of Kubernetes warns of an API that a later one does not serve."},
		{APINotServed, v1alpha1.SeverityBlocker, "A cluster does not serve the kind of an object that is meant for it."},
		{APIRemoved, v1alpha1.SeverityBlocker, "A cluster's version of Kubernetes does not serve an API any more."},
		{v1alpha1.FindingBuildFailed, v1alpha1.SeverityBlocker, "A kustomization or chart cannot be built; what it held before stays."},
		{ClaimedTwice, v1alpha1.SeverityBlocker, "An object is declared twice; the declaration that holds it now counts."},
		{v1alpha1.FindingDuplicateKey, v1alpha1.SeverityCaution, "A list has two items with one key, which an API server rejects; the last one is kept."},
		{EvictionWaits, v1alpha1.SeverityInfo, "A workload stays for now where it would have to leave: evictions take turns, or are stopped."},
		{FailoverBlocked, v1alpha1.SeverityCaution, "A workload is pinned to its clusters and does not move away from a failed one."},
		{FailoverWouldViolate, v1alpha1.SeverityCaution, "After the change the loss of a cluster would leave a workload without a place that its policy asks for."},
		{FewerThanMinGroups, v1alpha1.SeverityBlocker, "Fewer groups of clusters are eligible than a spread constraint asks for."},
		{v1alpha1.FindingFieldIgnored, v1alpha1.SeverityInfo, "A field is accepted but has no effect here."},
		{Headroom, v1alpha1.SeverityCaution, "A cluster gets more than it has room for."},
		{HeldBack, v1alpha1.SeverityCaution, "An object stays as it is because something about it is in doubt or guarded."},
		{v1alpha1.FindingHelmHook, v1alpha1.SeverityCaution, "A chart has a hook, which is not applied."},
		{HPAMultiplied, v1alpha1.SeverityCaution, "An autoscaler goes to several clusters, and its maximum with it."},
		{HPAOwned, v1alpha1.SeverityInfo, "An autoscaler owns the replicas of a workload; its share is only where it starts."},
		{ImmutableField, v1alpha1.SeverityBlocker, "A field changes that an API server does not let change."},
		{v1alpha1.FindingInvalidConfiguration, v1alpha1.SeverityBlocker, "A document of the configuration has an error."},
		{v1alpha1.FindingInvalidDocument, v1alpha1.SeverityBlocker, "A file or document cannot be read; what it held before stays."},
		{v1alpha1.FindingInvalidPolicy, v1alpha1.SeverityBlocker, "A policy has an error and counts as absent."},
		{v1alpha1.FindingJSONMergeUsed, v1alpha1.SeverityInfo, "A strategic merge patch met a kind whose patch keys are not known, so that its lists are replaced."},
		{v1alpha1.FindingKindNotSupported, v1alpha1.SeverityCaution, "A document of Karmada has no meaning here and is not propagated either."},
		{LargeChange, v1alpha1.SeverityCaution, "A change touches a large part of the fleet."},
		{MissingReference, v1alpha1.SeverityCaution, "An object refers to another that does not go along."},
		{MoveStuck, v1alpha1.SeverityCaution, "A removal waits for a healthy copy elsewhere that does not come."},
		{NoClusterMatches, v1alpha1.SeverityBlocker, "No cluster can take a workload."},
		{v1alpha1.FindingNondeterministicRender, v1alpha1.SeverityBlocker, "A chart uses a function whose result differs from run to run; what it held before stays."},
		{NotChecked, v1alpha1.SeverityInfo, "A check was not made since what it needs is not known."},
		{v1alpha1.FindingOverrideConflict, v1alpha1.SeverityCaution, "Two override policies write one field; the later one wins."},
		{v1alpha1.FindingOverrideFailed, v1alpha1.SeverityBlocker, "An override cannot be applied to an object; it stays as it is on that cluster."},
		{v1alpha1.FindingOverrideNoMatch, v1alpha1.SeverityCaution, "An override rule matches no object on any cluster."},
		{v1alpha1.FindingOverrideNoOp, v1alpha1.SeverityInfo, "An override changes nothing."},
		{PolicyConflict, v1alpha1.SeverityCaution, "Two policies claim one object and only their names decide."},
		{PolicySelectsNothing, v1alpha1.SeverityCaution, "A policy selects no object."},
		{Privileged, v1alpha1.SeverityCaution, "Pods may newly do what reaches beyond them: host paths, host network, capabilities, root."},
		{PruneData, v1alpha1.SeverityCaution, "An object that holds data, or much else, is removed or stays behind as an orphan."},
		{PruneLastReplica, v1alpha1.SeverityCaution, "The last copy of a workload in the fleet is removed."},
		{PVCShrink, v1alpha1.SeverityBlocker, "A PersistentVolumeClaim asks for less than before, which no volume can do."},
		{RBACWidened, v1alpha1.SeverityCaution, "A role or binding gives rights that it did not give before."},
		{Restart, v1alpha1.SeverityCaution, "A pod template changes, so that pods are replaced."},
		{RolloutStopped, v1alpha1.SeverityBlocker, "A commit does not spread to more clusters, since something that it has reached is not healthy."},
		{RunsTwice, v1alpha1.SeverityCaution, "A workload whose old copy is to be removed first is made elsewhere before: the cluster of the old one cannot be reached."},
		{ScaleToZero, v1alpha1.SeverityCaution, "A workload that had replicas has none."},
		{SchemaInvalid, v1alpha1.SeverityBlocker, "An API server will refuse an object: a field, a type or a value is not what its schema asks for."},
		{v1alpha1.FindingSecretNotDecrypted, v1alpha1.SeverityBlocker, "An encrypted file cannot be opened, or was changed; what it held before stays."},
		{v1alpha1.FindingSecretNotEncrypted, v1alpha1.SeverityBlocker, "A Secret stands in clear text where its source demands encryption; what it held before stays."},
		{SpreadSearchBounded, v1alpha1.SeverityInfo, "Many spread constraints at once are searched only so far."},
		{StaleSnapshot, v1alpha1.SeverityCaution, "The fleet snapshot does not hold what the base revision says."},
		{StateNotPreserved, v1alpha1.SeverityCaution, "A value of the status of an old copy is not handed on to the new one."},
		{TenantNotAllowed, v1alpha1.SeverityBlocker, "The source of a tenant declares, overrides or names what its GitSource does not allow."},
		{ThinSpread, v1alpha1.SeverityCaution, "A spread holds with nothing to spare, or a chosen group got no replicas."},
		{UnassignedReplicas, v1alpha1.SeverityCaution, "Some replicas found no place."},
		{Unclaimed, v1alpha1.SeverityCaution, "No policy selects an object, so that it goes nowhere."},
		{v1alpha1.FindingVariableFailed, v1alpha1.SeverityBlocker, "A variable has no value on a cluster, so that the object stays as it is there."},
	}
}

// severityOff in the configuration drops a finding.
const severityOff = "off"

// findingSet collects findings. What differs in its clusters alone becomes one finding.
type findingSet struct {
	defaults map[string]v1alpha1.Severity
	override map[string]string
	byKey    map[findingKey]*finding
	clusters map[findingKey]map[string]bool
}

type findingKey struct {
	id, message, source, repository string
	severity                        v1alpha1.Severity
	object                          v1alpha1.ObjectReference
}

func newFindingSet(c v1alpha1.PlanConfig) *findingSet {
	s := &findingSet{
		defaults: map[string]v1alpha1.Severity{}, override: c.Severity,
		byKey: map[findingKey]*finding{}, clusters: map[findingKey]map[string]bool{},
	}
	for _, r := range c.Rules {
		s.defaults[r.ID] = r.Severity
	}
	for _, k := range FindingKinds() {
		s.defaults[k.ID] = k.Severity
	}
	return s
}

// checkSeverities says which ids of the configuration are those of no finding, so that a misspelt one does
// not go unnoticed.
func (s *findingSet) checkSeverities() {
	for id := range s.override {
		if _, known := s.defaults[id]; !known {
			s.add(finding{
				ID: v1alpha1.FindingFieldIgnored, Severity: v1alpha1.SeverityCaution,
				Message: fmt.Sprintf("spec.plan.severity of the Config: no finding has the id %q", id),
			})
		}
	}
}

// add takes a finding; without a severity it gets the default of its id, and the configuration has
// the last word.
func (s *findingSet) add(f finding) {
	f.Severity = cmp.Or(f.Severity, s.defaults[f.ID], v1alpha1.SeverityInfo)
	switch o := s.override[f.ID]; o {
	case "":
	case severityOff:
		return
	default:
		f.Severity = v1alpha1.Severity(o)
	}
	s.keep(f)
}

// keep takes a finding whose severity is final.
func (s *findingSet) keep(f finding) {
	key := findingKey{id: f.ID, message: f.Message, source: f.Source, repository: f.Repository, severity: f.Severity}
	if f.Object != nil {
		key.object = *f.Object
	}
	if s.byKey[key] == nil {
		copied := f
		s.byKey[key], s.clusters[key] = &copied, map[string]bool{}
	}
	for _, cl := range f.Clusters {
		s.clusters[key][cl] = true
	}
}

// list returns the findings in their order.
func (s *findingSet) list() []finding {
	all := make([]finding, 0, len(s.byKey))
	for key, f := range s.byKey {
		out := *f
		out.Clusters = make([]string, 0, len(s.clusters[key]))
		for cl := range s.clusters[key] {
			out.Clusters = append(out.Clusters, cl)
		}
		slices.Sort(out.Clusters)
		all = append(all, out)
	}
	slices.SortFunc(all, finding.Compare)
	return all
}

// parsePosition reads "file:line".
func parsePosition(s string) v1alpha1.Position {
	cut := strings.LastIndexByte(s, ':')
	if cut < 0 {
		return v1alpha1.Position{File: s}
	}
	line := 0
	for _, d := range s[cut+1:] {
		if d < '0' || d > '9' || line > 1<<24 {
			return v1alpha1.Position{File: s}
		}
		line = line*10 + int(d-'0')
	}
	return v1alpha1.Position{File: s[:cut], Line: line}
}
