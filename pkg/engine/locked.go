package engine

import "sync"

// locked is a value behind a mutex: read as a copy, changed in place.
type locked[T any] struct {
	mu    sync.Mutex
	value T
}

func (l *locked[T]) get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// update changes the value and returns what change returns.
func (l *locked[T]) update(change func(*T) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return change(&l.value)
}
