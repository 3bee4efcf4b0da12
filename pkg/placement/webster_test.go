package placement

import (
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// websterSeatBySeat is the definition: one seat after the other, compared as exact fractions.
func websterSeatBySeat(n int64, parties []seat) (got []int64, left int64) {
	got = make([]int64, len(parties))
	for i, p := range parties {
		got[i] = p.least
		n -= p.least
	}
	for ; n > 0; n-- {
		best := -1
		var bestQuotient *big.Rat
		for i, p := range parties {
			if p.weight == 0 || got[i] >= p.most {
				continue
			}
			q := new(big.Rat).SetFrac(big.NewInt(p.weight), new(big.Int).SetUint64(2*uint64(got[i])+1))
			if best < 0 || q.Cmp(bestQuotient) > 0 || q.Cmp(bestQuotient) == 0 && got[i] < got[best] {
				best, bestQuotient = i, q
			}
		}
		if best < 0 {
			return got, n
		}
		got[best]++
	}
	return got, max(n, 0)
}

func seats(parties []seat) []int64 {
	got := make([]int64, len(parties))
	for i, p := range parties {
		got[i] = p.got
	}
	return got
}

func TestWebsterIsTheSeatBySeatMethod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, 1000), rapid.Int64Range(math.MaxInt64-9, math.MaxInt64))
		n := rapid.Int64Range(0, 400).Draw(t, "n")
		parties := make([]seat, rapid.IntRange(1, 8).Draw(t, "parties"))
		bounded := rapid.Bool().Draw(t, "bounded")
		rest := n
		for i := range parties {
			p := &parties[i]
			p.weight, p.most = weight.Draw(t, "weight"), math.MaxInt64
			if bounded {
				p.least = rapid.Int64Range(0, min(rest, 5)).Draw(t, "least")
				p.most = p.least + rapid.Int64Range(0, 60).Draw(t, "more")
				rest -= p.least
			}
		}
		want, wantLeft := websterSeatBySeat(n, parties)
		left := webster(n, parties)
		if diff := cmp.Diff(want, seats(parties)); diff != "" || left != wantLeft {
			t.Fatalf("n %d, left %d want %d, parties %+v (-seat by seat +computed):\n%s", n, left, wantLeft, parties, diff)
		}
	})
}

// TestWebsterOfLargeNumbers checks results that cannot be reached seat by seat by the condition that
// defines them: no party's last seat has a smaller quotient than another's next one.
func TestWebsterOfLargeNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.Int64Range(1, 3), rapid.Int64Range(1, 1<<40), rapid.Int64Range(math.MaxInt64-9, math.MaxInt64))
		n := rapid.OneOf(rapid.Int64Range(1e9, 2e9), rapid.Int64Range(math.MaxInt64-9, math.MaxInt64)).Draw(t, "n")
		parties := make([]seat, rapid.IntRange(1, 6).Draw(t, "parties"))
		for i := range parties {
			parties[i] = seat{weight: weight.Draw(t, "weight"), most: rapid.OneOf(rapid.Just(int64(math.MaxInt64)), rapid.Int64Range(1, 1e9)).Draw(t, "most")}
		}
		left := webster(n, parties)
		sum := left
		for i, p := range parties {
			sum += p.got
			if left > 0 && p.got < p.most {
				t.Fatalf("%d seats left though party %d is not full: %+v", left, i, parties)
			}
			for j, q := range parties {
				if p.got == 0 || q.got >= q.most || i == j {
					continue
				}
				last := new(big.Rat).SetFrac(big.NewInt(p.weight), new(big.Int).SetUint64(2*uint64(p.got)-1))
				next := new(big.Rat).SetFrac(big.NewInt(q.weight), new(big.Int).SetUint64(2*uint64(q.got)+1))
				if last.Cmp(next) < 0 {
					t.Fatalf("party %d took a seat that belongs to party %d: %+v", i, j, parties)
				}
			}
		}
		if sum != n {
			t.Fatalf("shares sum to %d, want %d: %+v", sum, n, parties)
		}
	})
}

// BenchmarkWebster divides 10,000 replicas over 1,000 clusters.
func BenchmarkWebster(b *testing.B) {
	for _, bounded := range []bool{false, true} {
		name := "free"
		if bounded {
			name = "bounded"
		}
		b.Run(name, func(b *testing.B) {
			parties := make([]seat, 1000)
			for i := range parties {
				parties[i] = seat{weight: int64(i%97 + 1), most: math.MaxInt64}
				if bounded {
					parties[i].least, parties[i].most = 1, 15
				}
			}
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				webster(10_000, parties)
			}
			reportEach(b, before, b.N)
		})
	}
}
