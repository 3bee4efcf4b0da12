package placement

import (
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// division is how replicas are shared out.
type division string

// The divisions, in the spelling of Decision.Strategy.
const (
	duplicated division = "Duplicated"
	static     division = "Divided/Weighted/Static"
	dynamic    division = "Divided/Weighted/Dynamic"
	aggregated division = "Divided/Aggregated"
)

// byCapacity tells that the division looks at what clusters have room for.
func (d division) byCapacity() bool { return d == dynamic || d == aggregated }

// query is a request made ready to be decided: everything compiled, nothing decided.
type query struct {
	*Request
	// place among the requests, and slot of the answer among the decisions.
	place    int
	slot     int
	division division
	demand   demand
	digest   string
	// groups are the affinity groups in the order of the policy; at least one.
	groups []group
	// bound are the affinities of the request's Bound; empty: there is none.
	bound       []tier
	tolerations []corev1.Toleration
	constraints []v1alpha1.SpreadConstraint
	scorers     []weightedScorer
	weights     []weightRule
	// weightFacets are what the rules for weights look at.
	weightFacets facets
	// least and most replicas of a cluster with a share.
	least, most int64
	bestEffort  bool
	// previous shares by index of the cluster, and whether all previous clusters are in the fleet.
	previous previousShares
	complete bool
	evicting map[string]bool
	// fresh asks for a decision that does not look at the previous one, other than at its affinity group
	// where inGroup is set.
	fresh, inGroup bool
	// failback is when an earlier group is to be tried before the recorded one.
	failback bool
	// going are clusters that a decision of this Schedule has sent it to, where it is decided again.
	going map[int]bool
	// remembered is the decision about the same request of before; nil: there is none to be used.
	remembered *remembered
	// err is what is wrong with the policy; the workload is held.
	err error
}

// group is one affinity group: the primary affinity and the tiers that it overflows into.
type group struct {
	name  string
	tiers []tier
}

type tier struct {
	name    string
	matcher affinity.Matcher
	facets  facets
	wants   string
}

type weightRule struct {
	matcher affinity.Matcher
	weight  int64
}

func (f *Fleet) newQuery(r *Request) *query {
	q := &query{Request: r, least: 0, most: math.MaxInt64}
	q.digest = inputs(r)
	q.demand = f.newDemand(r.Requests)
	q.constraints = r.Strategy.SpreadConstraints
	q.bestEffort = r.Strategy.WhenUnsatisfiable == v1alpha1.BestEffort
	q.tolerations = f.withImplied(r.Strategy.ClusterTolerations)
	q.readPrevious(f)
	for _, compile := range []func() error{q.compileBound, q.compileGroups, q.compileDivision, q.compileScorers, q.checkConstraints} {
		if err := compile(); err != nil && q.err == nil {
			q.err = err // the first is told; the rest is read all the same, for what the answer shows
		}
	}
	return q
}

func (q *query) readPrevious(f *Fleet) {
	q.complete = true
	p := q.Previous
	if p == nil {
		return
	}
	q.previous = make(previousShares, 0, len(p.Clusters))
	for _, c := range p.Clusters {
		i, ok := f.byName[c.Name]
		if !ok {
			q.complete = false
			continue
		}
		share := int64(0)
		if c.Replicas != nil && q.Replicas != nil {
			share = max(*c.Replicas, 0)
		}
		q.previous = q.previous.with(i, share)
	}
	if len(p.Evicting) > 0 {
		q.evicting = make(map[string]bool, len(p.Evicting))
		for _, name := range p.Evicting {
			q.evicting[name] = true
		}
	}
	if q.Stay != "" {
		return
	}
	q.fresh = p.RebalanceAt != nil && !f.now.Before(*p.RebalanceAt)
	if !q.fresh && f.dueRebalance(q.Strategy, p.ImbalanceSince) {
		q.fresh, q.inGroup = true, true
	}
	if s := q.Strategy; s.Failback == v1alpha1.FailbackAuto && p.FailbackSince != nil {
		q.failback = !f.now.Before(p.FailbackSince.Add(f.failbackAfter(s)))
	}
}

func (f *Fleet) failbackAfter(s *v1alpha1.PlacementStrategy) time.Duration {
	if after := s.FailbackAfter; after != nil {
		return after.Duration
	}
	return f.failback
}

// unchanged tells that the previous decision was made from the same inputs.
func (q *query) unchanged() bool {
	return q.Previous != nil && q.Previous.Inputs != "" && q.Previous.Inputs == q.digest
}

// placed tells that the previous decision names the cluster.
func (q *query) placed(c int) bool {
	_, ok := q.previous.of(c)
	return ok
}

func (q *query) compileGroups() error {
	s := q.Strategy
	if s.ClusterAffinity != nil && len(s.ClusterAffinities) > 0 {
		return fmt.Errorf("clusterAffinity and clusterAffinities exclude each other")
	}
	if len(s.ClusterAffinities) == 0 {
		t, err := newTier("", s.ClusterAffinity)
		if err != nil {
			return fmt.Errorf("clusterAffinity: %w", err)
		}
		q.groups = []group{{tiers: []tier{t}}}
		return nil
	}
	for i := range s.ClusterAffinities {
		term := &s.ClusterAffinities[i]
		g := group{name: term.AffinityName}
		t, err := newTier(term.AffinityName, &term.ClusterAffinity)
		if err != nil {
			return fmt.Errorf("clusterAffinities[%d]: %w", i, err)
		}
		g.tiers = append(g.tiers, t)
		for j := range term.OverflowAffinities {
			o := &term.OverflowAffinities[j]
			t, err := newTier(o.AffinityName, &o.ClusterAffinity)
			if err != nil {
				return fmt.Errorf("clusterAffinities[%d].overflowAffinities[%d]: %w", i, j, err)
			}
			g.tiers = append(g.tiers, t)
		}
		q.groups = append(q.groups, g)
	}
	return nil
}

func (q *query) compileBound() error {
	if q.Bound == nil {
		return nil
	}
	for i := range q.Bound.Affinities {
		t, err := newTier("", &q.Bound.Affinities[i])
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", q.Bound.Name, i, err)
		}
		q.bound = append(q.bound, t)
	}
	return nil
}

func newTier(name string, a *v1alpha1.ClusterAffinity) (tier, error) {
	m, err := affinity.Compile(a)
	if err != nil {
		return tier{}, err
	}
	return tier{name, m, facetsOf(a), describeAffinity(a)}, nil
}

func (q *query) compileDivision() error {
	q.division = duplicated
	r := q.Strategy.ReplicaScheduling
	if r == nil || q.Replicas == nil || r.ReplicaSchedulingType == v1alpha1.Duplicated {
		return nil
	}
	if *q.Replicas < 0 {
		return fmt.Errorf("%d replicas cannot be divided", *q.Replicas)
	}
	if r.ReplicaSchedulingType != "" && r.ReplicaSchedulingType != v1alpha1.Divided {
		return fmt.Errorf("unknown replicaSchedulingType %q", r.ReplicaSchedulingType)
	}
	if r.MinReplicas != nil {
		q.least = *r.MinReplicas
	}
	if r.MaxReplicas != nil {
		q.most = *r.MaxReplicas
	}
	if q.least < 0 || q.most < 1 || q.least > q.most {
		return fmt.Errorf("minReplicas %d and maxReplicas %d contradict each other", q.least, q.most)
	}
	switch r.ReplicaDivisionPreference {
	case v1alpha1.Aggregated:
		q.division = aggregated
		return nil
	case v1alpha1.Weighted, "":
	default:
		return fmt.Errorf("unknown replicaDivisionPreference %q", r.ReplicaDivisionPreference)
	}
	q.division = static
	w := r.WeightPreference
	if w == nil {
		return nil
	}
	if w.DynamicWeight != "" {
		if w.DynamicWeight != v1alpha1.AvailableReplicas {
			return fmt.Errorf("unknown dynamicWeight %q", w.DynamicWeight)
		}
		q.division = dynamic
		return nil
	}
	return q.compileWeights(w.StaticWeightList)
}

func (q *query) compileWeights(list []v1alpha1.StaticClusterWeight) error {
	targets := make([]*v1alpha1.ClusterAffinity, len(list))
	for i := range list {
		targets[i] = &list[i].TargetCluster
		if list[i].Weight < 0 {
			return fmt.Errorf("staticWeightList[%d]: weight %d is negative", i, list[i].Weight)
		}
		m, err := affinity.Compile(&list[i].TargetCluster)
		if err != nil {
			return fmt.Errorf("staticWeightList[%d].targetCluster: %w", i, err)
		}
		q.weights = append(q.weights, weightRule{m, list[i].Weight})
	}
	q.weightFacets = facetsOf(targets...)
	return nil
}

// staticWeight is the greatest over the rules that match; without rules all weigh 1.
func (q *query) staticWeight(c *cluster) int64 {
	if len(q.weights) == 0 {
		return 1
	}
	weight := int64(0)
	for i := range q.weights {
		if w := q.weights[i].weight; w > weight && q.weights[i].matcher.Match(c.Cluster) {
			weight = w
		}
	}
	return weight
}

func (q *query) checkConstraints() error {
	for i, c := range q.constraints {
		switch c.SpreadByField {
		case v1alpha1.SpreadByCluster, v1alpha1.SpreadByRegion, v1alpha1.SpreadByZone, v1alpha1.SpreadByProvider:
			if c.SpreadByLabel != "" {
				return fmt.Errorf("spreadConstraints[%d]: spreadByField and spreadByLabel exclude each other", i)
			}
		case "":
			if c.SpreadByLabel == "" {
				return fmt.Errorf("spreadConstraints[%d]: neither spreadByField nor spreadByLabel is set", i)
			}
		default:
			return fmt.Errorf("spreadConstraints[%d]: unknown spreadByField %q", i, c.SpreadByField)
		}
		if c.MinGroups < 0 || c.MaxGroups < 0 || c.MaxGroups > 0 && c.MinGroups > c.MaxGroups {
			return fmt.Errorf("spreadConstraints[%d]: minGroups %d and maxGroups %d contradict each other", i, c.MinGroups, c.MaxGroups)
		}
	}
	return nil
}
