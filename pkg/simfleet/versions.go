package simfleet

import (
	"slices"

	"k8s.io/apimachinery/pkg/version"
)

// sortVersions puts the versions of a group in the order of preference: v1 before
// v1beta1, v2 before v1.
func sortVersions(versions []string) {
	slices.SortStableFunc(versions, func(a, b string) int { return version.CompareKubeAwareVersionStrings(b, a) })
}
