package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// policy is a propagation policy with the source that declares it.
type policy struct {
	*v1alpha1.PropagationPolicy
	source *Source
	// place is where it is declared, as "file:line".
	place     string
	selectors affinity.Selectors
	// selects counts the objects that its selectors match, whoever owns them.
	selects int
}

// reference returns the policy as a plan names it.
func (p *policy) reference() PolicyReference {
	kind := v1alpha1.KindClusterPropagationPolicy
	if p.Namespace != "" {
		kind = v1alpha1.KindPropagationPolicy
	}
	return PolicyReference{Kind: kind, Namespace: p.Namespace, Name: p.Name, Source: p.place}
}

func (p *policy) String() string {
	ref := p.reference()
	if ref.Namespace == "" {
		return ref.Kind + " " + ref.Name
	}
	return ref.Kind + " " + ref.Namespace + "/" + ref.Name
}

func (p *policy) priority() int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// comparePolicies orders policies by rank without regard to an object: namespaced ones first, then
// higher priority.
func comparePolicies(a, b *policy) int {
	return cmp.Or(
		compareBool(a.Namespace == "", b.Namespace == ""),
		cmp.Compare(b.priority(), a.priority()),
	)
}

// compareNames breaks ties between policies of one rank.
func compareNames(a, b *policy) int {
	return cmp.Or(
		strings.Compare(a.Name, b.Name),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.source.Source, b.source.Source),
		a.Position.Compare(b.Position),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// reaches tells whether the policies of one source may concern the objects of another. Those of a
// tenant never do.
func reaches(from *Source, to string) bool {
	return sameSource(from.Source, to) || from.Spec.Tenant == nil &&
		slices.ContainsFunc(from.Spec.PoliciesFor, func(s string) bool { return sameSource(s, to) })
}

// resolveOwners gives every object the policy that it belongs to: a PropagationPolicy before any
// ClusterPropagationPolicy, then by priority, then by how narrowly it matched, then by name. It is a
// function of the commits alone: nobody keeps an object for having had it before.
func (c *computation) resolveOwners() {
	c.compilePolicies()
	var index affinity.Index
	for id, p := range c.policies {
		index.Add(id, p.selectors)
	}
	ties := map[[2]*policy][]*item{}
	for _, it := range c.items {
		hits := slices.DeleteFunc(index.Match(it.ref, it.GetLabels()), func(h affinity.Hit) bool {
			return !reaches(c.policies[h.ID].source, it.source.Source)
		})
		for _, h := range hits {
			c.policies[h.ID].selects++
		}
		if len(hits) == 0 {
			it.hold = cmp.Or(it.hold, Unclaimed)
			continue
		}
		slices.SortFunc(hits, func(a, b affinity.Hit) int {
			return cmp.Or(c.compareHits(a, b), compareNames(c.policies[a.ID], c.policies[b.ID]))
		})
		it.owner = c.policies[hits[0].ID]
		if len(hits) > 1 && c.compareHits(hits[0], hits[1]) == 0 {
			tie := [2]*policy{it.owner, c.policies[hits[1].ID]}
			ties[tie] = append(ties[tie], it)
		}
	}
	c.reportTies(ties)
	c.reportIdlePolicies()
}

func (c *computation) compareHits(a, b affinity.Hit) int {
	return cmp.Or(
		comparePolicies(c.policies[a.ID], c.policies[b.ID]),
		cmp.Compare(b.Level, a.Level),
	)
}

func (c *computation) compilePolicies() {
	for _, s := range c.sources {
		for i := range s.PropagationPolicies {
			declared := &s.PropagationPolicies[i]
			p := &policy{PropagationPolicy: declared, source: s, place: declared.Position.String()}
			selectors, err := affinity.CompileSelectors(p.Spec.ResourceSelectors, p.Namespace)
			if err != nil {
				c.findings.add(finding{
					ID: v1alpha1.FindingInvalidPolicy, Message: fmt.Sprintf("%s: %v", p, err),
					Source: p.place, Repository: s.Source,
				})
				continue
			}
			p.selectors = selectors
			c.policies = append(c.policies, p)
		}
	}
	slices.SortStableFunc(c.policies, func(a, b *policy) int {
		return cmp.Or(comparePolicies(a, b), compareNames(a, b))
	})
}

// reportTies names, once for each pair, the policies between which only the name decided.
func (c *computation) reportTies(ties map[[2]*policy][]*item) {
	for pair, items := range ties {
		c.findings.add(finding{
			ID: PolicyConflict,
			Message: fmt.Sprintf("%s and %s (%s) claim %s with equal rank; the lower name wins",
				pair[0], pair[1], pair[1].Position, describe(items)),
			Source: pair[0].place, Repository: pair[0].source.Source,
		})
	}
}

// describe names the first of some objects and counts the rest.
func describe(items []*item) string {
	if len(items) == 1 {
		return items[0].ref.String()
	}
	return fmt.Sprintf("%s and %d more", items[0].ref, len(items)-1)
}

// reportIdlePolicies names policies that select nothing, unless what they select may be in a unit
// that did not load.
func (c *computation) reportIdlePolicies() {
	for _, p := range c.policies {
		if p.selects > 0 {
			continue
		}
		f := finding{
			ID: PolicySelectsNothing, Message: fmt.Sprintf("%s selects no object", p),
			Source: p.place, Repository: p.source.Source,
		}
		if s := c.incompleteWith(p.source, p.Spec.ResourceSelectors); s != nil {
			f.ID = NotChecked
			f.Message = fmt.Sprintf("whether %s selects anything: part of source %q did not load", p, s.Source)
		}
		c.findings.add(f)
	}
}

// reportUnclaimed names the objects that go nowhere, with the clusters that still hold them.
func (c *computation) reportUnclaimed() {
	for _, it := range c.items {
		if it.hold != Unclaimed {
			continue
		}
		ref := it.ref
		f := finding{
			ID: Unclaimed, Message: fmt.Sprintf("no policy selects %s: it goes nowhere", ref),
			Source: it.Origin.Source, Object: &ref, Repository: it.source.Source,
		}
		for _, o := range it.copies {
			f.Clusters = append(f.Clusters, c.clusters[o.cluster].Name)
		}
		if len(f.Clusters) > 0 {
			f.Message = fmt.Sprintf("no policy selects %s: it stays as it is where it is held", ref)
		}
		c.findings.add(f)
	}
}

func byKey(items []*item) map[v1alpha1.ObjectKey]*item {
	m := make(map[v1alpha1.ObjectKey]*item, len(items))
	for _, it := range items {
		m[it.key] = it
	}
	return m
}
