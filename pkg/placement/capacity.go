package placement

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// supply is what a cluster can hold.
type supply struct {
	// known tells that there is a summary whose allocatable counts pods. Otherwise there is no
	// capacity for those who ask.
	known bool
	// ours tells that free includes what our own workloads use, so that every decision is charged in
	// full; otherwise only what a decision adds is.
	ours bool
	// free and allocatable by number of the resource; shorter slices end in zeros.
	free, allocatable []int64
	grades            []grade
	// graded are the numbers of the resources that some grade names.
	graded []int
}

func (f *Fleet) newSupply(c *v1alpha1.Cluster) supply {
	summary := c.Status.ResourceSummary
	if summary == nil {
		return supply{}
	}
	var s supply
	_, s.known = summary.Allocatable[corev1.ResourcePods]
	s.ours = summary.Ours != nil
	for name, q := range summary.Allocatable {
		r := f.resource(name)
		for len(s.free) <= r {
			s.free, s.allocatable = append(s.free, 0), append(s.allocatable, 0)
		}
		used := addAmounts(needed(name, summary.Allocated[name]), needed(name, summary.Allocating[name]))
		s.allocatable[r] = offered(name, q)
		s.free[r] = subAmounts(s.allocatable[r], subAmounts(used, offered(name, summary.Ours[name])))
	}
	s.readGrades(f, c)
	return s
}

// demand is what one replica asks for.
type demand struct {
	// resource numbers with amounts above 0, by number; pods are not among them.
	items []demandItem
	// unmet is a requested resource that no cluster of the fleet offers.
	unmet bool
}

type demandItem struct {
	resource int
	amount   int64
}

func (f *Fleet) newDemand(requests corev1.ResourceList) demand {
	var d demand
	for name, q := range requests {
		amount := needed(name, q)
		if amount == 0 || name == corev1.ResourcePods {
			continue
		}
		r, ok := f.resources[name]
		if !ok {
			d.unmet = true
			continue
		}
		d.items = append(d.items, demandItem{r, amount})
	}
	slices.SortFunc(d.items, func(a, b demandItem) int { return a.resource - b.resource })
	return d
}

// ledger is what decisions have been charged to the clusters so far.
type ledger struct {
	fleet *Fleet
	pods  int
	// charged by cluster and number of the resource.
	charged [][]wide
	// nodes is what decisions have added to the nodes of clusters with grades, by cluster.
	nodes map[int]*nodeLedger
}

func newLedger(f *Fleet) *ledger {
	l := &ledger{fleet: f, pods: -1, charged: make([][]wide, len(f.clusters)), nodes: map[int]*nodeLedger{}}
	if r, ok := f.resources[corev1.ResourcePods]; ok {
		l.pods = r
	}
	width := len(f.resources)
	all := make([]wide, width*len(f.clusters))
	for i := range l.charged {
		l.charged[i], all = all[:width:width], all[width:]
	}
	return l
}

// charge books replicas on a cluster; take books them back.
func (l *ledger) charge(c int, d *demand, replicas int64) { l.book(c, d, replicas, wide.plus) }
func (l *ledger) take(c int, d *demand, replicas int64)   { l.book(c, d, replicas, wide.minus) }

func (l *ledger) book(c int, d *demand, replicas int64, op func(wide, wide) wide) {
	if replicas == 0 || l.pods < 0 {
		return
	}
	row := l.charged[c]
	row[l.pods] = op(row[l.pods], wide{lo: uint64(replicas)})
	for _, item := range d.items {
		row[item.resource] = op(row[item.resource], product(item.amount, replicas))
	}
}

// free returns how much of a resource is left on a cluster.
func (l *ledger) free(c, resource int) int64 {
	s := &l.fleet.clusters[c].supply
	if resource >= len(s.free) {
		return 0
	}
	return subAmounts(s.free[resource], l.charged[c][resource].clamped())
}

// fits returns how many more replicas the summary of a cluster has room for, beside all that is
// charged.
func (l *ledger) fits(c int, d *demand) int64 {
	if d.unmet || l.pods < 0 {
		return 0
	}
	n := l.free(c, l.pods)
	for _, item := range d.items {
		n = min(n, l.free(c, item.resource)/item.amount)
	}
	return n
}

// capacity returns how many replicas a cluster has room for in all, of which own are there now, and
// how many it can add to them. The caller has taken own off the ledger. known is false where the
// cluster does not say what it can hold.
func (l *ledger) capacity(c int, d *demand, own int64) (total, more int64, known bool) {
	s := &l.fleet.clusters[c].supply
	if !s.known {
		return 0, 0, false
	}
	n := l.fits(c, d)
	if s.ours {
		total, more = n, subAmounts(n, own)
	} else {
		total, more = addAmounts(n, own), n
	}
	if s.hasGrades() && !d.unmet {
		byNode := l.fitNodes(c, d)
		more = min(more, byNode)
		total = min(total, addAmounts(byNode, own))
	}
	return total, more, true
}

// bill returns what a share costs on a cluster: all of it where the cluster tells our own use apart,
// else what it adds to the previous share, which the summary counts already.
func (f *Fleet) bill(c int, share, previous int64) int64 {
	if f.clusters[c].supply.ours {
		return share
	}
	return subAmounts(share, previous)
}
