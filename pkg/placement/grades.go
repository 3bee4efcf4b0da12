package placement

import (
	"maps"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// podsPerNode is how many pods a node of a grade holds at most, the kubelet's default.
const podsPerNode = 110

// grade is a number of equal nodes: each has room for so many pods and at least least[r] of the resource r.
type grade struct {
	count, pods int64
	least       map[int]int64
}

// readGrades reads the nodes by grade. Without models that say what a grade is they mean nothing.
func (s *supply) readGrades(f *Fleet, c *v1alpha1.Cluster) {
	models := map[uint][]v1alpha1.ResourceModelRange{}
	for _, m := range c.Spec.ResourceModels {
		models[m.Grade] = m.Ranges
		for _, r := range m.Ranges {
			s.graded = append(s.graded, f.resource(r.Name))
		}
	}
	if len(models) == 0 {
		return
	}
	slices.Sort(s.graded)
	s.graded = slices.Compact(s.graded)
	for _, m := range c.Status.ResourceSummary.AllocatableModelings {
		ranges, ok := models[m.Grade]
		if !ok || m.Count <= 0 {
			continue
		}
		g := grade{count: int64(m.Count), pods: podsPerNode, least: map[int]int64{}}
		for _, r := range ranges {
			g.least[f.resource(r.Name)] = offered(r.Name, r.Min)
		}
		s.grades = append(s.grades, g)
	}
}

// hasGrades tells that replicas must fit node by node.
func (s *supply) hasGrades() bool { return len(s.grades) > 0 }

// fit returns how many replicas one node of the grade holds. A node of a grade that does not name a
// resource which other grades name (graded) has none of it.
func (g *grade) fit(d *demand, graded []int) int64 {
	node := g.pods
	for _, item := range d.items {
		least, named := g.least[item.resource]
		if named {
			node = min(node, least/item.amount)
		} else if _, other := slices.BinarySearch(graded, item.resource); other {
			node = 0
		}
	}
	return node
}

// less returns what a node of the grade has left beside so many replicas, as a grade of some nodes.
func (g *grade) less(d *demand, replicas, count int64) grade {
	rest := grade{count: count, pods: g.pods - replicas, least: maps.Clone(g.least)}
	for _, item := range d.items {
		if least, named := rest.least[item.resource]; named {
			rest.least[item.resource] = subAmounts(least, mulAmounts(item.amount, replicas))
		}
	}
	return rest
}

// nodeLedger is what the decisions of one plan have added to the nodes of a cluster. What is there already
// the counts of the grades have taken into account, and what leaves is free when they are counted again.
type nodeLedger struct {
	added []nodeCharge
	// grades are the nodes with what is left on them.
	grades []grade
}

type nodeCharge struct {
	demand   *demand
	replicas int64
}

// fitNodes returns how many replicas the nodes of a cluster hold one by one beside what was added to them,
// in time linear in the grades.
func (l *ledger) fitNodes(c int, d *demand) int64 {
	s := &l.fleet.clusters[c].supply
	grades, total := s.grades, int64(0)
	if n := l.nodes[c]; n != nil {
		grades = n.grades
	}
	for i := range grades {
		total = addAmounts(total, mulAmounts(grades[i].fit(d, s.graded), grades[i].count))
	}
	return total
}

// add puts replicas on the nodes of a cluster, on the first grades that hold any; remove takes them off.
// Without grades, or with nothing to add, nothing happens.
func (l *ledger) add(c int, d *demand, replicas int64) {
	s := &l.fleet.clusters[c].supply
	if replicas <= 0 || !s.hasGrades() {
		return
	}
	n := l.nodes[c]
	if n == nil {
		n = &nodeLedger{grades: slices.Clone(s.grades)}
		l.nodes[c] = n
	}
	n.added = append(n.added, nodeCharge{d, replicas})
	n.put(d, replicas, s.graded)
}

func (l *ledger) remove(c int, d *demand, replicas int64) {
	n := l.nodes[c]
	if n == nil || replicas <= 0 {
		return
	}
	if at := slices.Index(n.added, nodeCharge{d, replicas}); at >= 0 {
		s := &l.fleet.clusters[c].supply
		n.added, n.grades = slices.Delete(n.added, at, at+1), slices.Clone(s.grades)
		for _, charge := range n.added {
			n.put(charge.demand, charge.replicas, s.graded)
		}
	}
}

// put fills nodes one after another. Each full node and the last, which may keep room, become grades of
// their own, so that there are never more grades than nodes. What does not fit is dropped: Duplicated and
// static workloads go where there is no room for them, too.
func (n *nodeLedger) put(d *demand, replicas int64, graded []int) {
	left := make([]grade, 0, len(n.grades)+2)
	for i := range n.grades {
		g := &n.grades[i]
		each := g.fit(d, graded)
		if replicas == 0 || each == 0 {
			left = append(left, *g)
			continue
		}
		full := min(g.count, replicas/each)
		replicas -= full * each
		if full > 0 {
			left = append(left, g.less(d, each, full))
		}
		if rest := g.count - full; rest > 0 && replicas > 0 {
			left = append(left, g.less(d, replicas, 1))
			full, replicas = full+1, 0
		}
		if rest := g.count - full; rest > 0 {
			left = append(left, grade{count: rest, pods: g.pods, least: g.least})
		}
	}
	n.grades = left
}
