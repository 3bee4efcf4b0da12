package apply

import (
	"errors"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// ErrStalePlan tells that the cluster does not hold what the plan was computed against. Nothing was
// written; the caller plans again.
var ErrStalePlan = errors.New("the plan is stale")

// ErrUnreachable tells that the cluster has not answered lately, so that nothing was tried.
var ErrUnreachable = errors.New("the cluster cannot be reached")

// Outcome is what became of one operation.
type Outcome string

// The values of Outcome.
const (
	OutcomeApplied Outcome = "applied"
	// OutcomeUnchanged tells that nothing was sent, or that the API server found nothing to change.
	OutcomeUnchanged Outcome = "unchanged"
	OutcomePruned    Outcome = "pruned"
	OutcomeFailed    Outcome = "failed"
	// OutcomeSkipped tells that nothing was tried; the message says why.
	OutcomeSkipped Outcome = "skipped"
)

// Class says what a failed or skipped operation needs to succeed.
type Class string

// The values of Class.
const (
	// ClassNone is that of operations which succeeded or need nothing.
	ClassNone Class = ""
	// ClassWait needs time or another object: a quota, a namespace that terminates, a kind that is
	// not established, a dependency that is not healthy.
	ClassWait Class = "wait"
	// ClassConflict needs a decision: the object is there and is not ours.
	ClassConflict Class = "conflict"
	// ClassStalled needs another manifest.
	ClassStalled Class = "stalled"
	// ClassDenied needs other rights or another policy of the cluster.
	ClassDenied Class = "denied"
	// ClassRetry needs nothing but another attempt.
	ClassRetry Class = "retry"
)

// Result is what came of carrying out one ClusterPlan.
type Result struct {
	Cluster string
	// Objects in the order of the plan's operations, one for each.
	Objects []ObjectResult
	// Writes counts the requests that changed the cluster or were meant to, those for namespaces,
	// ApplySets and retries included. 0 when nothing was to do.
	Writes int
	// Stopped tells that the context was done before everything was tried.
	Stopped bool
}

// ObjectResult is what became of one operation.
type ObjectResult struct {
	v1alpha1.ObjectReference
	Source  string
	Action  v1alpha1.Action
	Outcome Outcome
	Class   Class
	// Message is for people; it never holds a value of a Secret. Empty on success.
	Message string
	// RetryAfter is the least time before another attempt makes sense. 0: the caller's own choice.
	RetryAfter time.Duration
	// Leaving tells that the operation waits for the end of its namespace, which is being removed.
	Leaving bool
	// Ordered tells that the operation waits for what comes before it. Waiting on for that costs no request.
	Ordered bool
}

// Failed lists the results that failed.
func (r Result) Failed() []ObjectResult { return r.with(OutcomeFailed) }

// Count returns how many operations had the outcome.
func (r Result) Count(o Outcome) int { return len(r.with(o)) }

// Complete tells that every operation that was to change something did.
func (r Result) Complete() bool {
	for _, o := range r.Objects {
		if o.Class != ClassNone {
			return false
		}
	}
	return !r.Stopped
}

func (r Result) with(outcome Outcome) []ObjectResult {
	var out []ObjectResult
	for _, o := range r.Objects {
		if o.Outcome == outcome {
			out = append(out, o)
		}
	}
	return out
}
