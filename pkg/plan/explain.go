package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// Question asks why an object is where it is.
type Question struct {
	// Kind as kubectl spells kinds: Deployment, deployment, deployments, deploy, deployments.apps. Empty:
	// any kind that has replicas, or any kind where no such object has the name.
	Kind string
	Name string
	// Namespace of the object; empty: any.
	Namespace string
	// Cluster, where not empty, is one of which to say why it is chosen or not, and what would have to
	// change.
	Cluster string
	// Assumptions are what the snapshot has been changed by, for the record.
	Assumptions []string
}

// Explanation is why one object is where it is. No list of it is nil.
type Explanation struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Workload   v1alpha1.ObjectReference `json:"workload"`
	// Source is the GitSource, Revision the commit, and Declared the file:line that declare the object.
	Source   string `json:"source"`
	Revision string `json:"revision"`
	Declared string `json:"declared"`
	// FleetDigest identifies the fleet that was decided about.
	FleetDigest string `json:"fleetDigest"`
	// Assumptions are what was assumed of the fleet.
	Assumptions []string `json:"assumptions"`
	// Policies are all that select the object; the first one decides.
	Policies []PolicyClaim `json:"policies"`
	// Decision is the one that plan and preview carry; nil where no policy owns the object.
	Decision *placement.Decision `json:"decision"`
	// Trace is how the decision came about; nil without one.
	Trace *placement.Trace `json:"trace"`
	// Follows are objects that take it along: those that refer to it and whose policy says
	// propagateDeps, and for a namespace those in it.
	Follows []v1alpha1.ObjectReference `json:"follows"`
	// Objects are what happens to it on each cluster that has it or is to have it.
	Objects []ExplainedObject `json:"objects"`
	// Failover is what failures and moves have to do with it; nil: nothing, now.
	Failover *ExplainedFailover `json:"failover,omitempty"`
	// Waiting is what is to happen to it on clusters that has not happened yet: timers that run, evictions
	// that are held back, old copies that go later.
	Waiting []v1alpha1.ClusterMessage `json:"waiting"`
	// Rollout is how far the source's commit has come where it spreads step by step; nil where it does not.
	Rollout  *RolloutEntry      `json:"rollout,omitempty"`
	Findings []v1alpha1.Finding `json:"findings"`

	// at is the time that it is about.
	at time.Time
}

// PolicyClaim is a policy that selects an object.
type PolicyClaim struct {
	PolicyReference
	// Repository is the name of the GitSource that declares the policy.
	Repository string `json:"repository"`
	Priority   int32  `json:"priority"`
	// Match is how narrowly it selects the object: name, labelSelector or all.
	Match string `json:"match"`
	// Why it decides, or what the one that decides has over it.
	Why string `json:"why"`
}

// ExplainedObject is what happens to the object on one cluster.
type ExplainedObject struct {
	Cluster string          `json:"cluster"`
	Action  v1alpha1.Action `json:"action"`
	Gate    v1alpha1.Gate   `json:"gate"`
	Reason  string          `json:"reason"`
	// Overrides are the file:line of the rules that changed it.
	Overrides []string `json:"overrides"`
	// Health of what is there, and in words why it is not healthy; empty: nothing is there, or it is not known.
	Health        v1alpha1.Health `json:"health,omitempty"`
	HealthMessage string          `json:"healthMessage,omitempty"`
	// Problem is why it could not be written, as a running controller knows; empty: it could, or was not tried.
	Problem string `json:"problem,omitempty"`
}

// Explain computes the plan for the trees of all sources on a fleet and says why one object is where it
// is. An error says that no object, or more than one, is meant.
func Explain(trees Trees, snap Snapshot, q Question) (*Explanation, error) {
	if len(q.Assumptions) == 0 {
		snap.Guards = snap.guards()
	}
	c := NewPlanner(Options{}).begin(trees, snap)
	c.explained = true
	p := c.run()
	it, err := c.find(q)
	if err != nil {
		return nil, err
	}
	if _, ok := c.clusterN[q.Cluster]; !ok && q.Cluster != "" {
		return nil, fmt.Errorf("cluster %q: the fleet has no such cluster", q.Cluster)
	}
	e := &Explanation{
		APIVersion: v1alpha1.APIVersion, Kind: "Explanation", Workload: it.ref,
		Source: it.source.Source, Revision: it.source.Revision, Declared: it.Origin.Source, FleetDigest: snap.FleetDigest,
		Assumptions: append([]string{}, q.Assumptions...), Policies: c.claims(it), Follows: c.leaders(it), Objects: []ExplainedObject{},
		Waiting: []v1alpha1.ClusterMessage{}, Findings: []v1alpha1.Finding{}, at: snap.Now,
	}
	if it.entry != nil {
		e.Decision = &it.entry.Decision
		e.Trace = c.trace(it, q.Cluster)
		e.Failover = c.explainFailover(it)
		e.Waiting = append(e.Waiting, it.entry.Waiting...)
	}
	for i := range p.Rollouts {
		if r := &p.Rollouts[i]; r.Source == e.Source {
			e.Rollout = r
		}
	}
	for _, cl := range p.Clusters {
		for _, ch := range cl.Objects {
			if ch.Key() == it.key {
				e.Objects = append(e.Objects, c.explainObject(cl.Name, ch))
			}
		}
	}
	for _, f := range p.Findings {
		if f.Object != nil && f.Object.Key() == it.key {
			e.Findings = append(e.Findings, f)
		}
	}
	return e, nil
}

// explainObject says what happens to an object on a cluster, and how what is there fares.
func (c *computation) explainObject(cluster string, ch ObjectChange) ExplainedObject {
	o := ExplainedObject{Cluster: cluster, Action: ch.Action, Gate: ch.Gate, Reason: ch.Reason, Overrides: append([]string{}, ch.Overrides...)}
	if held, ok := c.held(c.clusterN[cluster], ch.Key()); ok {
		o.Health, o.HealthMessage = held.Health, held.Detail().HealthMessage
	}
	return o
}

// trace decides once more what was decided together with an item, and looks on.
func (c *computation) trace(it *item, cluster string) *placement.Trace {
	for _, requests := range c.asked {
		if _, t, ok := placement.Explain(requests, c.fleet, it.key, cluster); ok {
			return t
		}
	}
	return nil
}

// claims lists the policies that select an item by rank.
func (c *computation) claims(it *item) []PolicyClaim {
	var index affinity.Index
	for id, p := range c.policies {
		index.Add(id, p.selectors)
	}
	hits := slices.DeleteFunc(index.Match(it.ref, it.GetLabels()), func(h affinity.Hit) bool {
		return !reaches(c.policies[h.ID].source, it.source.Source)
	})
	slices.SortFunc(hits, func(a, b affinity.Hit) int {
		return cmp.Or(c.compareHits(a, b), compareNames(c.policies[a.ID], c.policies[b.ID]))
	})
	claims := []PolicyClaim{}
	for i, h := range hits {
		p := c.policies[h.ID]
		claims = append(claims, PolicyClaim{
			PolicyReference: p.reference(), Repository: p.source.Source, Priority: p.priority(), Match: h.Level.String(),
			Why: c.whyClaim(hits[0], hits[min(i, len(hits)-1)], i, len(hits)),
		})
	}
	return claims
}

// whyClaim says why the first of some policies decides and another does not.
func (c *computation) whyClaim(first, h affinity.Hit, at, count int) string {
	winner, p := c.policies[first.ID], c.policies[h.ID]
	switch {
	case count == 1:
		return "decides: it is the only one"
	case at == 0:
		return "decides"
	case winner.Namespace != "" && p.Namespace == "":
		return "a PropagationPolicy comes before any ClusterPropagationPolicy"
	case winner.priority() != p.priority():
		return fmt.Sprintf("priority %d comes before %d", winner.priority(), p.priority())
	case first.Level != h.Level:
		return fmt.Sprintf("a selector by %s comes before one by %s", first.Level, h.Level)
	}
	return "equal in rank; the lower name comes first"
}

// leaders are the items that take another along.
func (c *computation) leaders(it *item) []v1alpha1.ObjectReference {
	list := []v1alpha1.ObjectReference{}
	for _, other := range c.items {
		takes := other.owner != nil && other.owner.Spec.PropagateDeps && slices.Contains(other.traits.needs, it.key) &&
			reaches(other.owner.source, it.source.Source)
		if takes || isNamespace(it.ref) && other.ref.Namespace == it.ref.Name {
			list = append(list, other.ref)
		}
	}
	return list
}

// find returns the item that a question is about.
func (c *computation) find(q Question) (*item, error) {
	var found []*item
	for _, it := range c.items {
		if it.ref.Name == q.Name && (q.Namespace == "" || it.ref.Namespace == q.Namespace) && c.spells(q.Kind, it) {
			found = append(found, it)
		}
	}
	if q.Kind == "" {
		if workloads := slices.DeleteFunc(slices.Clone(found), func(it *item) bool { return it.facts.Replicas == nil }); len(workloads) > 0 {
			found = workloads
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	what := q.Name
	if q.Kind != "" {
		what = q.Kind + "/" + q.Name
	}
	if q.Namespace != "" {
		what += " in namespace " + q.Namespace
	}
	if len(found) > 1 {
		var names []string
		for _, it := range found {
			names = append(names, it.ref.GroupKind()+" "+strings.TrimPrefix(it.ref.Namespace+"/"+it.ref.Name, "/"))
		}
		return nil, fmt.Errorf("%s means %d objects: %s", what, len(found), strings.Join(firstFewInOrder(names, 6), ", "))
	}
	return nil, fmt.Errorf("%s: no source declares such an object%s", what, c.likeNamed(q.Name))
}

// likeNamed names objects of the same name, for those who mistook the kind or the namespace.
func (c *computation) likeNamed(name string) string {
	var names []string
	for _, it := range c.items {
		if it.ref.Name == name {
			names = append(names, it.ref.String())
		}
	}
	text := ""
	if len(names) > 0 {
		text = "; of that name there is " + strings.Join(firstFewInOrder(names, 4), ", ")
	}
	for _, s := range c.sources {
		if !s.Complete() {
			text += fmt.Sprintf("; part of source %q did not load: %s", s.Source, strings.Join(firstFew(s.FailedUnits, 3), ", "))
		}
	}
	return text
}

// spells tells whether a kind as people spell it is that of an item: the kind, its plural, a short name,
// each in any case and with a group or not.
func (c *computation) spells(kind string, it *item) bool {
	if kind == "" {
		return true
	}
	name, group, qualified := strings.Cut(strings.ToLower(kind), ".")
	if qualified && group != it.key.Group {
		_, version, _ := strings.Cut(it.ref.APIVersion, "/")
		if version == "" {
			version = it.ref.APIVersion
		}
		if group != strings.TrimSuffix(version+"."+it.key.Group, ".") {
			return false
		}
	}
	return spellsName(name, it.key.Kind) || slices.Contains(c.customNames(it), name)
}

// spellsName tells whether a name in lower case is that of a kind: its own, its plural or a short one.
func spellsName(name, kind string) bool {
	own := strings.ToLower(kind)
	return name == own || slices.Contains(plurals(own), name) ||
		slices.ContainsFunc(shortKinds(), func(s shortKind) bool { return s.short == name && s.kind == kind })
}

// SpellsKind tells whether a kind as people spell it, with a group or not, is that of an object. The short
// names of custom kinds are not known here.
func SpellsKind(kind string, ref v1alpha1.ObjectReference) bool {
	name, group, qualified := strings.Cut(strings.ToLower(kind), ".")
	return (!qualified || group == ref.Group()) && spellsName(name, ref.Kind)
}

// plurals are those that Kubernetes' rules give a kind.
func plurals(kind string) []string {
	switch {
	case strings.HasSuffix(kind, "s"), strings.HasSuffix(kind, "x"), strings.HasSuffix(kind, "ch"):
		return []string{kind + "es", kind} // ingresses, and endpoints, which is one already
	case strings.HasSuffix(kind, "y") && !strings.HasSuffix(kind, "ey") && !strings.HasSuffix(kind, "ay"):
		return []string{kind[:len(kind)-1] + "ies"}
	}
	return []string{kind + "s"}
}

// customNames are the names that the CRD of an item's kind gives it, where Git has the CRD.
func (c *computation) customNames(it *item) []string {
	for _, crd := range c.items {
		if gk := crd.traits.defines; gk == nil || *gk != (groupKind{it.key.Group, it.key.Kind}) {
			continue
		}
		names, _, _ := unstructured.NestedStringSlice(crd.Unstructured.Object, "spec", "names", "shortNames")
		for _, field := range []string{"plural", "singular"} {
			name, _, _ := unstructured.NestedString(crd.Unstructured.Object, "spec", "names", field)
			names = append(names, name)
		}
		return names
	}
	return nil
}

type shortKind struct{ short, kind string }

// shortKinds are the short names of Kubernetes' own kinds, as kubectl api-resources lists them.
func shortKinds() []shortKind {
	return []shortKind{
		{"cm", "ConfigMap"}, {"crd", "CustomResourceDefinition"}, {"crds", "CustomResourceDefinition"}, {"cj", "CronJob"},
		{"deploy", "Deployment"}, {"ds", "DaemonSet"}, {"ep", "Endpoints"}, {"hpa", "HorizontalPodAutoscaler"},
		{"ing", "Ingress"}, {"limits", "LimitRange"}, {"netpol", "NetworkPolicy"}, {"ns", "Namespace"},
		{"pc", "PriorityClass"}, {"pdb", "PodDisruptionBudget"}, {"po", "Pod"}, {"pv", "PersistentVolume"},
		{"pvc", "PersistentVolumeClaim"}, {"quota", "ResourceQuota"}, {"rc", "ReplicationController"},
		{"rs", "ReplicaSet"}, {"sa", "ServiceAccount"}, {"sc", "StorageClass"}, {"sts", "StatefulSet"}, {"svc", "Service"},
	}
}
