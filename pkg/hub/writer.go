package hub

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The budget of writes on the hub: within any second at most the sum. What the lease takes comes on top,
// less than one a second; 50 are allowed, which leaves room for requests that arrive closer together than
// they were sent.
const (
	writesPerSecond = 40
	writeBurst      = 5
)

// writer writes statuses, of each object at most one in a while and only what differs, within the budget
// of writes that everything on the hub shares.
type writer struct {
	client  *client
	log     *slog.Logger
	limiter *rate.Limiter
	// every is the least time between two writes of one status, unless writeNow is asked.
	every time.Duration

	mu      sync.Mutex
	entries map[reference]*entry
	wake    chan struct{}
}

// entry is one status.
type entry struct {
	// want is what the status is to be, have what the hub has; both in JSON.
	want, have []byte
	// at is when it was written last, or when it may be tried again minus every.
	at time.Time
	// writing has room for one request, so that an older status never follows a newer one.
	writing chan struct{}
}

func newWriter(c *client, log *slog.Logger, every time.Duration) *writer {
	return &writer{
		client: c, log: log, limiter: rate.NewLimiter(writesPerSecond, writeBurst), every: every,
		entries: map[reference]*entry{}, wake: make(chan struct{}, 1),
	}
}

// known says what the hub has, as it was read.
func (w *writer) known(ref reference, status any) error {
	data, err := json.Marshal(status)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entry(ref).have = data
	return nil
}

// entry returns the entry of an object; the lock is held.
func (w *writer) entry(ref reference) *entry {
	e := w.entries[ref]
	if e == nil {
		e = &entry{writing: make(chan struct{}, 1)}
		w.entries[ref] = e
	}
	return e
}

// want says what a status is to be. It is written when its turn comes.
func (w *writer) want(ref reference, status any) error {
	data, err := json.Marshal(status)
	if err != nil {
		return err
	}
	w.mu.Lock()
	e := w.entry(ref)
	differs := !bytes.Equal(e.have, data)
	e.want = data
	w.mu.Unlock()
	if differs {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// forget drops what is known of an object that is gone.
func (w *writer) forget(ref reference) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.entries, ref)
}

// writeNow writes a status without waiting for its turn, where it differs.
func (w *writer) writeNow(ctx context.Context, ref reference) error {
	w.mu.Lock()
	e := w.entry(ref)
	w.mu.Unlock()
	e.writing <- struct{}{}
	defer func() { <-e.writing }()
	w.mu.Lock()
	want := e.want
	same := bytes.Equal(want, e.have)
	w.mu.Unlock()
	if same || want == nil {
		return nil
	}
	if err := w.limiter.Wait(ctx); err != nil {
		return err
	}
	_, err := w.client.apply(ctx, ref, "status", "status", json.RawMessage(want))
	w.mu.Lock()
	defer w.mu.Unlock()
	e.at = time.Now()
	if err == nil {
		e.have = want
	}
	return err
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		if next := w.flush(ctx); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// flush writes what is due, the longest waiting first, and returns when the next is; zero: never.
func (w *writer) flush(ctx context.Context) (next time.Time) {
	type due struct {
		ref reference
		at  time.Time
	}
	var list []due
	now := time.Now()
	w.mu.Lock()
	for ref, e := range w.entries {
		if e.want == nil || bytes.Equal(e.want, e.have) {
			continue
		}
		at := e.at.Add(w.every)
		if !e.at.IsZero() && at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		list = append(list, due{ref, e.at})
	}
	w.mu.Unlock()
	slices.SortFunc(list, func(a, b due) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ref.resource, b.ref.resource), cmp.Compare(a.ref.String(), b.ref.String()))
	})
	for _, d := range list {
		err := w.writeNow(ctx, d.ref)
		switch {
		case ctx.Err() != nil:
			return time.Time{}
		case apierrors.IsNotFound(err):
			w.forget(d.ref)
		case err != nil:
			w.log.WarnContext(ctx, "a status was not written and will be tried again", "kind", d.ref.kind, "object", d.ref.String(), "error", err)
			if at := time.Now().Add(w.every); next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	return next
}
