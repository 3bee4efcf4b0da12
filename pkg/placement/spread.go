package placement

import (
	"cmp"
	"math/bits"
	"slices"
)

// exactGroups is up to how many groups every choice of them is tried.
const exactGroups = 12

// search finds the clusters to choose, as places in the order of preference.
func (s *spread) search() ([]int, bool) {
	switch {
	case len(s.fields) == 0:
		return s.withGroups(nil)
	case len(s.fields) == 1 && s.disjoint():
		return s.searchDisjoint()
	case len(s.groups) <= exactGroups:
		return s.searchMasks()
	}
	return s.searchGreedily()
}

// disjoint tells that every cluster is in one group.
func (s *spread) disjoint() bool {
	for i := range s.of {
		if len(s.of[i]) != 1 {
			return false
		}
	}
	return true
}

// searchDisjoint chooses groups of one field: the fewest that hold the replicas, among those the
// most worth, then the lower names.
func (s *spread) searchDisjoint() ([]int, bool) {
	f := &s.fields[0]
	ranked := make([]int, len(s.groups))
	for i := range ranked {
		ranked[i] = i
	}
	slices.SortStableFunc(ranked, func(x, y int) int { return s.groups[y].worth.compare(s.groups[x].worth) })
	for k := f.fewest; k <= min(f.most, len(ranked), s.most); k++ {
		// The k groups of most worth are the best choice of k, if they hold the replicas.
		if picked, ok := s.withGroups(ranked[:k]); ok {
			return picked, true
		}
		if len(ranked) == k {
			break
		}
		if len(ranked) <= exactGroups {
			if picked, ok := s.everyChoice(k); ok {
				return picked, true
			}
		} else if picked, ok := s.climb(ranked, k); ok {
			return picked, true
		}
	}
	return nil, false
}

// everyChoice tries all choices of k groups, those of most worth first.
func (s *spread) everyChoice(k int) ([]int, bool) {
	var choices []choice
	for mask := uint32(0); mask < 1<<len(s.groups); mask++ {
		if bits.OnesCount32(mask) == k {
			choices = append(choices, s.choice(mask))
		}
	}
	slices.SortFunc(choices, choice.compare)
	for _, c := range choices {
		if picked, ok := s.withGroups(c.groups()); ok {
			return picked, true
		}
	}
	return nil, false
}

// choice is a set of groups as a mask with what they are worth together.
type choice struct {
	mask  uint32
	worth worth
}

func (s *spread) choice(mask uint32) choice {
	c := choice{mask: mask}
	for _, g := range c.groups() {
		c.worth = c.worth.plus(s.groups[g].worth)
	}
	return c
}

func (c choice) groups() []int {
	var list []int
	for m := c.mask; m != 0; m &= m - 1 {
		list = append(list, bits.TrailingZeros32(m))
	}
	return list
}

// compare puts fewer groups first, then more worth, then lower names. Groups are numbered by name,
// so the lower names are the lower numbers.
func (c choice) compare(o choice) int {
	return cmp.Or(
		cmp.Compare(bits.OnesCount32(c.mask), bits.OnesCount32(o.mask)),
		o.worth.compare(c.worth),
		slices.Compare(c.groups(), o.groups()),
	)
}

// climb looks for k of many groups that hold the replicas: from those of most worth it exchanges one
// group after the other for the one that adds most room.
func (s *spread) climb(ranked []int, k int) ([]int, bool) {
	s.bounded = true
	inside, outside := slices.Clone(ranked[:k]), slices.Clone(ranked[k:])
	room := func(groups []int) int64 { return s.roomOf(s.roomiest(groups)) }
	have := room(inside)
	for have < s.needed {
		bestIn, bestOut, best := -1, -1, have
		for i := range inside {
			for j := range outside {
				inside[i], outside[j] = outside[j], inside[i]
				if r := room(inside); r > best {
					bestIn, bestOut, best = i, j, r
				}
				inside[i], outside[j] = outside[j], inside[i]
			}
		}
		if bestIn < 0 {
			return nil, false
		}
		inside[bestIn], outside[bestOut] = outside[bestOut], inside[bestIn]
		have = best
	}
	return s.withGroups(inside)
}

// roomiest returns the clusters with most room that may be chosen of disjoint groups: the best of
// each, then the best of the rest.
func (s *spread) roomiest(groups []int) []int {
	var picked, rest []int
	byRoom := func(x, y int) int { return cmp.Or(cmp.Compare(s.room[y], s.room[x]), cmp.Compare(x, y)) }
	for _, g := range groups {
		members := slices.Clone(s.groups[g].members)
		slices.SortFunc(members, byRoom)
		picked = append(picked, members[0])
		rest = append(rest, members[1:]...)
	}
	slices.SortFunc(rest, byRoom)
	return append(picked, rest[:max(0, min(len(rest), s.most-len(picked)))]...)
}

// withGroups chooses clusters of exactly these groups (all clusters where there are no fields): the
// best of each group first, then in order up to the most. Where they hold too little, those from the
// end of the order give way to roomier ones.
func (s *spread) withGroups(groups []int) ([]int, bool) {
	members := s.membersOf(groups)
	picked, ok := s.heads(groups, members)
	if !ok {
		return nil, false
	}
	if picked = s.fill(picked, members); len(picked) < s.fewest {
		return nil, false
	}
	s.makeRoom(picked, members)
	return picked, s.offer(picked)
}

// membersOf returns the clusters that are in no other group than these.
func (s *spread) membersOf(groups []int) []int {
	in := make([]bool, len(s.groups))
	for _, g := range groups {
		in[g] = true
	}
	members := make([]int, 0, len(s.of))
next:
	for i := range s.of {
		for _, g := range s.of[i] {
			if !in[g] {
				continue next
			}
		}
		members = append(members, i)
	}
	return members
}

// heads returns the best cluster of each group that no earlier one covers; ok is false where that
// takes more clusters than are allowed, or some group has none.
func (s *spread) heads(groups, members []int) (picked []int, ok bool) {
	covered := make([]bool, len(s.groups))
	for _, g := range groups {
		if covered[g] {
			continue
		}
		at := slices.IndexFunc(members, func(i int) bool { return slices.Contains(s.of[i], g) })
		if at < 0 {
			return nil, false
		}
		picked = append(picked, members[at])
		for _, o := range s.of[members[at]] {
			covered[o] = true
		}
	}
	return picked, len(picked) <= s.most
}

// fill adds members in order up to the most, and sorts.
func (s *spread) fill(picked, members []int) []int {
	has := make([]bool, len(s.of))
	for _, i := range picked {
		has[i] = true
	}
	for _, i := range members {
		if len(picked) >= s.most {
			break
		}
		if !has[i] {
			picked = append(picked, i)
		}
	}
	slices.Sort(picked)
	return picked
}

// makeRoom exchanges clusters, from the last on, for the unselected member with most room as long as
// that helps and is needed, and no group loses its only cluster.
func (s *spread) makeRoom(picked, members []int) {
	have := s.roomOf(picked)
	covers := make([]int, len(s.groups))
	has := make([]bool, len(s.of))
	for _, i := range picked {
		has[i] = true
		for _, g := range s.of[i] {
			covers[g]++
		}
	}
	for changed := true; changed && have < s.needed; {
		changed = false
		for j := len(picked) - 1; j >= 0 && have < s.needed; j-- {
			out := picked[j]
			in := -1
			for _, i := range members {
				if !has[i] && s.room[i] > s.room[out] && (in < 0 || s.room[i] > s.room[in]) && s.replaces(i, out, covers) {
					in = i
				}
			}
			if in < 0 {
				continue
			}
			for _, g := range s.of[out] {
				covers[g]--
			}
			for _, g := range s.of[in] {
				covers[g]++
			}
			has[in], has[out], picked[j], changed = true, false, in, true
			have = s.roomOf(picked)
		}
		slices.Sort(picked)
	}
}

// replaces tells whether every group keeps a cluster when in takes the place of out.
func (s *spread) replaces(in, out int, covers []int) bool {
	for _, g := range s.of[out] {
		if covers[g] == 1 && !slices.Contains(s.of[in], g) {
			return false
		}
	}
	return true
}
