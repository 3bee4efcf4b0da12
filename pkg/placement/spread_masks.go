package placement

import (
	"math/bits"
	"slices"
)

// searchMasks tries every set of groups of all fields together, the best first: fewest groups, most
// worth, lower names. Clusters may be in several groups.
func (s *spread) searchMasks() ([]int, bool) {
	masks := make([]uint32, len(s.of))
	for i, groups := range s.of {
		for _, g := range groups {
			masks[i] |= 1 << g
		}
	}
	choices := s.plausible(masks)
	for _, c := range choices {
		if picked, ok := s.withGroups(c.groups()); ok {
			return picked, true
		}
	}
	// The simple choice within the groups failed everywhere. An exact one looks at all covers.
	t, ok := s.newCovers(masks)
	if !ok {
		s.bounded = true
		return nil, false
	}
	for _, c := range choices {
		if picked := t.best(c.mask); picked != nil {
			picked = s.fill(picked, s.membersOf(c.groups()))
			if len(picked) >= s.fewest && s.offer(picked) {
				return picked, true
			}
		}
	}
	return nil, false
}

// plausible returns the sets of groups that keep every field's bounds and whose clusters together
// cover them, are enough and hold the replicas, in the order in which they are preferred.
func (s *spread) plausible(masks []uint32) []choice {
	size := 1 << len(s.groups)
	cover, count, room := make([]uint32, size), make([]int, size), make([]int64, size)
	for i, m := range masks {
		cover[m] |= m
		count[m]++
		room[m] = addAmounts(room[m], s.room[i])
	}
	// Sums over all subsets of each mask, one group at a time.
	for g := range s.groups {
		for m := range size {
			if m&(1<<g) != 0 {
				below := m &^ (1 << g)
				cover[m] |= cover[below]
				count[m] += count[below]
				room[m] = addAmounts(room[m], room[below])
			}
		}
	}
	var choices []choice
	for m := uint32(1); m < uint32(size); m++ {
		if cover[m] == m && count[m] >= s.fewest && (room[m] >= s.needed || s.lenient) && s.keepsBounds(m) {
			choices = append(choices, s.choice(m))
		}
	}
	slices.SortFunc(choices, choice.compare)
	return choices
}

func (s *spread) keepsBounds(mask uint32) bool {
	for i := range s.fields {
		f := &s.fields[i]
		n := bits.OnesCount32(mask >> f.first & (1<<f.present - 1))
		if n < f.fewest || n > f.most {
			return false
		}
	}
	return true
}

// covers knows, for every set of groups and number of clusters, the most room of clusters whose
// groups are together exactly that set. Clusters of equal groups form a type, and of a type the
// roomiest are used first, so the table is filled type by type.
type covers struct {
	types []coverType
	most  int
	// table[t][mask*(most+1)+n] is the most room with the first t types; -1: there is no such choice.
	table [][]int64
}

type coverType struct {
	mask    uint32
	members []int   // roomiest first
	sums    []int64 // room of the first n members
}

// coverWork bounds the work and the memory of covers.
const coverWork = 4_000_000

func (s *spread) newCovers(masks []uint32) (*covers, bool) {
	byMask := map[uint32][]int{}
	for i, m := range masks {
		byMask[m] = append(byMask[m], i)
	}
	t := &covers{most: s.most}
	size, work := (s.most+1)<<len(s.groups), 0
	for m, members := range byMask {
		slices.SortFunc(members, func(x, y int) int {
			if s.room[x] != s.room[y] {
				return compareBool(s.room[y] > s.room[x], s.room[x] > s.room[y])
			}
			return x - y
		})
		members = members[:min(len(members), s.most)]
		sums := []int64{0}
		for _, i := range members {
			sums = append(sums, addAmounts(sums[len(sums)-1], s.room[i]))
		}
		t.types = append(t.types, coverType{m, members, sums})
		work += size * len(sums)
	}
	if work > coverWork {
		return nil, false
	}
	slices.SortFunc(t.types, func(x, y coverType) int { return int(int64(x.mask) - int64(y.mask)) })
	first := make([]int64, size)
	for i := range first {
		first[i] = -1
	}
	first[0] = 0
	t.table = [][]int64{first}
	for i := range t.types {
		t.table = append(t.table, t.add(&t.types[i], t.table[i]))
	}
	return t, true
}

func (t *covers) add(c *coverType, before []int64) []int64 {
	after := slices.Clone(before)
	width := t.most + 1
	for at, room := range before {
		if room < 0 {
			continue
		}
		mask, n := at/width, at%width
		for k := 1; k < len(c.sums) && n+k <= t.most; k++ {
			to := (mask|int(c.mask))*width + n + k
			after[to] = max(after[to], addAmounts(room, c.sums[k]))
		}
	}
	return after
}

// best returns the clusters with most room whose groups are exactly the mask, nil where there are none.
func (t *covers) best(mask uint32) []int {
	width := t.most + 1
	last := t.table[len(t.types)]
	at := -1
	for n := 1; n <= t.most; n++ {
		if i := int(mask)*width + n; last[i] >= 0 && (at < 0 || last[i] > last[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	var picked []int
	for i := len(t.types) - 1; i >= 0; i-- {
		from, k := t.origin(i, at)
		picked = append(picked, t.types[i].members[:k]...)
		at = from
	}
	return picked
}

// origin finds the entry before type i that the entry at came from, and how many of the type it took.
func (t *covers) origin(i, at int) (from, k int) {
	before, room, width := t.table[i], t.table[i+1][at], t.most+1
	if before[at] == room {
		return at, 0
	}
	c := &t.types[i]
	mask, n := at/width, at%width
	for k := 1; k < len(c.sums) && k <= n; k++ {
		for m := range len(before) / width {
			from := m*width + n - k
			if m|int(c.mask) == mask && before[from] >= 0 && addAmounts(before[from], c.sums[k]) == room {
				return from, k
			}
		}
	}
	return at, 0
}
