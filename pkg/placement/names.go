package placement

import (
	"encoding/json"
	"iter"
	"math/bits"
	"slices"
)

// ClusterNames are names of clusters, sorted. They are kept as one bit for each cluster of the fleet:
// thousands of decisions say of almost every one of a thousand clusters why it is not chosen, and spelled
// out these lists would be most of the memory. In JSON they are a list. The zero value is empty; values are
// never changed and may be shared.
type ClusterNames struct {
	// fleet are the names of all clusters that there are, sorted.
	fleet []string
	in    clusterSet
}

// NewClusterNames makes a list of its own of names.
func NewClusterNames(names ...string) ClusterNames {
	own := slices.Compact(slices.Sorted(slices.Values(names)))
	n := ClusterNames{fleet: own, in: newClusterSet(len(own))}
	for i := range own {
		n.in.add(i)
	}
	return n
}

// All are the names in order.
func (n ClusterNames) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for at, word := range n.in {
			for ; word != 0; word &= word - 1 {
				if !yield(n.fleet[at*64+bits.TrailingZeros64(word)]) {
					return
				}
			}
		}
	}
}

// Slice spells the names out.
func (n ClusterNames) Slice() []string {
	return slices.AppendSeq(make([]string, 0, n.Len()), n.All())
}

// Len is how many there are.
func (n ClusterNames) Len() int {
	count := 0
	for _, word := range n.in {
		count += bits.OnesCount64(word)
	}
	return count
}

// Contains tells whether a name is one of them.
func (n ClusterNames) Contains(name string) bool {
	at, ok := slices.BinarySearch(n.fleet, name)
	return ok && n.in.has(at)
}

// Equal tells whether two have the same names.
func (n ClusterNames) Equal(o ClusterNames) bool {
	if n.Len() != o.Len() {
		return false
	}
	for name := range n.All() {
		if !o.Contains(name) {
			return false
		}
	}
	return true
}

// MarshalJSON writes the list.
func (n ClusterNames) MarshalJSON() ([]byte, error) { return json.Marshal(n.Slice()) }

// UnmarshalJSON reads a list.
func (n *ClusterNames) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	*n = NewClusterNames(names...)
	return nil
}

// with returns the names and that of one more cluster of the fleet, without all but that of one.
func (n ClusterNames) with(cluster int) ClusterNames {
	n.in = slices.Clone(n.in)
	n.in.add(cluster)
	return n
}

func (n ClusterNames) without(cluster int) ClusterNames {
	n.in = slices.Clone(n.in)
	n.in[cluster/64] &^= 1 << (cluster % 64)
	return n
}

// none are no clusters of a fleet yet.
func (f *Fleet) none() ClusterNames { return ClusterNames{f.names, newClusterSet(len(f.names))} }
