package v1alpha1

import (
	"cmp"
	"slices"
	"strings"
)

// Severity ranks findings.
type Severity string

// The values of Severity, from the one that stops a merge to the one that only informs.
const (
	SeverityBlocker Severity = "blocker"
	SeverityCaution Severity = "caution"
	SeverityInfo    Severity = "info"
)

// Rank orders severities: blocker 3, caution 2, info 1, anything else 0.
func (s Severity) Rank() int {
	switch s {
	case SeverityBlocker:
		return 3
	case SeverityCaution:
		return 2
	case SeverityInfo:
		return 1
	}
	return 0
}

// Action is what a plan does with one object on one cluster.
type Action string

// The values of Action.
const (
	ActionCreate    Action = "create"
	ActionConfigure Action = "configure"
	ActionUnchanged Action = "unchanged"
	ActionPrune     Action = "prune"
	// ActionSkip leaves the object as it is; the gate says why.
	ActionSkip Action = "skip"
)

// Gate names what an action waits for; empty: nothing. The first part, up to a colon, is one of the
// Gate constants; the rest says which.
type Gate string

// The kinds of gates. Move, Rollout, Held and Suspended open only with another plan; the others
// open while the plan is carried out.
const (
	GateWave           Gate = "wave"
	GateCRDEstablished Gate = "crd-established"
	GateDependsOn      Gate = "depends-on"
	GateMove           Gate = "move"
	GateRollout        Gate = "rollout"
	GateHeld           Gate = "held"
	GateSuspended      Gate = "suspended"
)

// Of returns the gate with a detail, as in "held:override-failed".
func (g Gate) Of(detail string) Gate { return g + ":" + Gate(detail) }

// Kind returns the gate without its detail.
func (g Gate) Kind() Gate {
	kind, _, _ := strings.Cut(string(g), ":")
	return Gate(kind)
}

// NeedsReplan tells that only another plan opens the gate, so that the executor passes by.
func (g Gate) NeedsReplan() bool {
	switch g.Kind() {
	case GateMove, GateRollout, GateHeld, GateSuspended:
		return true
	default:
		return false
	}
}

// Finding is something that a reader of a plan must know. ID is one of the ids of docs/findings.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Source is "file:line" inside the source named by Repository, empty where there is none.
	Source string `json:"source"`
	// Field is the JSON pointer of the field that it is about, in the document at Source; empty where that is
	// the line of the field already. Whoever has the files finds the line with it.
	Field string `json:"-"`
	// Clusters that the finding is about, by name; empty: not about particular ones.
	Clusters []string `json:"clusters"`
	// Object is the object that it is about, nil where there is none.
	Object *ObjectReference `json:"object,omitempty"`
	// Repository is the name of the GitSource; empty where the fleet is meant.
	Repository string `json:"repository,omitempty"`
}

// Compare orders findings by severity (worst first), id, repository, source, object and message.
func (f Finding) Compare(o Finding) int {
	return cmp.Or(
		cmp.Compare(o.Severity.Rank(), f.Severity.Rank()),
		strings.Compare(f.ID, o.ID),
		strings.Compare(f.Repository, o.Repository),
		strings.Compare(f.Source, o.Source),
		compareReferences(f.Object, o.Object),
		strings.Compare(f.Message, o.Message),
		slices.Compare(f.Clusters, o.Clusters),
	)
}

func compareReferences(a, b *ObjectReference) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Compare(*b)
}
