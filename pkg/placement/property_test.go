package placement

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var propertyTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func pick[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

// drawClusters draws up to six clusters with all that decisions look at.
func drawClusters(t *rapid.T) []v1alpha1.Cluster {
	clusters := make([]v1alpha1.Cluster, rapid.IntRange(1, 6).Draw(t, "clusters"))
	for i := range clusters {
		c := &clusters[i]
		c.Name = string(rune('a' + i))
		c.Labels = map[string]string{"tier": pick(t, "tier", "gold", "silver"), "rack": pick(t, "rack", "1", "2", "3")}
		c.Spec.Provider, c.Spec.Region = pick(t, "provider", "aws", "gcp"), pick(t, "region", "", "eu", "us", "ap")
		c.Spec.Zones = pick(t, "zones", nil, []string{"z1"}, []string{"z2"}, []string{"z1", "z2"}, []string{"z2", "z3"})
		if rapid.IntRange(0, 9).Draw(t, "terminating") == 0 {
			c.DeletionTimestamp = &metav1.Time{Time: propertyTime}
		}
		if rapid.IntRange(0, 3).Draw(t, "tainted") == 0 {
			c.Spec.Taints = []corev1.Taint{{Key: pick(t, "key", "x", taintNotReady), Effect: pick(t, "effect", corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)}}
		}
		if rapid.IntRange(0, 9).Draw(t, "served") == 0 {
			c.Status.APIEnablements = []v1alpha1.APIEnablement{{GroupVersion: "v1"}}
		}
		switch pick(t, "summary", "ours", "ours", "ours", "karmada", "none") {
		case "ours":
			c.Status.ResourceSummary = &v1alpha1.ResourceSummary{
				Allocatable: cores(rapid.Int64Range(0, 12).Draw(t, "cpu")), Ours: corev1.ResourceList{},
			}
		case "karmada":
			c.Status.ResourceSummary = &v1alpha1.ResourceSummary{
				Allocatable: cores(12), Allocated: corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(rapid.Int64Range(0, 13).Draw(t, "allocated"), resource.DecimalSI)},
			}
		}
	}
	return clusters
}

func cores(n int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewQuantity(n, resource.DecimalSI), corev1.ResourcePods: *resource.NewQuantity(110, resource.DecimalSI),
	}
}

// drawRequest draws a workload with a policy.
func drawRequest(t *rapid.T, name string, clusters []v1alpha1.Cluster) Request {
	r := Request{
		Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: name},
		Labels:   map[string]string{"group": pick(t, "group", "x", "y")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(rapid.Int64Range(0, 2).Draw(t, "request"), resource.DecimalSI)},
		Strategy: drawStrategy(t), PolicyPriority: rapid.Int32Range(0, 1).Draw(t, "priority"),
		Indivisible: rapid.IntRange(0, 9).Draw(t, "indivisible") == 0, Pinned: rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
	}
	if rapid.IntRange(0, 9).Draw(t, "plain") > 0 {
		n := rapid.Int64Range(0, 12).Draw(t, "replicas")
		r.Replicas = &n
	}
	if rapid.Bool().Draw(t, "decided") {
		r.Previous = &Previous{Inputs: pick(t, "inputs", "", "other")}
		for _, c := range clusters {
			if rapid.Bool().Draw(t, "placed") {
				n := rapid.Int64Range(1, 4).Draw(t, "share")
				r.Previous.Clusters = append(r.Previous.Clusters, v1alpha1.TargetCluster{Name: c.Name, Replicas: &n})
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "evicting") == 0 {
			r.Previous.Evicting = []string{clusters[0].Name}
		}
		if rapid.IntRange(0, 4).Draw(t, "rebalance") == 0 {
			r.Previous.RebalanceAt = &propertyTime
		}
	}
	return r
}

func drawStrategy(t *rapid.T) *v1alpha1.PlacementStrategy {
	s := &v1alpha1.PlacementStrategy{}
	switch pick(t, "affinity", "none", "none", "label", "groups") {
	case "label":
		s.ClusterAffinity = byTier("gold")
	case "groups":
		s.ClusterAffinities = []v1alpha1.ClusterAffinityTerm{
			{AffinityName: "gold", ClusterAffinity: *byTier("gold")},
			{AffinityName: "silver", ClusterAffinity: *byTier("silver")},
		}
		if rapid.Bool().Draw(t, "overflow") {
			s.ClusterAffinities[0].OverflowAffinities = []v1alpha1.OverflowAffinity{{ClusterAffinity: *byTier("silver")}}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "tolerates") == 0 {
		s.ClusterTolerations = []corev1.Toleration{{Key: "x", Operator: corev1.TolerationOpExists}}
	}
	for range rapid.IntRange(0, 2).Draw(t, "constraints") {
		c := v1alpha1.SpreadConstraint{MinGroups: rapid.IntRange(0, 3).Draw(t, "min")}
		if c.SpreadByField = pick(t, "by", "", v1alpha1.SpreadByCluster, v1alpha1.SpreadByRegion, v1alpha1.SpreadByZone, v1alpha1.SpreadByProvider); c.SpreadByField == "" {
			c.SpreadByLabel = "rack"
		}
		if rapid.Bool().Draw(t, "bounded") {
			c.MaxGroups = max(c.MinGroups, 1) + rapid.IntRange(0, 2).Draw(t, "more")
		}
		s.SpreadConstraints = append(s.SpreadConstraints, c)
	}
	if rapid.IntRange(0, 4).Draw(t, "together") == 0 {
		term := &v1alpha1.WorkloadAffinityTerm{GroupByLabelKey: "group"}
		s.WorkloadAffinity = &v1alpha1.WorkloadAffinity{AntiAffinity: term}
		if rapid.Bool().Draw(t, "affinity") {
			s.WorkloadAffinity = &v1alpha1.WorkloadAffinity{Affinity: term}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "effort") == 0 {
		s.WhenUnsatisfiable = v1alpha1.BestEffort
	}
	s.ReplicaScheduling = drawDivision(t)
	return s
}

func byTier(value string) *v1alpha1.ClusterAffinity {
	return &v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": value}}}
}

func drawDivision(t *rapid.T) *v1alpha1.ReplicaSchedulingStrategy {
	var r *v1alpha1.ReplicaSchedulingStrategy
	switch pick(t, "division", duplicated, static, dynamic, dynamic, aggregated, aggregated) {
	case duplicated:
		return nil
	case static:
		r = &v1alpha1.ReplicaSchedulingStrategy{WeightPreference: &v1alpha1.ClusterPreferences{StaticWeightList: []v1alpha1.StaticClusterWeight{
			{TargetCluster: *byTier("gold"), Weight: rapid.Int64Range(0, 3).Draw(t, "gold")},
			{TargetCluster: v1alpha1.ClusterAffinity{ClusterNames: []string{"b", "c"}}, Weight: rapid.Int64Range(0, 3).Draw(t, "named")},
		}}}
	case dynamic:
		r = divided(v1alpha1.Weighted, true)
	case aggregated:
		r = divided(v1alpha1.Aggregated, false)
	}
	if rapid.IntRange(0, 3).Draw(t, "bounds") == 0 {
		least := rapid.Int64Range(0, 3).Draw(t, "least")
		most := max(least, 1) + rapid.Int64Range(0, 4).Draw(t, "most")
		r.MinReplicas, r.MaxReplicas = &least, &most
	}
	return r
}

func drawRequests(t *rapid.T, clusters []v1alpha1.Cluster) []Request {
	requests := make([]Request, rapid.IntRange(1, 4).Draw(t, "workloads"))
	for i := range requests {
		requests[i] = drawRequest(t, fmt.Sprintf("w%d", i), clusters)
	}
	return requests
}

// TestEveryAnswerIsWhole: every cluster once, shares that sum up, bounds that hold, nothing where a
// plain reading of the filters says no, and capacity that is never exceeded by what is new.
func TestEveryAnswerIsWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		requests := drawRequests(t, clusters)
		decisions := Schedule(requests, NewFleet(clusters, propertyTime, Options{}))
		for i := range requests {
			checkWhole(t, &requests[i], &decisions[i], clusters)
		}
		checkCapacity(t, requests, decisions, clusters)
	})
}

func checkWhole(t *rapid.T, r *Request, d *Decision, clusters []v1alpha1.Cluster) {
	seen := map[string]int{}
	sum := d.Unassigned
	for _, c := range d.Clusters {
		seen[c.Name]++
		if r.Replicas == nil {
			continue
		}
		sum += *c.Replicas
		if s := r.Strategy.ReplicaScheduling; s != nil && s.MinReplicas != nil && d.Error == "" && *r.Replicas > 0 && !r.Indivisible {
			if *c.Replicas < *s.MinReplicas || *c.Replicas > *s.MaxReplicas {
				t.Fatalf("share %d of %s is not from %d to %d: %+v", *c.Replicas, c.Name, *s.MinReplicas, *s.MaxReplicas, d)
			}
		}
		if *r.Replicas > 0 && *c.Replicas == 0 {
			t.Fatalf("%s is chosen with a share of 0: %+v", c.Name, d)
		}
	}
	for _, rejection := range d.Rejected {
		for c := range rejection.Clusters.All() {
			seen[c]++
		}
		if rejection.Reason == "" {
			t.Fatalf("a rejection without a reason: %+v", d)
		}
	}
	for _, c := range clusters {
		if seen[c.Name] != 1 {
			t.Fatalf("cluster %s is in the answer %d times: %+v", c.Name, seen[c.Name], d)
		}
	}
	if divides := d.Strategy != string(duplicated) && d.Error == "" && r.Replicas != nil; divides && sum != *r.Replicas {
		t.Fatalf("shares and unassigned sum to %d of %d: %+v", sum, *r.Replicas, d)
	}
	if d.Error == "" && len(d.Clusters) == 0 {
		t.Fatalf("nothing chosen and no error: %+v", d)
	}
	if d.Error == "" && d.Unassigned > 0 && r.Strategy.WhenUnsatisfiable != v1alpha1.BestEffort {
		t.Fatalf("something is left over without BestEffort: %+v", d)
	}
	for _, c := range d.Clusters {
		i := slices.IndexFunc(clusters, func(x v1alpha1.Cluster) bool { return x.Name == c.Name })
		if why := plainlyRejected(r, &clusters[i]); why != "" {
			t.Fatalf("%s is chosen though %s: %+v", c.Name, why, d)
		}
	}
}

// plainlyRejected is a second, simple reading of the filters that look at one cluster alone.
func plainlyRejected(r *Request, c *v1alpha1.Cluster) string {
	placed := r.Previous != nil && slices.ContainsFunc(r.Previous.Clusters, func(x v1alpha1.TargetCluster) bool { return x.Name == c.Name })
	if c.DeletionTimestamp != nil {
		return "it is being removed"
	}
	if len(c.Status.APIEnablements) > 0 && !placed {
		return "it does not serve the kind"
	}
	for _, taint := range c.Spec.Taints {
		tolerated := taint.Key == "x" && len(r.Strategy.ClusterTolerations) > 0 || taint.Key == taintNotReady && taint.Effect == corev1.TaintEffectNoExecute
		stays := placed && (taint.Effect == corev1.TaintEffectNoSchedule || r.Pinned)
		if !tolerated && !stays {
			return "its taint is not tolerated"
		}
	}
	if r.Strategy.ClusterAffinity != nil && c.Labels["tier"] != "gold" {
		return "the affinity does not select it"
	}
	for _, s := range r.Strategy.SpreadConstraints {
		if s.SpreadByField == v1alpha1.SpreadByRegion && c.Spec.Region == "" || s.SpreadByField == v1alpha1.SpreadByZone && len(c.Spec.Zones) == 0 {
			return "it has no " + string(s.SpreadByField)
		}
	}
	if r.Previous != nil && slices.Contains(r.Previous.Evicting, c.Name) {
		return "the workload is evicted from it"
	}
	return ""
}

// checkCapacity: where a cluster has more than it holds, no decision by capacity has added to it.
func checkCapacity(t *rapid.T, requests []Request, decisions []Decision, clusters []v1alpha1.Cluster) {
	for i := range clusters {
		c := &clusters[i]
		summary := c.Status.ResourceSummary
		cpu, added := int64(0), ""
		for j := range requests {
			d := &decisions[j]
			for _, a := range d.Clusters {
				if a.Name != c.Name || a.Replicas == nil {
					continue
				}
				before := int64(0)
				if p := requests[j].Previous; p != nil {
					for _, x := range p.Clusters {
						if x.Name == c.Name {
							before = *x.Replicas
						}
					}
				}
				now := *a.Replicas
				if summary != nil && summary.Ours == nil {
					now = max(now-before, 0)
				}
				q := requests[j].Requests[corev1.ResourceCPU]
				cpu += now * q.Value()
				if *a.Replicas > before && requests[j].Requests.Cpu().Value() > 0 && (d.Strategy == string(dynamic) || d.Strategy == string(aggregated)) {
					added = d.Workload.Name
				}
			}
		}
		room := int64(0)
		if summary != nil {
			allocatable, allocated := summary.Allocatable[corev1.ResourceCPU], summary.Allocated[corev1.ResourceCPU]
			room = max(allocatable.Value()-allocated.Value(), 0)
		}
		others := slices.ContainsFunc(decisions, func(d Decision) bool { return d.Strategy == string(duplicated) || d.Strategy == string(static) })
		if cpu > room && added != "" && !others {
			t.Fatalf("cluster %s has room for %d and is charged %d, and %s was added to it: %+v", c.Name, room, cpu, added, decisions)
		}
	}
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		requests := drawRequests(t, clusters)
		want := Schedule(requests, NewFleet(clusters, propertyTime, Options{}))
		shuffledClusters := rapid.Permutation(clusters).Draw(t, "clusters in another order")
		shuffledRequests := rapid.Permutation(requests).Draw(t, "workloads in another order")
		got := Schedule(shuffledRequests, NewFleet(shuffledClusters, propertyTime, Options{}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order gives another answer (-want +got):\n%s", diff)
		}
	})
}

// TestDecisionsStand: what was decided and recorded is decided again, and said to stand.
func TestDecisionsStand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		requests := drawRequests(t, clusters)
		fleet := NewFleet(clusters, propertyTime, Options{})
		first := Schedule(requests, fleet)
		for i := range requests {
			if first[i].Error == "" {
				evicting := []string(nil)
				if requests[i].Previous != nil {
					evicting = requests[i].Previous.Evicting
				}
				requests[i].Previous = record(first[i])
				requests[i].Previous.Evicting = evicting
			}
		}
		again := Schedule(requests, fleet)
		for i := range requests {
			if first[i].Error != "" || first[i].Unassigned > 0 {
				continue
			}
			// Where the group of a workload is may change with those of it that are tried again.
			tried := func(d Decision) bool { return d.Error != "" || d.Unassigned > 0 }
			if requests[i].Strategy.WorkloadAffinity != nil && slices.ContainsFunc(first, tried) {
				continue
			}
			if !again[i].Standing || !cmp.Equal(shares(first[i]), shares(again[i])) || first[i].AffinityGroup != again[i].AffinityGroup {
				t.Fatalf("the decision does not stand:\nfirst %+v\nagain %+v", first[i], again[i])
			}
		}
	})
}

// TestSpreadIsTheBestOfAllSubsets compares the selection with a search through every subset.
func TestSpreadIsTheBestOfAllSubsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		r := drawRequest(t, "web", clusters)
		r.Previous, r.Strategy.WhenUnsatisfiable, r.Strategy.ClusterAffinities = nil, "", nil
		if len(r.Strategy.SpreadConstraints) == 0 {
			return
		}
		s := newScheduler(NewFleet(clusters, propertyTime, Options{}))
		q := s.fleet.newQuery(&r)
		a := s.try(q, q.order()[0])
		a.filter()
		if len(a.eligible) == 0 {
			return
		}
		a.weigh()
		a.measure()
		a.score()
		a.order()
		eligible := slices.Clone(a.eligible)
		want := allSubsets(newSpread(a))
		fail := a.choose()
		if (fail == nil) != (want >= 0) {
			t.Fatalf("choose says %v, the fewest groups over all subsets are %d: %+v", fail, want, r.Strategy)
		}
		if fail != nil {
			return
		}
		got := newSpread(a)
		var picked []int
		for _, c := range a.chosen {
			picked = append(picked, slices.Index(eligible, c))
		}
		if !got.admissible(picked) || got.roomOf(picked) < got.needed {
			t.Fatalf("the choice %v is not admissible or holds too little", picked)
		}
		if n := groupCount(got, picked); n != want {
			t.Fatalf("%d groups are chosen, %d are enough", n, want)
		}
	})
}

// allSubsets returns the fewest groups of a subset of clusters that satisfies everything; -1: none does.
func allSubsets(s *spread) int {
	fewest := -1
	for mask := 1; mask < 1<<len(s.eligible); mask++ {
		var picked []int
		for m := mask; m != 0; m &= m - 1 {
			picked = append(picked, bits.TrailingZeros(uint(m)))
		}
		if s.admissible(picked) && s.roomOf(picked) >= s.needed {
			if n := groupCount(s, picked); fewest < 0 || n < fewest {
				fewest = n
			}
		}
	}
	return fewest
}

func groupCount(s *spread, picked []int) int {
	groups := map[int]bool{}
	for _, i := range picked {
		for _, g := range s.of[i] {
			groups[g] = true
		}
	}
	return len(groups)
}

// TestGroupsAreOfMostWorth compares the groups that one field selects with all choices of as many.
func TestGroupsAreOfMostWorth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		for i := range clusters {
			clusters[i].DeletionTimestamp, clusters[i].Spec.Taints = nil, nil
		}
		r := drawRequest(t, "web", clusters)
		r.Previous, r.Strategy.ClusterAffinities = nil, nil
		r.Strategy.SpreadConstraints = []v1alpha1.SpreadConstraint{{SpreadByLabel: "rack", MinGroups: rapid.IntRange(1, 3).Draw(t, "racks")}}
		r.Strategy.Scorers = []v1alpha1.Scorer{{Name: "ResourceHeadroom"}}
		s := newScheduler(NewFleet(clusters, propertyTime, Options{}))
		q := s.fleet.newQuery(&r)
		a := s.try(q, q.order()[0])
		a.filter()
		a.weigh()
		a.measure()
		a.score()
		a.order()
		if len(a.eligible) == 0 {
			return
		}
		all := newSpread(a)
		if a.choose() != nil {
			return
		}
		chosen := uint32(0)
		for g := range all.groups {
			if slices.ContainsFunc(a.chosen, func(c *candidate) bool { return c.Labels["rack"] == all.groups[g].name }) {
				chosen |= 1 << g
			}
		}
		for mask := uint32(1); mask < 1<<len(all.groups); mask++ {
			c := all.choice(mask)
			if bits.OnesCount32(mask) != bits.OnesCount32(chosen) || all.roomOf(all.membersOf(c.groups())) < all.needed {
				continue
			}
			if best := all.choice(chosen); c.compare(best) < 0 {
				t.Fatalf("groups %b are chosen, %b are better: %+v", chosen, mask, all.groups)
			}
		}
	})
}
