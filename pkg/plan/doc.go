// Package plan decides what changes on which cluster, and why.
//
// Compute takes the trees of every source and one snapshot of the fleet and gives a Plan: a value
// with a reason for every line that preview prints, the controller executes and tests compare. It
// is pure: the snapshot carries the time, and the same input gives the same bytes. Nothing is ever
// pruned on the absence of evidence: a prune needs a tree that loaded whole and lacks the object,
// or a decision that succeeded and names other clusters.
package plan
