// Package render decides what an object looks like on one cluster: it applies the overriders of all
// matching policies in their order and remembers which rule wrote each field.
//
// It is pure: the same object, cluster and rules give the same bytes, and one failure concerns one
// object on one cluster. The rules are those of Karmada's override policies with our additions
// strategicMerge, expression and ifMissing.
package render
