// Package failover proves on three real clusters that failover moves what it should, in time, and nothing else.
//
// It runs the command as a child process beside three control planes of package fleet and takes one of
// them away in three ways: its API server is killed, it is paused (SIGSTOP), it is cut off by a TCP proxy
// that forwards nothing. Then all three are cut off at once, and at last one is drained by hand. What
// became of the workloads is read from the clusters, through no proxy, and from their audit logs.
//
//	go run ./e2e/cmd/fleet build
//	go test -tags e2e -count=1 -v ./e2e/failover
//
// The log of the test is the proof, with a table of times at its end.
package failover
