package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// tally counts what was played and what was judged, so that a run without findings shows that there was
// something to find.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	lasted time.Duration
}

// What is counted beside the kinds of events.
const (
	countRuns      = "runs"
	countEvents    = "events"
	countPlans     = "plans made"
	countDeletions = "deletions judged"
	countLosses    = "decisions that took a cluster away"
	countFled      = "of them from a lost cluster"
	countVetoed    = "plans under a veto of evictions"
)

func (c *tally) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what] += n
}

// take adds what a run counted, and the kinds of its events.
func (c *tally) take(s scenario, out outcome) {
	c.add(countRuns, 1)
	c.add(countEvents, len(s.events))
	for _, e := range s.events {
		c.add("event "+e.op, 1)
	}
	for what, n := range out.counts {
		c.add(what, n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lasted += out.lasted
}

// String is the summary of all runs.
func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range []string{countRuns, countEvents, countPlans, countDeletions, countLosses, countFled, countVetoed} {
		fmt.Fprintf(&b, "%10d  %s\n", c.counts[what], what)
	}
	fmt.Fprintf(&b, "%10s  of simulated time\n", c.lasted.Round(time.Hour))
	var kinds []string
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		if op, ok := strings.CutPrefix(what, "event "); ok {
			kinds = append(kinds, fmt.Sprintf("%s %d", op, c.counts[what]))
		}
	}
	return b.String() + "events: " + strings.Join(kinds, ", ")
}
