package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// resolveClaims gives every object one source. An object that is declared twice stays with the
// source that holds it now; where none does, with the first by name. The others get a blocker.
func (c *computation) resolveClaims() {
	for _, key := range sortedKeys(c.declarations) {
		declared := c.declarations[key]
		slices.SortStableFunc(declared, compareDeclarations)
		winner := c.claimant(declared)
		c.items = append(c.items, winner)
		for _, it := range declared {
			if it != winner && it.denied == "" && (it.source != winner.source || it.ContentDigest != winner.ContentDigest) {
				c.reportClaim(winner, it)
			}
		}
	}
	c.byKey = byKey(c.items)
	for i := range c.clusters {
		for held := range c.member(i).Objects.All() {
			if it := c.byKey[held.Key()]; it != nil {
				it.copies = append(it.copies, copyOn{i, held})
			}
		}
	}
}

// claimant returns which declaration of one object counts.
func (c *computation) claimant(declared []*item) *item {
	if len(declared) == 1 {
		return declared[0]
	}
	holds := map[*Source]int{}
	for i := range c.clusters {
		if h, ok := c.held(i, declared[0].key); ok {
			holds[c.source(h.Source)]++
		}
	}
	return slices.MaxFunc(declared, func(a, b *item) int {
		// MaxFunc keeps the first of equals, which is the lowest by source and place.
		return cmp.Or(
			-compareBool(a.denied != "", b.denied != ""),
			cmp.Compare(holds[a.source], holds[b.source]),
		)
	})
}

func (c *computation) reportClaim(winner, other *item) {
	at := winner.Origin.Source
	if winner.source != other.source {
		at = fmt.Sprintf("source %q (%s)", winner.source.Source, winner.Origin.Source)
	}
	ref := other.ref
	c.findings.add(finding{
		ID:         ClaimedTwice,
		Message:    fmt.Sprintf("%s is also declared by %s, which keeps it; this declaration is not applied", ref, at),
		Source:     other.Origin.Source,
		Object:     &ref,
		Repository: other.source.Source,
	})
}

// mayTakeOver tells whether an object of an item may be written where a member holds it under
// another source: only when it is certain that the other source no longer declares it.
func (c *computation) mayTakeOver(it *item, h Held) (ok bool, why string) {
	if h.Source == "" || sameSource(it.source.Source, h.Source) {
		return true, ""
	}
	if slices.ContainsFunc(c.snap.GoneSources, func(s string) bool { return sameSource(s, h.Source) }) {
		return true, ""
	}
	other := c.source(h.Source)
	switch {
	case other == nil:
		return false, fmt.Sprintf("source %q holds it and has no tree to tell whether it gave it up", h.Source)
	case other.Stale:
		return false, fmt.Sprintf("source %q holds it and could not be fetched to tell whether it gave it up", h.Source)
	case !other.Complete():
		return false, fmt.Sprintf("source %q holds it and part of it did not load (%s)", h.Source, strings.Join(firstFew(other.FailedUnits, 3), ", "))
	}
	return true, ""
}

// firstFew returns up to n strings, in order.
func firstFew(all []string, n int) []string {
	sorted := slices.Sorted(slices.Values(all))
	if len(sorted) > n {
		return append(sorted[:n:n], fmt.Sprintf("and %d more", len(sorted)-n))
	}
	return sorted
}
