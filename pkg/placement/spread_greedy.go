package placement

import "slices"

// searchGreedily is for more groups than can be tried one by one, by several fields or with clusters
// in several groups. It adds clusters in order that bring groups which are missing, then those that
// bring none, then, while there is too little room, those that bring further ones.
func (s *spread) searchGreedily() ([]int, bool) {
	s.bounded = true
	g := &greedy{spread: s, has: make([]bool, len(s.of)), seen: make([]bool, len(s.groups)), counts: make([]int, len(s.fields))}
	for g.missing() {
		best, gain := -1, 0
		for i := range s.of {
			if n := g.gain(i); n > gain && g.allowed(i) {
				best, gain = i, n
			}
		}
		if best < 0 {
			return nil, false
		}
		g.add(best)
	}
	var inside []int
	for i := range s.of {
		if g.has[i] || g.brings(i) == 0 {
			inside = append(inside, i)
		}
	}
	picked := s.fill(slices.Clone(g.picked), inside)
	s.makeRoom(picked, inside)
	for s.roomOf(picked) < s.needed {
		best := -1
		for i := range s.of {
			if !g.has[i] && g.brings(i) > 0 && g.allowed(i) && (best < 0 || s.room[i] > s.room[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		g.add(best)
		inside = inside[:0]
		for i := range s.of {
			if g.has[i] || g.brings(i) == 0 {
				inside = append(inside, i)
			}
		}
		picked = s.fill(slices.Clone(g.picked), inside)
		s.makeRoom(picked, inside)
	}
	if !s.admissible(picked) {
		return nil, false
	}
	return picked, s.offer(picked)
}

// greedy is a choice in the making.
type greedy struct {
	*spread
	picked []int
	has    []bool
	seen   []bool
	counts []int
}

func (g *greedy) add(i int) {
	g.picked, g.has[i] = append(g.picked, i), true
	for _, o := range g.of[i] {
		if !g.seen[o] {
			g.seen[o] = true
			g.counts[g.groups[o].field]++
		}
	}
}

// missing tells that some field has too few groups.
func (g *greedy) missing() bool {
	for i := range g.fields {
		if g.counts[i] < g.fields[i].fewest {
			return true
		}
	}
	return false
}

// brings counts the groups that a cluster would add, gain those of fields that miss some.
func (g *greedy) brings(i int) int { return g.count(i, func(int) bool { return true }) }

func (g *greedy) gain(i int) int {
	return g.count(i, func(f int) bool { return g.counts[f] < g.fields[f].fewest })
}

func (g *greedy) count(i int, of func(field int) bool) int {
	n := 0
	for _, o := range g.of[i] {
		if !g.seen[o] && of(g.groups[o].field) {
			n++
		}
	}
	return n
}

// allowed tells that adding a cluster breaks no upper bound.
func (g *greedy) allowed(i int) bool {
	if g.has[i] || len(g.picked) >= g.most {
		return false
	}
	counts := slices.Clone(g.counts)
	for _, o := range g.of[i] {
		if !g.seen[o] {
			counts[g.groups[o].field]++
		}
	}
	for f := range counts {
		if counts[f] > g.fields[f].most {
			return false
		}
	}
	return true
}
