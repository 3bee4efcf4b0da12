package source

import (
	"context"
	"errors"
	"time"
)

// The reasons for which a revision or a tree cannot be had. Every error that
// leaves this package wraps one of them, or a context's error, or it is a
// failure of the network or the disk; [Classify] tells what to do about it.
var (
	// ErrInvalid marks a location, ref, revision or credential that cannot be
	// right, whatever the server says.
	ErrInvalid = errors.New("invalid source")
	// ErrAuth marks credentials that the server refuses or asks for.
	ErrAuth = errors.New("authentication failed")
	// ErrHostKey marks an SSH server that cannot prove who it is.
	ErrHostKey = errors.New("host key not verified")
	// ErrCertificate marks an HTTPS server whose certificate does not check out.
	ErrCertificate = errors.New("certificate not verified")
	// ErrAddress marks an address that a source may not talk to: link-local,
	// metadata services, loopback unless allowed, and schemes outside the list.
	ErrAddress = errors.New("address refused")
	// ErrRepositoryNotFound marks a server that knows no such repository, or a
	// folder that holds none.
	ErrRepositoryNotFound = errors.New("repository not found")
	// ErrRefNotFound marks a branch, tag, range or commit that the repository
	// does not have (any more). It is never a reason to delete anything.
	ErrRefNotFound = errors.New("ref not found")
	// ErrMoved marks a revision that the server no longer offers because its
	// branch moved on between Resolve and Fetch. Resolve again.
	ErrMoved = errors.New("revision moved")
	// ErrContent marks a tree with names or objects that no honest repository
	// holds, or a pack that does not check out.
	ErrContent = errors.New("content refused")
	// ErrTooLarge marks content over one of the [Limits].
	ErrTooLarge = errors.New("over the size limit")
	// ErrSymlink marks the attempt to open a symbolic link. Links are listed,
	// never followed.
	ErrSymlink = errors.New("symbolic links are not followed")
	// ErrSubmodule marks the attempt to open a submodule, whose files are in
	// another repository.
	ErrSubmodule = errors.New("submodules are not fetched")
	// ErrChanged marks a file of a plain folder whose content is no longer the
	// one that the revision was computed from.
	ErrChanged = errors.New("changed while it was read")
	// ErrRateLimited marks a server that asks to come back later.
	ErrRateLimited = errors.New("rate limited")
	// ErrShallow marks a question about history that a shallow clone cannot
	// answer.
	ErrShallow = errors.New("the clone is shallow")
	// ErrNoMergeBase marks two commits without a common ancestor.
	ErrNoMergeBase = errors.New("no merge base")
)

// Class says what must happen before the same call can succeed.
type Class string

// The three classes. They are the words of the Flux source controller, so that
// conditions read alike.
const (
	// Stalled: someone must change the configuration or the repository.
	Stalled Class = "stalled"
	// Wait: the server said when to come back.
	Wait Class = "wait"
	// Retry: the same call may succeed without a change, with back-off.
	Retry Class = "retry"
)

// Verdict is the class of an error and, for Wait, how long the server asked to
// wait (zero when it named no time).
type Verdict struct {
	Class Class
	After time.Duration
}

// RateLimitError is a server's request to come back later. It wraps
// [ErrRateLimited].
type RateLimitError struct {
	// Status is the HTTP status, 429, 503 or 403.
	Status int
	// After is what Retry-After said; zero without one.
	After time.Duration
}

func (e *RateLimitError) Error() string {
	if e.After > 0 {
		return "rate limited: the server asks to wait " + e.After.String()
	}
	return "rate limited"
}

// Unwrap makes errors.Is(err, ErrRateLimited) true.
func (e *RateLimitError) Unwrap() error { return ErrRateLimited }

// Classify maps an error of this package to its class. It is the only place
// that does. An error that it does not know is worth a retry: networks and
// disks fail in more ways than a list can hold.
func Classify(err error) Verdict {
	var limited *RateLimitError
	if errors.As(err, &limited) {
		return Verdict{Class: Wait, After: limited.After}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Verdict{Class: Retry}
	}
	for _, stalled := range []error{
		ErrInvalid, ErrAuth, ErrHostKey, ErrCertificate, ErrAddress, ErrRepositoryNotFound, ErrRefNotFound,
		ErrContent, ErrTooLarge, ErrSymlink, ErrSubmodule, ErrShallow, ErrNoMergeBase,
	} {
		if errors.Is(err, stalled) {
			return Verdict{Class: Stalled}
		}
	}
	return Verdict{Class: Retry}
}
