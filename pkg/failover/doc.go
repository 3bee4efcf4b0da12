// Package failover decides which clusters count as failed, which taints say so, and when evictions
// must not happen because the fault is more likely ours.
//
// It is pure: observations with their times go in, a verdict comes out. The taints are data of the
// next snapshot and the plan moves the workloads; failover is a re-plan, not a second code path.
package failover
