package apply

import (
	"context"
	"sync"
	"time"
)

// Constants of the limiter's control loop: additive increase, multiplicative decrease, as TCP does it.
const (
	// cutInterval is the least time between two cuts, so that the answers to one burst count once.
	cutInterval = time.Second
	// slowAnswer is a latency at which the API server has more than it can do.
	slowAnswer = 3 * time.Second
	cutByHalf  = 0.5
	cutSlowly  = 0.8
)

// limiter bounds the writes in flight to one cluster. The bound falls by half on 429 and 503 and a
// little on slow answers, and grows by about one for each full round of good ones, up to its maximum.
type limiter struct {
	mu       sync.Mutex
	max      float64
	limit    float64
	inFlight int
	waiting  []chan struct{}
	lastCut  time.Time
	// resume ends a pause that the API server asked for with Retry-After.
	resume time.Time
	timer  *time.Timer
}

func newLimiter(maximum int) *limiter {
	return &limiter{max: float64(maximum), limit: float64(maximum)}
}

// acquire waits for a turn; whoever got one calls release. There are no turns once ctx is done, also
// where there is room.
func (l *limiter) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if len(l.waiting) == 0 && l.mayStart() {
		l.inFlight++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return l.giveUp(ctx, turn)
	}
}

// giveUp leaves the queue, or hands on a turn that came at the same moment.
func (l *limiter) giveUp(ctx context.Context, turn chan struct{}) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return ctx.Err()
		}
	}
	l.inFlight--
	l.startWaiting()
	return ctx.Err()
}

// handOn ends a turn in which nothing was sent.
func (l *limiter) handOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.startWaiting()
}

// release ends a turn. overloaded tells that the API server refused for lack of capacity, retryAfter
// for how long it asked to be left alone.
func (l *limiter) release(elapsed time.Duration, overloaded bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	now := time.Now()
	switch {
	case overloaded:
		l.cut(now, cutByHalf)
	case elapsed > slowAnswer:
		l.cut(now, cutSlowly)
	default:
		l.limit = min(l.max, l.limit+1/l.limit)
	}
	if resume := now.Add(retryAfter); retryAfter > 0 && resume.After(l.resume) {
		l.resume = resume
		if l.timer != nil {
			l.timer.Stop()
		}
		l.timer = time.AfterFunc(retryAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.startWaiting()
		})
	}
	l.startWaiting()
}

func (l *limiter) cut(now time.Time, factor float64) {
	if now.Sub(l.lastCut) < cutInterval {
		return
	}
	l.lastCut = now
	l.limit = max(1, l.limit*factor)
}

func (l *limiter) mayStart() bool {
	return float64(l.inFlight)+1 <= max(1, l.limit) && !time.Now().Before(l.resume)
}

func (l *limiter) startWaiting() {
	for len(l.waiting) > 0 && l.mayStart() {
		l.inFlight++
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}
