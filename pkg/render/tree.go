package render

import (
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Tree is the content of one source at one revision: what it declares, and what of it failed.
type Tree struct {
	// Source is the name of the GitSource.
	Source string
	// Revision is the revision in the form "main@sha1:…" or "dir@sha256:…".
	Revision string
	// Objects in the order of their files and documents.
	Objects []Object
	// PropagationPolicies and OverridePolicies are those that decoded and validated. An invalid one
	// is a blocker among the problems and counts as absent.
	PropagationPolicies []v1alpha1.PropagationPolicy
	OverridePolicies    []v1alpha1.OverridePolicy
	// Clusters that the repository declares.
	Clusters []v1alpha1.Cluster
	// Problems are findings about files, units and documents.
	Problems []v1alpha1.Finding
	// FailedUnits are the paths of files and folders that could not be read or built, or of which a
	// document failed. While there is one, absence from Objects proves nothing.
	FailedUnits []string
}

// Complete tells that every unit loaded, so that an object that is not in the tree is gone from Git.
func (t Tree) Complete() bool { return len(t.FailedUnits) == 0 }

// CRDs are the CustomResourceDefinitions among the objects, in their order: of plain files, kustomizations
// and the crds/ folders of charts alike. They say what scope their kinds have, and by which keys lists merge.
func (t Tree) CRDs() []Object {
	var list []Object
	for _, o := range t.Objects {
		if r := o.Reference(); r.Kind == "CustomResourceDefinition" && r.Group() == "apiextensions.k8s.io" {
			list = append(list, o)
		}
	}
	return list
}
