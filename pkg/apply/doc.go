// Package apply carries one cluster's part of a plan out and knows what that cluster holds of ours.
//
// A Member stands for one cluster. It watches, by metadata wherever that is enough, the objects that
// carry our ApplySet label, so that Inventory answers from memory and a hand edit is known as soon as
// the API server tells it. Execute sends one server-side apply request for each object that a plan
// changes, in parallel inside a rank of kinds, and removes with preconditions what the plan prunes.
// Nothing is polled and nothing is tried with dry-run on the way.
//
// The rules are those of "Applying" in docs/concepts: which objects are ours, how existing ones are
// adopted, how a field is let go, what an error means. A plan that was computed against another state
// of the cluster is refused as a whole with ErrStalePlan.
package apply
