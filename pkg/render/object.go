package render

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Object is one manifest as a source declares it, built but not yet overridden. It is shared
// between clusters and never changed: whoever wants another version copies it.
type Object struct {
	*unstructured.Unstructured
	// Source is the name of the GitSource.
	Source string
	// Unit is the path of the folder (a kustomization, a chart) or file that the object was built
	// from, relative to the source's root.
	Unit string
	// Origin is where the object as a whole comes from.
	Origin Origin
	// ContentDigest identifies Unstructured's content: equal digests, equal content. It keys
	// caches and never leaves the process.
	ContentDigest string
	// Variables tells that texts of the object have variables that are to be replaced.
	Variables bool
}

// WithNamespace returns the object in a namespace. It fills in what the document leaves out.
func (o Object) WithNamespace(namespace string) Object {
	if o.GetNamespace() == namespace {
		return o
	}
	copied := make(map[string]any, len(o.Object))
	maps.Copy(copied, o.Object)
	metadata, _ := o.Object["metadata"].(map[string]any)
	withNamespace := make(map[string]any, len(metadata)+1)
	maps.Copy(withNamespace, metadata)
	withNamespace["namespace"] = namespace
	copied["metadata"] = withNamespace
	o.Unstructured = &unstructured.Unstructured{Object: copied}
	if o.ContentDigest != "" {
		o.ContentDigest += "/" + namespace
	}
	return o
}

// Reference returns the object's reference.
func (o Object) Reference() v1alpha1.ObjectReference {
	return v1alpha1.ObjectReference{
		APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

// OriginKind says what wrote a field.
type OriginKind string

// The values of OriginKind.
const (
	OriginFile          OriginKind = "File"
	OriginKustomization OriginKind = "Kustomization"
	OriginChart         OriginKind = "Chart"
	OriginOverride      OriginKind = "Override"
	OriginDivision      OriginKind = "Division"
	OriginVariable      OriginKind = "Variable"
)

// Origin says which place of which repository made an object or a field what it is.
type Origin struct {
	Kind OriginKind `json:"kind"`
	// Name is that of the policy for Override and Division, empty for files.
	Name string `json:"name,omitempty"`
	// Rule counts the rules of an override policy from 1; 0 where there is none.
	Rule int `json:"rule,omitempty"`
	// Source is "file:line", relative to the root of the source.
	Source string `json:"source"`
}

// Rendered is an object as it is meant for one cluster.
type Rendered struct {
	// Object is the manifest as it is to be sent, without our own metadata. It may be shared
	// between clusters that have the same version; treat it as read-only.
	Object *unstructured.Unstructured
	// Base is the origin of every field that Fields does not name.
	Base Origin
	// Fields are the origins of changed fields by their JSON pointer in Object.
	Fields map[string]Origin
	// Overrides are the "file:line" of the rules that changed something, in the order they applied.
	Overrides []string
	// Matched are the rules that apply to the object on the cluster, in their order, whether or not
	// they changed something.
	Matched []RuleRef
	// Notes are what a reader should know about this object: an entry without effect, two policies
	// that write one field, duplicate keys. An entry without effect is worth a finding only where it
	// has none anywhere; see Effects.
	Notes []Note
	// Digest is the digest of Object's canonical JSON in the form v1:<hex>.
	Digest string
}

// OriginOf returns the origin of the field at a JSON pointer: that of the nearest enclosing field
// which an override or the division wrote, else the object's own.
func (r Rendered) OriginOf(pointer string) Origin {
	for p := pointer; ; {
		if o, ok := r.Fields[p]; ok {
			return o
		}
		cut := strings.LastIndexByte(p, '/')
		if cut < 0 {
			return r.Base
		}
		p = p[:cut]
	}
}

// Note is a remark about one object on one cluster; ID is the id of a finding.
type Note struct {
	ID      string
	Message string
	// Source is "file:line" in the source named by Repository; both are empty, as Rule is, where no
	// override is meant.
	Source     string
	Repository string
	Rule       RuleRef
}
