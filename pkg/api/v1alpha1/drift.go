package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DriftHandling is what is done about an object that someone else changed.
//
// +kubebuilder:validation:Enum=fought;reported;paused;repaired;ignored
type DriftHandling string

// The values of DriftHandling, the one that needs a person most first.
const (
	// DriftFought: it was put back again and again, and is left alone for a while since whoever changes
	// it does not stop.
	DriftFought DriftHandling = "fought"
	// DriftReported: the object says armada-sync.io/drift: report.
	DriftReported DriftHandling = "reported"
	// DriftPaused: the live object says armada-sync.io/paused-until.
	DriftPaused DriftHandling = "paused"
	// DriftRepaired: it is being put back.
	DriftRepaired DriftHandling = "repaired"
	// DriftIgnored: a rule of the source's ignoreDrift leaves the fields to someone else.
	DriftIgnored DriftHandling = "ignored"
)

// DriftHandlings are all of them, the one that needs a person most first.
func DriftHandlings() []DriftHandling {
	return []DriftHandling{DriftFought, DriftReported, DriftPaused, DriftRepaired, DriftIgnored}
}

// DriftSummary lists objects that someone else changed, the worst first.
type DriftSummary struct {
	// Total is how many there are; Objects names the first of them.
	Total int32 `json:"total"`
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Objects []ObjectDrift `json:"objects,omitempty"`
}

// ObjectDrift is one object on one cluster of which someone else changed fields that are ours. It never
// holds a value.
type ObjectDrift struct {
	Cluster         string `json:"cluster"`
	ObjectReference `json:",inline"`
	// Source is the GitSource that the object comes from, as namespace/name.
	Source   string        `json:"source,omitempty"`
	Handling DriftHandling `json:"handling"`
	// Fields are the first of those that differ; More is how many others do.
	// +listType=atomic
	Fields []DriftField `json:"fields,omitempty"`
	More   int32        `json:"more,omitempty"`
	// Until is when a pause ends, or when a fight is taken up again.
	Until *metav1.Time `json:"until,omitempty"`
}

// DriftField is one field that someone else changed.
type DriftField struct {
	// Path is a JSON pointer into the manifest in Git.
	Path string `json:"path"`
	// Manager is who has the field now, by the API server's record; empty: nobody, or someone whom it
	// does not record, such as an admission webhook.
	Manager string `json:"manager,omitempty"`
	// Since is when the manager last wrote its fields, or when the change was seen; nil: not known.
	Since *metav1.Time `json:"since,omitempty"`
}
