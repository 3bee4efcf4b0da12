// Package story proves the main job end to end: a push to Git reaches three real clusters.
//
// It builds the command, runs it as a child process beside three control planes of package fleet, and
// plays what happens to a fleet in its life: a first push, a changed override, files that go, broken
// files, hand edits, foreign objects, repositories that cannot be reached, a cluster that dies or hangs,
// a controller that is killed. What came of it is read from the clusters with client-go and from the
// audit logs of their API servers, never from what the controller says of itself; of its own output
// only the problem lines on stderr are looked at, since those are for people, and its metrics, to know
// when to look.
//
//	go run ./e2e/cmd/fleet build
//	go test -tags e2e -count=1 -v ./e2e/story/...
//
// The log of the test is the proof: one block of lines for each step. The manifests are those of the
// Online Boutique where a checkout of them lies beside this repository, and a sample of the same shape
// in testdata/boutique elsewhere or with STORY_SAMPLE=1.
package story
