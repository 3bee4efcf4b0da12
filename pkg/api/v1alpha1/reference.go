package v1alpha1

import (
	"cmp"
	"strconv"
	"strings"
)

// ObjectReference names one object of any kind. Namespace is empty for cluster-scoped objects.
type ObjectReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// Group returns the API group, empty for the core group.
func (r ObjectReference) Group() string {
	group, _, found := strings.Cut(r.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// GroupKind returns "Kind" or "Kind.group", the form in which kubectl spells kinds.
func (r ObjectReference) GroupKind() string {
	if g := r.Group(); g != "" {
		return r.Kind + "." + g
	}
	return r.Kind
}

// Key returns the reference without its API version, since one object is served under several:
// two references are about the same object exactly when their keys are equal.
func (r ObjectReference) Key() ObjectKey {
	return ObjectKey{Group: r.Group(), Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

// String returns "Kind namespace/name" or "Kind name", as messages show it.
func (r ObjectReference) String() string { return r.Key().String() }

// Compare orders references by namespace, kind, name and then API version.
func (r ObjectReference) Compare(o ObjectReference) int {
	return cmp.Or(r.Key().Compare(o.Key()), strings.Compare(r.APIVersion, o.APIVersion))
}

// ObjectKey identifies an object across the versions of its API.
type ObjectKey struct {
	Group, Kind, Namespace, Name string
}

// String returns "Kind namespace/name" or "Kind name".
func (k ObjectKey) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// Compare orders keys by namespace, kind, name and then group.
func (k ObjectKey) Compare(o ObjectKey) int {
	return cmp.Or(
		strings.Compare(k.Namespace, o.Namespace),
		strings.Compare(k.Kind, o.Kind),
		strings.Compare(k.Name, o.Name),
		strings.Compare(k.Group, o.Group),
	)
}

// Position is a place in a repository: a file, relative to the source's root with forward slashes,
// and a line that counts from 1. Line 0 means the file as a whole.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
}

// String returns "file:line", or "file" where the line is not known.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Compare orders positions by file and line.
func (p Position) Compare(o Position) int {
	return cmp.Or(strings.Compare(p.File, o.File), cmp.Compare(p.Line, o.Line))
}
