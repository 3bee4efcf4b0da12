// Package bench measures how fast objects get onto a real API server, beside the fastest way there is:
// bare apply requests with as many in flight. It prints a table and judges nothing, since a loaded
// machine says little about the code; the ratio within a round says most.
//
//	go test -tags e2e -count 1 -v -run TestBenchApply ./e2e/bench
package bench
