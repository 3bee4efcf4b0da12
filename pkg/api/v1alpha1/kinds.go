package v1alpha1

import "strings"

// kind describes one kind of ours.
type kind struct {
	name string
	// karmadaGroup is the group of Karmada in which the kind is read too; empty: none.
	karmadaGroup string
	// namespaced tells that a document without a namespace is read as of namespace "default".
	namespaced bool
	// invalid is the id of the finding for an error.
	invalid string
	// make returns a new value for the document to be decoded into.
	make func() any
}

// kinds lists our kinds.
func kinds() []kind {
	return []kind{
		{KindPropagationPolicy, KarmadaPolicyGroup, true, FindingInvalidPolicy, func() any { return &PropagationPolicy{} }},
		{KindClusterPropagationPolicy, KarmadaPolicyGroup, false, FindingInvalidPolicy, func() any { return &PropagationPolicy{} }},
		{KindOverridePolicy, KarmadaPolicyGroup, true, FindingInvalidPolicy, func() any { return &OverridePolicy{} }},
		{KindClusterOverridePolicy, KarmadaPolicyGroup, false, FindingInvalidPolicy, func() any { return &OverridePolicy{} }},
		{KindCluster, KarmadaClusterGroup, false, FindingInvalidConfiguration, func() any { return &Cluster{} }},
		{KindGitSource, "", false, FindingInvalidConfiguration, func() any { return &GitSource{} }},
		{KindConfig, "", false, FindingInvalidConfiguration, func() any { return &Config{} }},
		{KindPlacement, "", false, FindingInvalidConfiguration, func() any { return &Placement{} }},
		{KindSnapshot, "", false, FindingInvalidConfiguration, func() any { return &Snapshot{} }},
		{KindInventory, "", false, FindingInvalidConfiguration, func() any { return &Inventory{} }},
		{KindClusterFacts, "", false, FindingInvalidConfiguration, func() any { return &ClusterFacts{} }},
		{KindOrders, "", false, FindingInvalidConfiguration, func() any { return &Orders{} }},
	}
}

// findKind returns the kind of ours that a document of an API version and kind is read as.
func findKind(apiVersion, name string) (kind, bool) {
	group, version, _ := strings.Cut(apiVersion, "/")
	if version != Version {
		return kind{}, false
	}
	for _, k := range kinds() {
		if k.name == name && (group == Group || k.karmadaGroup != "" && group == k.karmadaGroup) {
			return k, true
		}
	}
	return kind{}, false
}

// IsOurs tells that a document is configuration of ours and never a workload: everything in our
// group, and the kinds of Karmada that are read as ours. Document.Typed reports those of our group
// that do not exist.
func IsOurs(apiVersion, kind string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	if group == Group {
		return true
	}
	_, ok := findKind(apiVersion, kind)
	return ok
}

// IsUnsupportedKarmada tells that a document is a kind of Karmada without a counterpart here, or in a
// version that is not read. It is never a workload; the finding is kind-not-supported.
func IsUnsupportedKarmada(apiVersion, kind string) bool {
	group, _, found := strings.Cut(apiVersion, "/")
	return found && (group == "karmada.io" || strings.HasSuffix(group, ".karmada.io")) && !IsOurs(apiVersion, kind)
}
