package engine

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Clusters that are connected to, or written to, at the same moment. A thousand at once do not go faster than
// the processors: each gets a thousandth of them, and its requests run into their timeouts.
const (
	roomPerProcessor = 16
	// roomHeld is how long one cluster may keep a place, so that slow ones cost the others little.
	roomHeld = 2 * time.Second
)

// room bounds how many clusters do at once what takes processor time. Who comes first is first.
type room struct {
	mu      sync.Mutex
	free    int
	waiting []chan struct{}
}

func newRoom() *room { return &room{free: roomPerProcessor * runtime.GOMAXPROCS(0)} }

// enter waits for a place. It returns what gives the place back, which may be called again; after
// roomHeld it is given back anyway. The error is that of ctx.
func (r *room) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.free > 0 {
		r.free--
		r.mu.Unlock()
		return r.place(), nil
	}
	turn := make(chan struct{})
	r.waiting = append(r.waiting, turn)
	r.mu.Unlock()
	select {
	case <-turn:
		return r.place(), nil
	case <-ctx.Done():
		r.giveUp(turn)
		return nil, ctx.Err()
	}
}

// place returns what gives a taken place back, once.
func (r *room) place() (leave func()) {
	release := sync.OnceFunc(r.release)
	timer := time.AfterFunc(roomHeld, release)
	return func() {
		timer.Stop()
		release()
	}
}

func (r *room) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.free++
		return
	}
	close(r.waiting[0])
	r.waiting = r.waiting[1:]
}

// giveUp leaves the queue, or hands on a place that came at the same moment.
func (r *room) giveUp(turn chan struct{}) {
	r.mu.Lock()
	for i, w := range r.waiting {
		if w == turn {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			r.mu.Unlock()
			return
		}
	}
	r.mu.Unlock()
	r.release()
}
