package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

const (
	// mendPause lets what belongs together arrive before a parent is judged.
	mendPause = time.Second
	// mendGap is the time between two attempts, so that nobody is fought about a parent.
	mendGap = 10 * time.Second
)

// mendSoon asks for a look at the parents.
func (m *Member) mendSoon() {
	select {
	case m.mends <- struct{}{}:
	default:
	}
}

// mendParents puts parents of ours right that somebody else removed or changed. Without it the next write of their
// source would do so; a controller that starts before that would not know of objects that Git has
// dropped meanwhile, nor of orphans.
func (m *Member) mendParents(ctx context.Context) {
	for pause := mendPause; ; {
		select {
		case <-m.mends:
		case <-ctx.Done():
			return
		}
		if sleep(ctx, pause) != nil {
			return
		}
		pause = mendPause
		if !m.parents.isSynced() || !m.breaker.reachable() {
			// Once it answers again everything is listed anew.
			continue
		}
		mended, err := m.mendAll(ctx)
		if ctx.Err() != nil {
			return
		}
		m.report("mend ApplySets", err)
		if err != nil {
			m.mendSoon()
		}
		if mended || err != nil {
			pause = mendGap
		}
	}
}

// mendAll looks at the parent of every set of ours that has objects, and tells whether it wrote any.
func (m *Member) mendAll(ctx context.Context) (mended bool, err error) {
	var errs []error
	for id, source := range m.state.ownSets() {
		if id != SetID(m.parentName(source)) || !m.lacking(id, source) {
			continue
		}
		mended = true
		errs = append(errs, m.mend(ctx, id, source))
	}
	return mended, errors.Join(errs...)
}

// lacking tells that the parent of a set is not there, or does not say what it must. One that belongs to
// another hub or tool is left alone.
func (m *Member) lacking(id, source string) bool {
	groupKinds, _ := m.state.survivors(id)
	if len(groupKinds) == 0 {
		return false
	}
	known, exists := m.parents.get(m.parentName(source))
	switch {
	case !exists:
		return true
	case !known.ours(m.opts.HubID):
		return false
	}
	return known.id != id || known.source != m.sourceRef(source) ||
		slices.ContainsFunc(groupKinds, func(gk string) bool { return !slices.Contains(known.groupKinds, gk) })
}

// mend makes the parent of a set list what is there, beside what it lists. What is too much the next
// Execute takes away.
func (m *Member) mend(ctx context.Context, id, source string) error {
	select {
	case m.executing <- struct{}{}:
		defer func() { <-m.executing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	name := m.parentName(source)
	if err := m.readParent(ctx, name); err != nil {
		return fmt.Errorf("read ApplySet %q: %w", name, err)
	}
	if !m.lacking(id, source) {
		return nil
	}
	known, _ := m.parents.get(name)
	set := plan.ApplySet{Source: source, GroupKinds: slices.Clone(known.groupKinds), Namespaces: slices.Clone(known.namespaces)}
	groupKinds, namespaces := m.state.survivors(id)
	for _, gk := range m.state.missingKinds() {
		// Of what cannot be looked at nobody knows whether there is anything.
		groupKinds = append(groupKinds, gk.String())
	}
	set.GroupKinds = append(set.GroupKinds, groupKinds...)
	set.Namespaces = append(set.Namespaces, namespaces...)
	return m.writeParent(ctx, &run{m: m, stop: ctx, requests: ctx}, normalized(set))
}
