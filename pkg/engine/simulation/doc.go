// Package simulation tries to break the engine: it plays random commits, faults of clusters, networks and
// controllers, jumps of the clock and edits by hand on simulated clusters, lets everything come to rest, and
// then looks whether the fleet is what the last good commit asks for and whether a promise was broken on the
// way.
//
// A run follows from its seed alone. A run that fails is shrunk to the events that it takes, and printed in
// the form of a scenario; kept in testdata/scenarios it is played by every test from then on.
//
// The promises, each checked at the moment at which it could be broken:
//
//   - at rest, each cluster holds exactly what a plan of the last commit from nothing would put there;
//   - nothing is deleted without proof: the object is absent from a commit that was read whole, or a
//     decision that succeeded names other clusters;
//   - who had a healthy copy of a workload has one at every moment of a move;
//   - no workload leaves a lost cluster while the veto holds;
//   - pinned workloads stay where they are;
//   - the same seed ends in the same state.
package simulation
