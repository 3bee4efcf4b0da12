package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// ErrNotLeading tells that a write was refused or cut off because another replica may be leading.
var ErrNotLeading = errors.New("this replica does not lead")

// fence lets writes through while this replica leads. A process that was stopped for a while finds it shut
// before anything else has told it that its time is over.
type fence struct {
	// leading says now whether the lease is held.
	leading func() bool
	// lost ends when the lease is lost; writes in flight are cut off then.
	lost context.Context
}

// wrap is for rest.Config.Wrap.
func (f *fence) wrap(next http.RoundTripper) http.RoundTripper { return &fenced{fence: f, next: next} }

type fenced struct {
	fence *fence
	next  http.RoundTripper
}

// RoundTrip passes reads on, and writes while the lease is held.
func (t *fenced) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return t.next.RoundTrip(r)
	}
	if !t.fence.leading() {
		return nil, ErrNotLeading
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(t.fence.lost, func() { cancel(ErrNotLeading) }) //nolint:contextcheck // it waits for the lease, the request has a context of its own
	release := func() { stop(); cancel(nil) }
	resp, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &releasing{ReadCloser: resp.Body, release: release}
	return resp, nil
}

// releasing is a body that gives back what the request held.
type releasing struct {
	io.ReadCloser
	release func()
}

// Close closes the body.
func (b *releasing) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
