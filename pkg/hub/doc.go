// Package hub runs the engine in a hub cluster: it reads the engine's configuration from the hub's objects
// and Secrets, keeps its decisions in Placement objects, and tells there how everything is doing.
//
// Of several replicas one leads and runs the engine; the others keep the hub's objects at hand. Every
// write, to the hub and to members, passes a fence that asks whether the lease is still ours.
//
// It uses client-go alone: what is needed of a hub is informers for a few kinds, one client and an
// elector, and there is no reconciler, since one loop plans from one snapshot.
package hub
