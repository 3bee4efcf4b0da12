package placement

import "slices"

// previousShares are the clusters of the previous decision with their replicas, by index of the cluster.
type previousShares []previousShare

type previousShare struct {
	cluster  int
	replicas int64
}

// of returns the replicas on a cluster; ok is false where the decision does not name it.
func (s previousShares) of(cluster int) (replicas int64, ok bool) {
	at, ok := s.find(cluster)
	if !ok {
		return 0, false
	}
	return s[at].replicas, true
}

// with returns the shares with that of a cluster; the last that is told of a cluster counts.
func (s previousShares) with(cluster int, replicas int64) previousShares {
	at, ok := s.find(cluster)
	if ok {
		s[at].replicas = replicas
		return s
	}
	return slices.Insert(s, at, previousShare{cluster, replicas})
}

func (s previousShares) find(cluster int) (int, bool) {
	return slices.BinarySearchFunc(s, cluster, func(p previousShare, c int) int { return p.cluster - c })
}
