// Package push runs the controller as a process beside a repository, for tests on real API servers that
// push to the one and kill the other.
//
// The controller is the built command with a configuration file, as users run it, and acts on one cluster
// as a user of its own, so that the audit log tells its requests from all others.
package push
