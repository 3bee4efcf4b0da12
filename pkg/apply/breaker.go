package apply

import (
	"fmt"
	"sync"
	"time"
)

// breakerThreshold is how many requests in a row must get no answer before the breaker opens.
const breakerThreshold = 3

// breaker stops requests to a cluster that does not answer, so that its queue costs nothing. While it
// is open one request at a time may try, after a pause that doubles; any answer closes it, whatever
// its status. Answers with an error are no concern of it.
type breaker struct {
	mu       sync.Mutex
	failures int
	openTill time.Time
	pause    time.Duration
	maxPause time.Duration
	// trying tells that a request went out although the breaker is open.
	trying bool
	// changed is called without the lock when reachable did.
	changed func(reachable bool)
}

func newBreaker(maxPause time.Duration, changed func(bool)) *breaker {
	return &breaker{maxPause: maxPause, changed: changed}
}

// allow says whether a request may go out now.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakerThreshold {
		return nil
	}
	now := time.Now()
	if wait := b.openTill.Sub(now); wait > 0 {
		return fmt.Errorf("%w: %d requests in a row got no answer", ErrUnreachable, b.failures)
	}
	// Half open: this one tries, the others wait for it or for the next turn.
	b.openTill = now.Add(b.pause)
	b.trying = true
	return nil
}

// report tells whether a request got an answer.
func (b *breaker) report(answered bool) {
	b.mu.Lock()
	before := b.failures < breakerThreshold
	switch {
	case answered:
		b.failures, b.pause, b.trying = 0, 0, false
	case before || b.trying:
		// Requests that were in flight together fail together, which counts once.
		b.failures++
		b.trying = false
		if b.failures >= breakerThreshold {
			b.pause = min(max(2*b.pause, time.Second), b.maxPause)
			b.openTill = time.Now().Add(b.pause)
		}
	}
	after := b.failures < breakerThreshold
	b.mu.Unlock()
	if before != after {
		b.changed(after)
	}
}

// reachable tells whether the breaker is closed.
func (b *breaker) reachable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures < breakerThreshold
}
