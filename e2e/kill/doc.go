// Package kill ends the controller with SIGKILL at random moments of an apply of 300 objects, and wants
// the same end state every time: what the commit says, with nothing missing and nothing left over.
//
//	go test -tags e2e -count=1 -v ./e2e/kill -args -rounds 50 -seed 1
package kill
