package placement

import (
	"container/heap"
	"math"
	"math/bits"
	"slices"
)

// seat is one party of a division: how much it weighs and what bounds it.
type seat struct {
	weight int64
	// least is what it has from the start, most what it can have.
	least, most int64
	// got is the result.
	got int64
}

// webster divides n seats by Webster's method (Sainte-Laguë): each goes to the largest
// weight / (2·seats + 1) among the parties that are not full, compared exactly; ties go to fewer
// seats, then to the earlier party, so that the caller orders parties by name. Every party starts
// with its least, which is part of n. Parties of weight 0 get no more than that. It returns how many
// seats found no party.
//
// It takes O(parties · log parties) whatever n is: a start that no party's true result is below is
// computed by rounding, and only the seats beyond it, about as many as there are parties, are given
// one by one.
func webster(n int64, parties []seat) int64 {
	queue := quotients{parties: parties}
	for i := range parties {
		p := &parties[i]
		p.got = p.least
		n = subAmounts(n, p.least)
		if p.open() {
			queue.order = append(queue.order, int32(i))
		}
	}
	// One round leaves about as many seats as there are parties. More rounds are only for numbers
	// that a float64 does not hold exactly.
	for range 4 {
		if n <= 4*int64(len(parties)) {
			break
		}
		n -= roundDown(n, parties)
	}
	queue.order = slices.DeleteFunc(queue.order, func(i int32) bool { return !parties[i].open() })
	heap.Init(&queue)
	for ; n > 0 && len(queue.order) > 0; n-- {
		p := &parties[queue.order[0]]
		p.got++
		if p.open() {
			heap.Fix(&queue, 0)
		} else {
			heap.Pop(&queue)
		}
	}
	return n
}

// open tells that the party can get another seat.
func (p *seat) open() bool { return p.weight > 0 && p.got < p.most }

// roundDown gives every party the seats whose quotient is above one threshold, chosen so that there
// are at most n of them: then no tie is decided here, and each is a seat that the exact method gives
// too. It returns how many it gave.
func roundDown(n int64, parties []seat) int64 {
	// The estimate is made in floating point and may be too high; the counts are exact.
	low, high := 0.0, scale(n, parties)*(1-1e-15)
	given, ok := above(high, n, parties)
	if ok {
		low = high
	}
	for range 200 {
		if ok && n-given <= 2*int64(len(parties)) || low == high {
			break
		}
		mid := low + (high-low)/2
		if mid == low || mid == high {
			break
		}
		var g int64
		if g, ok = above(mid, n, parties); ok {
			low, given = mid, g
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0
	}
	for i := range parties {
		parties[i].got = parties[i].above(low)
	}
	return given
}

// scale estimates the factor from weights to seats at which rounding gives at most n more seats, and
// not many fewer.
func scale(n int64, parties []seat) float64 {
	total, lightest, most, active, bounded := 0.0, math.Inf(1), 0.0, 0.0, false
	for i := range parties {
		if p := &parties[i]; p.open() {
			active++
			total += float64(p.weight)
			lightest = min(lightest, float64(p.weight))
			most = max(most, float64(p.got))
			bounded = bounded || p.got > 0 || p.most < n
		}
	}
	if active == 0 {
		return 0
	}
	if !bounded {
		return (float64(n) - active/2) / total
	}
	target := float64(n) - active
	seats := func(x float64) float64 {
		sum := 0.0
		for i := range parties {
			if p := &parties[i]; p.open() {
				got := float64(p.got)
				sum += min(max(float64(p.weight)*x-0.5, got), float64(p.most)) - got
			}
		}
		return sum
	}
	// Without bounds the first guess would be it; from there the limits are soon found.
	limit := (float64(n) + most + 1) / lightest
	low, high := 0.0, min(float64(n)/total, limit)
	for range 200 {
		if high >= limit || seats(high) > target {
			break
		}
		low, high = high, min(2*high, limit)
	}
	for range 200 {
		mid := (low + high) / 2
		sum := seats(mid)
		if sum > target {
			high = mid
			continue
		}
		low = mid
		if target-sum <= active {
			break
		}
	}
	return low
}

// above counts exactly how many more seats have a quotient above 1/(2x); ok tells that there are at
// most n.
func above(x float64, n int64, parties []seat) (given int64, ok bool) {
	for i := range parties {
		more := parties[i].above(x) - parties[i].got
		if more > n-given {
			return 0, false
		}
		given += more
	}
	return given, true
}

// above returns how many seats of the party have weight/(2s+1) > 1/(2x), at least those it has and
// at most its most: the whole numbers s ≥ 0 with s + 1/2 < weight·x, computed exactly for the binary
// value of x.
func (p *seat) above(x float64) int64 {
	if !p.open() || x <= 0 {
		return p.got
	}
	fraction, exponent := math.Frexp(x) // x = fraction · 2^exponent with 1/2 ≤ fraction < 1
	hi, lo := bits.Mul64(uint64(p.weight), uint64(math.Ldexp(fraction, 53)))
	seats := wide{hi, lo} // weight·x = seats / 2^shift
	switch shift := 53 - exponent; {
	case shift > 120:
		seats = wide{}
	case shift > 0: // ceil(v/2^shift − 1/2) = (v + 2^(shift−1) − 1) >> shift
		seats = seats.plus(wide{0, 1}.shiftLeft(uint(shift - 1))).minus(wide{0, 1}).shiftRight(uint(shift))
	case shift > -12: // w·mantissa is below 2^116 and fits
		seats = seats.shiftLeft(uint(-shift))
	default: // x is 2^64 or more, beyond any number of seats
		return p.most
	}
	return min(max(seats.clamped(), p.got), p.most)
}

func (w wide) shiftRight(by uint) wide {
	if by >= 64 {
		return wide{0, w.hi >> (by - 64)}
	}
	return wide{w.hi >> by, w.lo>>by | w.hi<<(64-by)}
}

func (w wide) shiftLeft(by uint) wide {
	if by >= 64 {
		return wide{w.lo << (by - 64), 0}
	}
	return wide{w.hi<<by | w.lo>>(64-by), w.lo << by}
}

// quotients is a heap of parties by their next quotient, the largest first.
type quotients struct {
	parties []seat
	order   []int32
}

func (q *quotients) Len() int { return len(q.order) }

func (q *quotients) Less(i, j int) bool {
	a, b := &q.parties[q.order[i]], &q.parties[q.order[j]]
	// a.weight/(2a.got+1) > b.weight/(2b.got+1), multiplied out.
	ahi, alo := bits.Mul64(uint64(a.weight), 2*uint64(b.got)+1)
	bhi, blo := bits.Mul64(uint64(b.weight), 2*uint64(a.got)+1)
	switch {
	case ahi != bhi:
		return ahi > bhi
	case alo != blo:
		return alo > blo
	case a.got != b.got:
		return a.got < b.got
	}
	return q.order[i] < q.order[j]
}

func (q *quotients) Swap(i, j int) { q.order[i], q.order[j] = q.order[j], q.order[i] }

func (q *quotients) Push(x any) { q.order = append(q.order, x.(int32)) }

func (q *quotients) Pop() any {
	last := q.order[len(q.order)-1]
	q.order = slices.Delete(q.order, len(q.order)-1, len(q.order))
	return last
}
