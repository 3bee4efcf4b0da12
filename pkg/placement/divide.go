package placement

import (
	"cmp"
	"fmt"
	"slices"
)

// divide gives the chosen clusters their shares.
func (a *attempt) divide() *failure {
	q := a.query
	if q.Replicas == nil {
		return nil
	}
	if q.division == duplicated || *q.Replicas == 0 {
		for _, c := range a.chosen {
			c.share = *q.Replicas
		}
		a.explain("all %d replicas on each chosen cluster, of which there are %d", *q.Replicas, len(a.chosen))
		return nil
	}
	a.spare()
	var placed int64
	switch {
	case q.Indivisible:
		placed = a.divideWhole()
	case q.division == static:
		placed = a.divideStatic()
	default:
		placed = a.divideByCapacity()
	}
	a.unassigned = *q.Replicas - placed
	if a.unassigned == 0 {
		return nil
	}
	if a.lenient && placed > 0 {
		a.notes = append(a.notes, Note{ID: "unassigned-replicas", Message: fmt.Sprintf("%d of %d replicas found no place", a.unassigned, *q.Replicas)})
		return nil
	}
	return a.short(placed)
}

// short says why not all replicas have a place.
func (a *attempt) short(placed int64) *failure {
	q := a.query
	message := fmt.Sprintf("%d of %d replicas fit on the %s that can be chosen", placed, *q.Replicas, plural(len(a.chosen), "cluster"))
	if q.Indivisible {
		message = fmt.Sprintf("none of the %s that can be chosen has room for all %d replicas, which cannot be divided", plural(len(a.chosen), "cluster"), *q.Replicas)
	} else if *q.Replicas < q.least {
		message = fmt.Sprintf("%d replicas are fewer than minReplicas %d of one cluster", *q.Replicas, q.least)
	}
	unknown := 0
	for _, c := range a.chosen {
		if !c.known {
			unknown++
		}
	}
	if unknown > 0 && q.division.byCapacity() {
		message += fmt.Sprintf(" (capacity unknown on %d)", unknown)
	}
	return &failure{"headroom", message}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// spare gives up clusters from the end of the order while there are too few replicas for minReplicas
// on each.
func (a *attempt) spare() {
	q := a.query
	if q.least == 0 || q.Indivisible {
		return
	}
	usable := int64(0)
	for _, c := range a.chosen {
		if c.usable {
			usable++
		}
	}
	for i := len(a.chosen) - 1; i >= 0 && mulAmounts(usable, q.least) > *q.Replicas; i-- {
		if c := a.chosen[i]; c.usable {
			c.usable = false
			usable--
			a.explain("%s is given up: %d replicas are too few for minReplicas %d on each", c.Name, *q.Replicas, q.least)
		}
	}
}

// divideWhole gives all replicas to one cluster: the one that has them if it still can, else the one
// that a division of a single seat gives it to.
func (a *attempt) divideWhole() int64 {
	q := a.query
	n := *q.Replicas
	var best *candidate
	for _, c := range a.chosen {
		if q.division.byCapacity() {
			if c.hold < n {
				continue
			}
			c.weight = c.capacity / n
		}
		if best == nil || preferWhole(c, best, q.fresh) {
			best = c
		}
	}
	if best == nil {
		return 0
	}
	best.share = n
	a.explain("the workload is not divided: all %d replicas on %s", n, best.Name)
	return n
}

// preferWhole tells whether an indivisible workload goes to x rather than to y.
func preferWhole(x, y *candidate, fresh bool) bool {
	return cmp.Or(
		cmp.Compare(x.tier, y.tier),
		-compareBool(x.own > 0 && !fresh, y.own > 0 && !fresh),
		cmp.Compare(y.weight, x.weight),
		cmp.Compare(x.index, y.index),
	) < 0
}

// divideStatic divides all replicas by the static weights.
func (a *attempt) divideStatic() int64 {
	q := a.query
	a.explain("all %d replicas by the static weights", *q.Replicas)
	return a.webster(usable(a.chosen), *q.Replicas, func(c *candidate) seat {
		return seat{weight: c.weight, least: q.least, most: q.most}
	})
}

func usable(members []*candidate) []*candidate {
	all := make([]*candidate, 0, len(members))
	for _, c := range members {
		if c.usable {
			all = append(all, c)
		}
	}
	return all
}

// divideByCapacity divides tier by tier: each gets what it has room for of what is left.
func (a *attempt) divideByCapacity() int64 {
	rest := *a.query.Replicas
	members := usable(a.chosen)
	for tier := range a.group.tiers {
		inTier := make([]*candidate, 0, len(members))
		room := int64(0)
		for _, c := range members {
			if c.tier == tier {
				inTier = append(inTier, c)
				room = addAmounts(room, c.hold)
			}
		}
		if len(a.group.tiers) > 1 {
			a.explain("tier %d has room for %s of the %d replicas that are left", tier, amountText(room), rest)
		}
		if n := min(rest, room); n > 0 {
			rest -= a.divideTier(inTier, n)
		}
	}
	return *a.query.Replicas - rest
}

// divideTier divides n replicas, which the clusters hold, over them. Steadily: more than there are
// adds the difference by what is free, fewer divides n by the shares there are, equal keeps. A fresh
// decision divides n by capacity, and so does a steady one where the shares there are break bounds
// that the policy has now, or where the difference does not fit within them.
func (a *attempt) divideTier(members []*candidate, n int64) int64 {
	q := a.query
	assigned, broken := int64(0), false
	for _, c := range members {
		assigned = addAmounts(assigned, c.own)
		broken = broken || c.own > 0 && (c.own < q.least || c.own > q.most)
	}
	switch {
	case q.fresh || assigned == 0 || broken:
		a.explain("%s: %d replicas by capacity", whyAnew(q.fresh, broken), n)
		return a.divideAnew(members, n)
	case n < assigned:
		a.explain("scale down from %d to %d: by the shares there are", assigned, n)
		return a.divideBy(members, n, func(c *candidate) seat {
			return seat{weight: c.own, least: min(q.least, c.own), most: c.own}
		})
	}
	for _, c := range members {
		c.share = c.own
	}
	if n == assigned {
		a.explain("%d replicas are placed already: every share is kept", n)
		return n
	}
	a.explain("scale up from %d to %d: shares are kept, %d more by what is free", assigned, n, n-assigned)
	placed := assigned + a.divideBy(members, n-assigned, func(c *candidate) seat {
		return seat{weight: c.more, least: subAmounts(q.least, c.own), most: min(c.more, q.most-c.own)}
	})
	if placed < n && q.least > 0 {
		for _, c := range members {
			c.share = 0
		}
		a.explain("the difference does not fit within the bounds: %d replicas by capacity", n)
		return a.divideAnew(members, n)
	}
	return placed
}

// divideAnew divides n replicas by capacity.
func (a *attempt) divideAnew(members []*candidate, n int64) int64 {
	return a.divideBy(members, n, func(c *candidate) seat {
		return seat{weight: c.offer, least: a.query.least, most: c.hold}
	})
}

// divideBy adds n replicas to clusters by their seats. Aggregated takes the fewest clusters that
// hold them: those that are used first, then by weight.
func (a *attempt) divideBy(members []*candidate, n int64, seatOf func(*candidate) seat) int64 {
	if a.query.division == aggregated {
		members = prefix(members, n, a.query.fresh, seatOf)
		if a.trace != nil {
			a.explain("the fewest clusters that hold %d, used ones first, then by room: %s", n, namesOf(members))
		}
	}
	return a.webster(members, n, seatOf)
}

// prefix returns the shortest prefix of the clusters, used ones first and then by weight, that holds
// n replicas.
func prefix(members []*candidate, n int64, fresh bool, seatOf func(*candidate) seat) []*candidate {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(x, y *candidate) int {
		return cmp.Or(
			-compareBool(x.own > 0 && !fresh, y.own > 0 && !fresh),
			cmp.Compare(seatOf(y).weight, seatOf(x).weight),
			cmp.Compare(x.index, y.index),
		)
	})
	held := int64(0)
	for i, c := range sorted {
		if held = addAmounts(held, seatOf(c).most); held >= n {
			return sorted[:i+1]
		}
	}
	return sorted
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// webster adds up to n replicas to the shares of clusters, which are in the order of preference, and
// returns how many it added. Ties go to the lower name. Where n is too small for the least of all,
// clusters are left out from the end.
func (a *attempt) webster(members []*candidate, n int64, seatOf func(*candidate) seat) int64 {
	taking := make([]*candidate, 0, len(members))
	least := int64(0)
	for _, c := range members {
		s := seatOf(c)
		if s.weight <= 0 || s.most <= 0 || s.least > s.most || s.least > n-least {
			continue
		}
		least += s.least
		taking = append(taking, c)
	}
	taking = byName(taking)
	parties, total := make([]seat, len(taking)), wide{}
	for i, c := range taking {
		parties[i] = seatOf(c)
		total = total.plus(wide{lo: uint64(parties[i].weight)})
	}
	left := webster(n, parties)
	if a.trace != nil {
		a.trace.divided(n, taking, parties)
	}
	for i, c := range taking {
		c.share += parties[i].got
		c.part, c.total = parties[i].weight, total
	}
	return n - left
}
