package placement

import (
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// classes divides the clusters of a fleet into classes that are equal in some labels and fields, so
// that what depends on nothing else of a cluster is worked out once for each class. Policies that ask
// about the same labels share them.
type classes struct {
	// of is the class of each cluster.
	of    []int32
	count int
}

// facets are the labels and fields that an affinity looks at, as one text; whole tells that it names
// clusters, too, so that nothing less than the cluster decides.
type facets struct {
	keys  string
	whole bool
}

const (
	labelFacet = "label "
	fieldFacet = "field "
)

// facetsOf returns what some affinities look at.
func facetsOf(list ...*v1alpha1.ClusterAffinity) facets {
	var keys []string
	for _, a := range list {
		if a == nil {
			continue
		}
		if len(a.ClusterNames)+len(a.Exclude) > 0 {
			return facets{whole: true}
		}
		if s := a.LabelSelector; s != nil {
			for key := range s.MatchLabels {
				keys = append(keys, labelFacet+key)
			}
			for i := range s.MatchExpressions {
				keys = append(keys, labelFacet+s.MatchExpressions[i].Key)
			}
		}
		if s := a.FieldSelector; s != nil {
			for i := range s.MatchExpressions {
				keys = append(keys, fieldFacet+s.MatchExpressions[i].Key)
			}
		}
	}
	slices.Sort(keys)
	return facets{keys: strings.Join(slices.Compact(keys), "\x00")}
}

// classesBy returns the classes of clusters that are equal in all facets.
func (s *scheduler) classesBy(f facets) *classes {
	if c, ok := s.classes[f]; ok {
		return c
	}
	c := &classes{of: make([]int32, len(s.fleet.clusters))}
	s.classes[f] = c
	if f.whole {
		for i := range c.of {
			c.of[i] = int32(i)
		}
		c.count = len(c.of)
		return c
	}
	keys := strings.Split(f.keys, "\x00")
	numbers := map[string]int32{}
	var facts []byte
	for i := range c.of {
		facts = facts[:0]
		for _, key := range keys {
			facts = s.fleet.clusters[i].appendFacet(facts, key)
		}
		n, ok := numbers[string(facts)]
		if !ok {
			n = int32(len(numbers))
			numbers[string(facts)] = n
		}
		c.of[i] = n
	}
	c.count = len(numbers)
	return c
}

// appendFacet appends what a cluster has of a facet, so that different things never look alike.
func (c *cluster) appendFacet(facts []byte, facet string) []byte {
	if key, ok := strings.CutPrefix(facet, labelFacet); ok {
		if value, ok := c.Labels[key]; ok {
			facts = append(append(facts, '='), value...)
		}
		return append(facts, 0)
	}
	for _, value := range affinity.Field(c.Cluster, strings.TrimPrefix(facet, fieldFacet)) {
		facts = append(append(facts, '='), value...)
	}
	return append(facts, 0)
}
