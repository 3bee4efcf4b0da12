package engine

import (
	"context"
	"time"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Survey observes the clusters of a configuration once, as a running engine with this state would, and
// returns the snapshot. It follows no repository, plans nothing and writes nothing: of the options only
// Configuration, Connect, SecretKey, Log and Registry are used. It returns when every cluster has told
// everything or has failed to answer, at the latest when ctx ends; a cluster that was late is not Known.
func Survey(ctx context.Context, o Options, state State) plan.Snapshot {
	sources := o.Sources
	o.Sources = nil
	e := New(o) //nolint:contextcheck // New starts nothing
	e.state = state
	e.begin() //nolint:contextcheck // nothing is started before there is a crew, which has its context
	e.restoreHealth()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		stop()
		e.crew.wait()
	}()
	e.crew = &crew{ctx: watching}
	for _, s := range e.sites {
		e.crew.start(s) //nolint:contextcheck // the crew has its context
	}
	e.awaitSites(ctx)
	// What was not answered within the time is looked at as it is.
	snap := e.snapshot(context.WithoutCancel(ctx), e.options.Now())
	snap.AppliedRevisions = map[string]string{}
	snap.Sources = Declared(state.Sources, sources)
	snap.FleetDigest = snap.Digest()
	return snap
}

// awaitSites returns when nothing more is to be expected of any site, or when ctx ends.
func (e *Engine) awaitSites(ctx context.Context) {
	// A cluster whose nodes may not be listed never tells its capacity; this is how long it has for it
	// once everything else is known.
	const grace = 3 * time.Second
	tick := time.NewTicker(startInterval)
	defer tick.Stop()
	known := map[string]time.Time{}
	for {
		missing := 0
		now := time.Now()
		for _, s := range e.sites {
			if s.toldAll(ctx) {
				continue
			}
			if s.toldInventory() {
				if known[s.name].IsZero() {
					known[s.name] = now
				}
				if now.Sub(known[s.name]) >= grace {
					continue
				}
			}
			missing++
		}
		if missing == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-tick.C:
		}
	}
}

// toldAll tells that the cluster has told everything, or does not answer.
func (s *site) toldAll(ctx context.Context) bool {
	st := s.state.get()
	if !st.probed || st.member == nil || !st.health.Answering() {
		return st.probed
	}
	facts, err := st.member.Facts(ctx)
	classes := st.member.Classes()
	return err == nil && s.toldInventory() && facts.ResourceSummary != nil &&
		classes.StorageClasses != nil && classes.IngressClasses != nil && classes.PriorityClasses != nil
}

// toldEnough tells that a first decision can be made with what the cluster has told, or that more is not to
// be expected: a division by capacity would leave out whoever has not told its own yet.
func (s *site) toldEnough(ctx context.Context) bool {
	st := s.state.get()
	if !st.probed || st.member == nil || !st.health.Answering() {
		return st.probed
	}
	if st.facts != nil || len(st.member.Problems()) > 0 {
		return true
	}
	facts, err := st.member.Facts(ctx)
	return err == nil && s.toldInventory() && facts.ResourceSummary != nil
}

// toldInventory tells that what the cluster holds of ours is known.
func (s *site) toldInventory() bool {
	member := s.state.get().member
	return member != nil && member.Inventory().Known
}

// ReadState reads what a standalone controller keeps in a folder, and touches nothing there. A folder that
// is not there is an empty state.
func ReadState(ctx context.Context, dir string) (State, error) {
	return (&FolderStore{dir: dir}).Load(ctx)
}
