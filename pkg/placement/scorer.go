package placement

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// scorer ranks clusters. Name is what policies say.
type scorer struct {
	name string
	// compile reads the arguments of one use; its error names the argument.
	compile func(*query, *v1alpha1.Scorer) (scoring, error)
	// alone tells that the score of a cluster depends on nothing but it and the request: not on what
	// other clusters are like, what is free, or where other workloads are. In doubt it is false.
	alone bool
}

// scoring gives each eligible cluster of an attempt a score from 0 to 100, in the order of
// a.eligible.
type scoring func(a *attempt, scores []int64)

// scorers that policies can name.
func scorers() []scorer {
	return []scorer{
		{"Locality", locality, true},                   // where the workload is already
		{"ResourceHeadroom", resourceHeadroom, false},  // much free after one more replica
		{"ResourceBalance", resourceBalance, false},    // used less than the other clusters
		{"TopologySpread", topologySpread, false},      // few of the workload's group nearby
		{"ClusterPreference", clusterPreference, true}, // preferred by weighted affinities
		{"Cost", cost, false},                          // cheap by an annotation of the cluster
		{"External", external, true},                   // scores that someone else publishes
	}
}

// maxScore is the best score.
const maxScore = 100

// weightedScorer is a scorer as one policy uses it.
type weightedScorer struct {
	name   string
	weight int64
	score  scoring
	alone  bool
	// neighbourLabel is the label of workloads whose groups the scorer looks at; "": none.
	neighbourLabel string
}

func (q *query) compileScorers() error {
	list := q.Strategy.Scorers
	if len(list) == 0 {
		list = []v1alpha1.Scorer{{Name: "Locality"}}
	}
	for i := range list {
		use := &list[i]
		at := slices.IndexFunc(scorers(), func(s scorer) bool { return s.name == use.Name })
		if at < 0 {
			return fmt.Errorf("scorers[%d]: unknown scorer %q", i, use.Name)
		}
		w := weightedScorer{name: use.Name, weight: 1, alone: scorers()[at].alone}
		if use.Weight != nil {
			w.weight = *use.Weight
		}
		if w.weight < 0 {
			return fmt.Errorf("scorers[%d]: weight %d is negative", i, w.weight)
		}
		if slices.ContainsFunc(q.scorers, func(s weightedScorer) bool { return s.name == w.name }) {
			return fmt.Errorf("scorers[%d]: %s is listed twice", i, w.name)
		}
		var err error
		if w.score, err = scorers()[at].compile(q, use); err != nil {
			return fmt.Errorf("scorers[%d]: %s: %w", i, use.Name, err)
		}
		if use.Name == "TopologySpread" {
			w.neighbourLabel, _ = topologySpreadArgs(q, use)
		}
		if w.weight > 0 {
			q.scorers = append(q.scorers, w)
		}
	}
	return nil
}

// score fills in scores and score = Σ weight·score / Σ weight, rounded down. Clusters with equal
// scores share one map, which nobody changes.
func (a *attempt) score() {
	list, n := a.query.scorers, len(a.eligible)
	columns := make([]int64, n*len(list))
	var weights wide
	for i, s := range list {
		s.score(a, columns[i*n:(i+1)*n])
		weights = weights.plus(wide{lo: uint64(s.weight)})
	}
	known := map[string]map[string]int64{}
	key, lastKey := make([]byte, len(list)), make([]byte, 0, len(list))
	var last map[string]int64
	for i, c := range a.eligible {
		var sum wide
		for j, s := range list {
			v := min(max(columns[j*n+i], 0), maxScore)
			key[j] = byte(v)
			sum = sum.plus(product(v, s.weight))
		}
		c.score = quotient(sum, weights)
		if last != nil && bytes.Equal(key, lastKey) {
			c.scores = last
			continue
		}
		scores, ok := known[string(key)]
		if !ok {
			scores = make(map[string]int64, len(list))
			for j, s := range list {
				scores[s.name] = int64(key[j])
			}
			known[string(key)] = scores
		}
		c.scores = scores
		last, lastKey = scores, append(lastKey[:0], key...)
	}
}

// quotient is ⌊sum / weights⌋ of a sum of scores that are at most maxScore; 0 where nothing weighs.
func quotient(sum, weights wide) int64 {
	for weights.hi != 0 { // only weights near 2^63 get here, where the lowest bits decide nothing
		sum, weights = sum.shiftRight(1), weights.shiftRight(1)
	}
	if weights.lo == 0 {
		return 0
	}
	q, _ := bits.Div64(sum.hi%weights.lo, sum.lo, weights.lo)
	return min(int64(q), maxScore)
}

// proportion is 100·part/whole, and 100 where the whole is 0.
func proportion(part, whole int64) int64 {
	if whole == 0 {
		return maxScore
	}
	for part > unlimited/maxScore {
		part, whole = part/2, whole/2
	}
	return part * maxScore / whole
}
