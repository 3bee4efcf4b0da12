// Package fidelity holds what a preview says against what the controller then does: a preview whose base is
// applied and whose snapshot is current must name exactly the objects and fields that are written next.
//
// A run follows from its seed alone. It puts a random repository on simulated clusters by the engine, takes
// the snapshot as `fleet snapshot` does, makes a random commit, previews it, pushes it, and lets the fleet
// come to rest. What is compared is independent of the planner: the objects of ours on each cluster and the
// fields that the API server says are ours, before and after, and the requests in between.
//
// With the build tag e2e fixed commits and a few random ones are played on real API servers in the same way;
// the requests are then those of the audit logs.
package fidelity
