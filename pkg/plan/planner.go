package plan

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// Options change how a Planner works, not what its plans mean.
type Options struct {
	// SecretDigest returns the digest that the executor records on a Secret, an HMAC with the hub's
	// key. Nil: whether a held Secret is as desired is judged by the fields that we own on it alone.
	SecretDigest func(*unstructured.Unstructured) string
}

// Planner computes plans and remembers by content what it worked out, so that the next plan costs
// what changed. Its plans are those of Compute. One goroutine at a time may use it; the plans that it
// gave may be used from several and stay good.
type Planner struct {
	options Options
	cache   *cache
	// earlier are the planners of the revisions that rollouts have not taken from every cluster yet.
	earlier map[string]*Planner
}

// NewPlanner returns a planner that remembers nothing yet.
func NewPlanner(o Options) *Planner { return &Planner{options: o, cache: newCache()} }

// Compute returns the plan for the trees of all sources on a fleet. It never fails: what cannot be
// read, placed or rendered is a finding, and what is held of it stays.
func Compute(trees Trees, snap Snapshot) *Plan { return NewPlanner(Options{}).Compute(trees, snap) }

// Compute returns the plan for the trees of all sources on a fleet.
func (p *Planner) Compute(trees Trees, snap Snapshot) *Plan {
	return p.rollOut(p.begin(trees, snap).run(), trees, snap)
}

func (c *computation) run() *Plan {
	// 1. What the trees already know to be wrong.
	c.collectProblems()
	// 2. Scope and namespace of every object.
	c.resolveScopes()
	// 3. What a tenant declares and may not.
	c.bound()
	// 4. One source for every object.
	c.resolveClaims()
	// 5. One policy for every object.
	c.resolveOwners()
	// 6. Clusters and shares for every workload, all together.
	c.decide()
	// 7. What follows: dependencies, then namespaces.
	c.followDependencies()
	c.followNamespaces()
	// 8. What each object looks like on each of its clusters, and what new copies take over from old ones.
	c.preserveStates()
	c.renderTargets()
	// 9. Desired against held: create, configure, unchanged, skip.
	c.compareTargets()
	// 10. Held but not desired: prune, given proof and within the guards.
	c.removeRest()
	// 11. Removals that wait for new copies.
	c.gateMoves()
	// 12. In order, with the gates that open while the plan is carried out.
	return c.finish()
}

// computation is one plan in the making.
type computation struct {
	planner *Planner
	snap    *Snapshot
	// config is that of the snapshot with every default filled in.
	config v1alpha1.ConfigSpec
	// sources by name.
	sources []*Source
	byName  map[string]*Source
	// bounds of the sources that have a tenant.
	bounds   map[*Source]*bounds
	clusters []*v1alpha1.Cluster
	clusterN map[string]int
	fleet    *placement.Fleet
	findings *findingSet
	scopes   scopes
	policies []*policy
	// declarations are all objects of all trees by key; items are those that won their key, sorted.
	declarations map[v1alpha1.ObjectKey][]*item
	items        []*item
	byKey        map[v1alpha1.ObjectKey]*item
	recorded     map[v1alpha1.ObjectKey]*v1alpha1.Placement
	overrides    *overrideSet
	// changes by cluster.
	changes [][]ObjectChange
	// secretsUnchecked marks clusters on which Secrets could not be compared.
	secretsUnchecked []bool
	// unknownClasses are, by kind of class, the clusters whose names of it are needed and not known.
	unknownClasses map[int]map[string]bool
	// moves by the key of the object that leaves, in the order of keys.
	moves moveSet
	// pacer lets evictions take turns.
	pacer *pacer
	// staying are the workloads that stay for now where they would have to leave.
	staying []*item
	// mentions tells whether a part of a source that could not be read has a word in it; nil: not known.
	mentions func(source, word string) bool
	// checks are those of manifests against schemas; nil until the first one.
	checks *schemaChecks
	// users are, by key, what refers to an object; nil until somebody asks.
	users map[v1alpha1.ObjectKey][]*item
	// explained keeps what placement was asked, in asked, for someone who asks why.
	explained bool
	asked     [][]placement.Request
}

// begin sorts the input, so that its order cannot show in the plan.
func (p *Planner) begin(trees Trees, snap Snapshot) *computation {
	c := &computation{
		planner:  p,
		snap:     &snap,
		config:   snap.Config,
		byName:   map[string]*Source{},
		bounds:   map[*Source]*bounds{},
		clusterN: map[string]int{},
		findings: newFindingSet(snap.Config.Plan),
		recorded: map[v1alpha1.ObjectKey]*v1alpha1.Placement{},
	}
	c.config.SetDefaults()
	p.cache.turn()
	c.findings.checkSeverities()
	for i := range trees {
		c.sources = append(c.sources, &trees[i])
	}
	slices.SortStableFunc(c.sources, func(a, b *Source) int { return strings.Compare(a.Source, b.Source) })
	for _, s := range c.sources {
		c.byName[s.Source] = s
		if b := newBounds(s); b != nil {
			c.bounds[s] = b
		}
	}
	for i := range snap.Clusters {
		c.clusters = append(c.clusters, &snap.Clusters[i])
	}
	slices.SortStableFunc(c.clusters, func(a, b *v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	c.clusters = slices.CompactFunc(c.clusters, func(a, b *v1alpha1.Cluster) bool { return a.Name == b.Name })
	c.changes, c.secretsUnchecked = make([][]ObjectChange, len(c.clusters)), make([]bool, len(c.clusters))
	for i, cl := range c.clusters {
		c.clusterN[cl.Name] = i
	}
	for i := range snap.Placements {
		r := &snap.Placements[i]
		c.recorded[r.Spec.Workload.Key()] = r
	}
	return c
}

// collectProblems takes over the findings of the trees, and says of each failed unit what it holds
// back.
func (c *computation) collectProblems() {
	for _, s := range c.sources {
		for _, f := range s.Problems {
			f.Repository = cmp.Or(f.Repository, s.Source)
			c.findings.add(f)
		}
	}
}

// source returns the source that a member's annotation names, written "name" or "namespace/name";
// nil if it is not among the trees.
func (c *computation) source(name string) *Source {
	if s := c.byName[name]; s != nil {
		return s
	}
	for _, s := range c.sources {
		if sameSource(s.Source, name) {
			return s
		}
	}
	return nil
}

// sameSource tells whether two spellings, "name" or "namespace/name", name one source.
func sameSource(a, b string) bool {
	if a == b {
		return true
	}
	aSpace, aName, aLong := strings.Cut(a, "/")
	bSpace, bName, bLong := strings.Cut(b, "/")
	switch {
	case aLong && bLong, a == "" || b == "":
		return false
	case aLong:
		return aName == bSpace
	case bLong:
		return bName == aSpace
	}
	return false
}

// member returns what a cluster holds.
func (c *computation) member(cluster int) Member { return c.snap.Members[c.clusters[cluster].Name] }

// held returns an object that a cluster holds.
func (c *computation) held(cluster int, k v1alpha1.ObjectKey) (Held, bool) {
	if h := c.member(cluster).Objects.Get(k); h != nil {
		return *h, true
	}
	return Held{}, false
}
