package render

import "sync"

// memo remembers results by content. It holds two generations: when the young one is full, the old
// one goes, so that what is asked for again and again stays and memory is bounded.
type memo struct {
	mu         sync.Mutex
	limit      int64
	weight     int64
	young, old map[string]*result
}

// result is what rendering gave; err is an *OverrideError or nil.
type result struct {
	rendered Rendered
	err      *OverrideError
	weight   int64
}

// resultOverhead is what a result weighs beside its object: the key, notes and origins.
const resultOverhead = 512

func newMemo(limit int64) *memo {
	return &memo{limit: limit, young: map[string]*result{}}
}

// get takes the key as bytes, since a map is looked up by them without a copy.
func (m *memo) get(key []byte) *result {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.young[string(key)]; r != nil {
		return r
	}
	r := m.old[string(key)]
	if r != nil {
		m.store(string(key), r)
	}
	return r
}

func (m *memo) put(key []byte, r *result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(string(key), r)
}

func (m *memo) store(key string, r *result) {
	if m.weight += r.weight; m.weight > m.limit {
		m.old, m.young, m.weight = m.young, map[string]*result{}, r.weight
	}
	m.young[key] = r
}
