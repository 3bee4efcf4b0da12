package simfleet

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// tasks runs what the simulated controllers do, later and one at a time. Each
// task has a key; scheduling it again moves it. At rest there is no goroutine.
type tasks struct {
	clock clock.WithDelayedExecution

	// run makes the tasks of a cluster take turns.
	run sync.Mutex

	mu      sync.Mutex
	last    uint64
	pending map[string]pendingTask
	paused  bool
	held    []func()
	closed  bool
}

// pendingTask is a timer with a number that tells it from its predecessors.
type pendingTask struct {
	number uint64
	timer  clock.Timer
}

func newTasks(c clock.WithDelayedExecution) *tasks {
	return &tasks{clock: c, pending: map[string]pendingTask{}}
}

// schedule runs f after d. A pending task of the same key is replaced.
func (t *tasks) schedule(key string, d time.Duration, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if old, ok := t.pending[key]; ok {
		old.timer.Stop()
	}
	t.last++
	number := t.last
	// Never at once, and in a goroutine of its own: a fake clock may run the
	// function before AfterFunc returns, or while it holds its lock.
	timer := t.clock.AfterFunc(max(d, time.Nanosecond), func() { go t.fire(key, number, f) })
	t.pending[key] = pendingTask{number, timer}
}

// cancel drops a pending task.
func (t *tasks) cancel(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.pending[key]; ok {
		old.timer.Stop()
		delete(t.pending, key)
	}
}

func (t *tasks) fire(key string, number uint64, f func()) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	if t.pending[key].number == number {
		delete(t.pending, key)
	}
	if t.paused {
		t.held = append(t.held, f)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	t.run.Lock()
	defer t.run.Unlock()
	f()
}

func (t *tasks) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = true
}

func (t *tasks) resume() {
	t.mu.Lock()
	held := t.held
	t.paused, t.held = false, nil
	t.mu.Unlock()
	t.run.Lock()
	defer t.run.Unlock()
	for _, f := range held {
		f()
	}
}

func (t *tasks) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, task := range t.pending {
		task.timer.Stop()
	}
	t.pending, t.held = map[string]pendingTask{}, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
