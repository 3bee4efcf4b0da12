package placement

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Options are the settings of the fleet that decisions depend on.
type Options struct {
	// ImplicitTolerationSeconds is how long a cluster may be not ready or unreachable before a
	// workload leaves whose policy says nothing about it. Nil: 300.
	ImplicitTolerationSeconds *int64
	// FailbackAfter is how long an earlier affinity group must have been able to hold a workload whose
	// policy says failback: Auto and not for how long. 0: 10 minutes.
	FailbackAfter time.Duration
}

// Fleet is the clusters as decisions see them, with what is asked of them often worked out once. It
// is never changed after NewFleet and may be shared.
type Fleet struct {
	now      time.Time
	implied  int64
	failback time.Duration
	// clusters by name.
	clusters []cluster
	names    []string
	byName   map[string]int
	// resources numbers the resources that any cluster offers.
	resources map[corev1.ResourceName]int
	// served are the clusters that list a kind; servesAll those that list none and thus serve all.
	served    map[kind]clusterSet
	servesAll clusterSet
}

// kind is a kind of objects in one version.
type kind struct{ apiVersion, kind string }

// cluster is the facts of one cluster.
type cluster struct {
	*v1alpha1.Cluster
	index int
	// taints are those with the effects NoSchedule and NoExecute.
	taints []corev1.Taint
	// providers and regions have at most one item; they are lists like the zones.
	providers, regions, zones []string
	supply                    supply
}

// clusterSet is a set of indices of clusters.
type clusterSet []uint64

func newClusterSet(n int) clusterSet { return make(clusterSet, (n+63)/64) }

func (s clusterSet) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s clusterSet) has(i int) bool { return s != nil && s[i/64]&(1<<(i%64)) != 0 }

// NewFleet works out what decisions need of the clusters at a time. Clusters are identified by
// their names; of several with one name the first counts. The fleet keeps pointers to the clusters,
// which must not change while it is used.
func NewFleet(clusters []v1alpha1.Cluster, now time.Time, options Options) *Fleet {
	f := &Fleet{now: now, implied: 300, failback: cmp.Or(options.FailbackAfter, defaultFailbackAfter), byName: map[string]int{}, resources: map[corev1.ResourceName]int{}, served: map[kind]clusterSet{}}
	if options.ImplicitTolerationSeconds != nil {
		f.implied = *options.ImplicitTolerationSeconds
	}
	sorted := make([]*v1alpha1.Cluster, len(clusters))
	for i := range clusters {
		sorted[i] = &clusters[i]
	}
	slices.SortStableFunc(sorted, func(a, b *v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	sorted = slices.CompactFunc(sorted, func(a, b *v1alpha1.Cluster) bool { return a.Name == b.Name })
	f.clusters, f.names = make([]cluster, len(sorted)), make([]string, len(sorted))
	f.servesAll = newClusterSet(len(sorted))
	for i, c := range sorted {
		f.byName[c.Name], f.names[i] = i, c.Name
		f.clusters[i] = f.facts(c, i)
		f.listServed(c, i)
	}
	return f
}

func (f *Fleet) facts(c *v1alpha1.Cluster, index int) cluster {
	facts := cluster{
		Cluster: c, index: index,
		providers: affinity.Field(c, string(v1alpha1.SpreadByProvider)),
		regions:   affinity.Field(c, string(v1alpha1.SpreadByRegion)),
		zones:     affinity.Field(c, string(v1alpha1.SpreadByZone)),
	}
	for _, t := range c.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute {
			t.Key = ownTaintKey(t.Key)
			facts.taints = append(facts.taints, t)
		}
	}
	facts.supply = f.newSupply(c)
	return facts
}

func (f *Fleet) listServed(c *v1alpha1.Cluster, index int) {
	if len(c.Status.APIEnablements) == 0 {
		f.servesAll.add(index)
	}
	for _, e := range c.Status.APIEnablements {
		for _, r := range e.Resources {
			k := kind{e.GroupVersion, r.Kind}
			set, ok := f.served[k]
			if !ok {
				set = newClusterSet(len(f.clusters))
				f.served[k] = set
			}
			set.add(index)
		}
	}
}

// resource numbers a resource.
func (f *Fleet) resource(name corev1.ResourceName) int {
	i, ok := f.resources[name]
	if !ok {
		i = len(f.resources)
		f.resources[name] = i
	}
	return i
}
