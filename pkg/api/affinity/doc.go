// Package affinity decides which clusters a ClusterAffinity selects and which objects a
// ResourceSelector selects.
//
// Placement, overrides, rollouts and tenants ask the same two questions, so the answers are given
// in one place. Both kinds of selector are compiled once and then matched often. Everything here is
// pure, and a compiled value may be used from several goroutines.
package affinity
