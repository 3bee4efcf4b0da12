package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/render"
)

const (
	// ownNamespace is where the controller keeps its account and its records on every member.
	ownNamespace = "armada-system"
	// podSecurityPrefix is that of the labels by which a namespace says what its pods may do.
	podSecurityPrefix = "pod-security.kubernetes.io/"
	// anyOf in a pattern stands for any characters; as a whole kind, for every namespaced kind.
	anyOf = "*"
)

// bounds are what the GitSource of a tenant lets it do. They hold whatever the repository says, in every
// plan: what is outside is not planned, so that nobody has to refuse it later. Nil bounds nothing.
type bounds struct {
	tenant *v1alpha1.Tenant
	// clusters is what placement is asked to keep to; nil: every cluster.
	clusters *placement.Bound
	matchers []affinity.Matcher
}

// newBounds reads the bounds of a source. A selector of clusters that cannot be read selects none.
func newBounds(s *Source) *bounds {
	t := s.Spec.Tenant
	if t == nil {
		return nil
	}
	b := &bounds{tenant: t}
	if len(t.AllowedClusters) == 0 {
		return b
	}
	b.clusters = &placement.Bound{
		Name:       fmt.Sprintf("spec.tenant.allowedClusters of source %q", s.Source),
		Affinities: t.AllowedClusters,
	}
	for i := range t.AllowedClusters {
		if m, err := affinity.Compile(&t.AllowedClusters[i]); err == nil {
			b.matchers = append(b.matchers, m)
		}
	}
	return b
}

// forbids says why an object may not be declared; "" where it may.
func (b *bounds) forbids(ref v1alpha1.ObjectReference) string {
	if b == nil {
		return ""
	}
	namespace := ref.Namespace
	if isNamespace(ref) {
		namespace = ref.Name
	}
	switch {
	case namespace == ownNamespace:
		return fmt.Sprintf("namespace %q is the controller's own", namespace)
	case ref.Namespace == "" && !b.namesKind(ref):
		return fmt.Sprintf("%s is cluster-scoped and spec.tenant.allowedKinds does not name it", ref.GroupKind())
	case !b.allowsKind(ref):
		return fmt.Sprintf("%s is not among spec.tenant.allowedKinds (%s)", ref.GroupKind(), b.describeKinds())
	case namespace != "" && !b.allowsNamespace(namespace):
		return fmt.Sprintf("namespace %q is not among spec.tenant.allowedNamespaces (%s)", namespace, strings.Join(firstFew(b.tenant.AllowedNamespaces, 5), ", "))
	}
	return ""
}

func (b *bounds) allowsNamespace(name string) bool {
	return len(b.tenant.AllowedNamespaces) == 0 ||
		slices.ContainsFunc(b.tenant.AllowedNamespaces, func(pattern string) bool { return matchesPattern(pattern, name) })
}

func (b *bounds) allowsKind(ref v1alpha1.ObjectReference) bool {
	return len(b.tenant.AllowedKinds) == 0 || slices.ContainsFunc(b.tenant.AllowedKinds, func(k v1alpha1.AllowedKind) bool {
		return (k.Kind == anyOf || k.Kind == ref.Kind) && matchesPattern(k.Group, ref.Group())
	})
}

// namesKind tells whether an entry has the very name of a kind.
func (b *bounds) namesKind(ref v1alpha1.ObjectReference) bool {
	return slices.ContainsFunc(b.tenant.AllowedKinds, func(k v1alpha1.AllowedKind) bool {
		return k.Kind == ref.Kind && matchesPattern(k.Group, ref.Group())
	})
}

func (b *bounds) describeKinds() string {
	names := make([]string, 0, len(b.tenant.AllowedKinds))
	for _, k := range b.tenant.AllowedKinds {
		if k.Group == "" {
			names = append(names, k.Kind)
			continue
		}
		names = append(names, k.Kind+"."+k.Group)
	}
	return strings.Join(firstFew(names, 5), ", ")
}

// allowsCluster tells whether a cluster is within the bounds.
func (b *bounds) allowsCluster(c *v1alpha1.Cluster) bool {
	return b == nil || b.clusters == nil || slices.ContainsFunc(b.matchers, func(m affinity.Matcher) bool { return m.Match(c) })
}

// matchesPattern tells whether a name is that of a pattern in which * stands for any characters, none
// included.
func matchesPattern(pattern, name string) bool {
	parts := strings.Split(pattern, anyOf)
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	rest := name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return true
}

// bound marks what the tenants among the sources declare and may not: it claims nothing, goes nowhere,
// and what is held of it stays. It comes before claims, so that a name that a tenant takes in another's
// namespace takes nothing from the other.
func (c *computation) bound() {
	for _, declared := range c.declarations {
		for _, it := range declared {
			b := c.bounds[it.source]
			it.denied = b.forbids(it.ref)
			if labels := podSecurity(it.Unstructured); it.denied == "" && b != nil && isNamespace(it.ref) && len(labels) > 0 {
				it.denied = fmt.Sprintf("a tenant does not say what pods may do in a namespace, which its label %s does", firstFew(keys(labels), 1)[0])
			}
			if it.denied == "" {
				continue
			}
			it.hold = TenantNotAllowed
			c.reportDenied(it)
		}
	}
	for _, s := range c.sources {
		for i := range s.Clusters {
			c.reportCluster(s, &s.Clusters[i])
		}
	}
}

// reportCluster says that a tenant's repository does not add to the fleet.
func (c *computation) reportCluster(s *Source, cl *v1alpha1.Cluster) {
	if c.bounds[s] == nil {
		return
	}
	c.findings.add(finding{
		ID: TenantNotAllowed, Severity: v1alpha1.SeverityCaution, Source: cl.Position.String(), Repository: s.Source,
		Message: fmt.Sprintf("source %q may not declare Cluster %s: the fleet is not a tenant's; it has no effect", s.Source, cl.Name),
	})
}

// reportDenied names an object that its source may not declare, and where it is held all the same.
func (c *computation) reportDenied(it *item) {
	ref := it.ref
	f := finding{
		ID: TenantNotAllowed, Source: it.Origin.Source, Object: &ref, Repository: it.source.Source,
		Message: fmt.Sprintf("source %q may not declare %s: %s; it goes nowhere", it.source.Source, ref, it.denied),
	}
	for i, cl := range c.clusters {
		if h, held := c.held(i, it.key); held && c.source(h.Source) == it.source {
			f.Clusters = append(f.Clusters, cl.Name)
		}
	}
	if len(f.Clusters) > 0 {
		f.Message = fmt.Sprintf("source %q may not declare %s: %s; it stays as it is where it is held", it.source.Source, ref, it.denied)
	}
	c.findings.add(f)
}

// reportBeyond names clusters that a tenant's policy asks for by name and that its bounds exclude: the
// policy reads as if it reached them.
func (c *computation) reportBeyond() {
	for _, p := range c.policies {
		b := c.bounds[p.source]
		if b == nil || b.clusters == nil {
			continue
		}
		var beyond []string
		for _, name := range namedClusters(&p.Spec.Placement) {
			if i, known := c.clusterN[name]; known && !b.allowsCluster(c.clusters[i]) && !slices.Contains(beyond, name) {
				beyond = append(beyond, name)
			}
		}
		if len(beyond) == 0 {
			continue
		}
		c.findings.add(finding{
			ID: TenantNotAllowed, Severity: v1alpha1.SeverityCaution, Source: p.Position.String(), Repository: p.source.Source, Clusters: beyond,
			Message: fmt.Sprintf("%s names clusters that are outside of %s: %s", p, b.clusters.Name, strings.Join(firstFew(beyond, 5), ", ")),
		})
	}
}

// namedClusters are the clusters that a placement asks for by name.
func namedClusters(s *v1alpha1.PlacementStrategy) []string {
	var names []string
	if a := s.ClusterAffinity; a != nil {
		names = append(names, a.ClusterNames...)
	}
	for i := range s.ClusterAffinities {
		term := &s.ClusterAffinities[i]
		names = append(names, term.ClusterNames...)
		for j := range term.OverflowAffinities {
			names = append(names, term.OverflowAffinities[j].ClusterNames...)
		}
	}
	return names
}

// within leaves of some targets those on clusters that the source of an item may use.
func (c *computation) within(it *item, targets []target) []target {
	b := c.bounds[it.source]
	if b == nil || b.clusters == nil {
		return targets
	}
	var kept []target
	for _, t := range targets {
		if b.allowsCluster(c.clusters[t.cluster]) {
			kept = append(kept, t)
		}
	}
	return kept
}

// refusal says why placement must not place an item; "": it is to be placed.
func (c *computation) refusal(it *item) string {
	if it.denied == "" {
		return ""
	}
	return fmt.Sprintf("source %q may not declare it: %s", it.source.Source, it.denied)
}

// placementBound are the clusters that placement must keep an item to.
func (c *computation) placementBound(it *item) *placement.Bound {
	if b := c.bounds[it.source]; b != nil {
		return b.clusters
	}
	return nil
}

// leads tells whether an item has a say in where others are: one that its source may not declare has
// none, unless it is somewhere.
func (c *computation) leads(it *item) bool { return it.denied == "" || len(it.copies) > 0 }

// keepOutside keeps what a tenant holds where it may no longer be. Narrower bounds say what may be
// applied from now on. That what is there has to go is for somebody to say, since it may serve.
func (c *computation) keepOutside(cluster int, held Held, source *Source) (v1alpha1.Gate, string) {
	b := c.bounds[source]
	if b == nil || source.Leaving || pruneAllowed(source) {
		return "", ""
	}
	if b.forbids(held.ObjectReference) == "" && b.allowsCluster(c.clusters[cluster]) {
		return "", ""
	}
	return v1alpha1.GateHeld.Of(heldOutsideBounds), fmt.Sprintf(
		"spec.tenant of source %q does not cover them any more; %s: %s on the GitSource removes what is gone from Git or from the clusters it may use",
		source.Source, v1alpha1.AnnotationAllowPrune, source.Revision)
}

// checkPodSecurity says why a tenant's Namespace must not be applied as it is rendered: the tenant's
// overrides change what pods may do in it. What the overrides of others say stays, and is compared with.
func (c *computation) checkPodSecurity(it *item, t *target, rendered render.Rendered) {
	if c.bounds[it.source] == nil || !isNamespace(it.ref) {
		return
	}
	label := ""
	others, err := c.overrides.ofOthers[it.source].For(it.Object, c.clusters[t.cluster], nil)
	if err != nil {
		t.denied = fmt.Sprintf("what pods may do in it cannot be told: %v", err)
	} else {
		t.denied, label = podSecurityChange(podSecurity(others.Object), podSecurity(rendered.Object))
	}
	if t.denied == "" {
		return
	}
	ref := it.ref
	f := finding{
		ID: TenantNotAllowed, Source: it.Origin.Source, Object: &ref, Repository: it.source.Source, Clusters: []string{c.clusters[t.cluster].Name},
		Message: fmt.Sprintf("source %q may not have %s as overridden: %s", it.source.Source, ref, t.denied),
	}
	if _, set := rendered.Object.GetLabels()[label]; set {
		f.Source = rendered.OriginOf("/metadata/labels/" + strings.ReplaceAll(label, "/", "~1")).Source
	} else if n := len(rendered.Overrides); n > 0 {
		f.Source = rendered.Overrides[n-1]
	}
	c.findings.add(f)
}

// podSecurity returns the labels of an object that say what pods may do in it.
func podSecurity(o *unstructured.Unstructured) map[string]string {
	labels := map[string]string{}
	for name, value := range o.GetLabels() {
		if strings.HasPrefix(name, podSecurityPrefix) {
			labels[name] = value
		}
	}
	return labels
}

// podSecurityChange says of the first label by name in which two sets differ what happens to it; "" where
// they are equal.
func podSecurityChange(from, to map[string]string) (why, label string) {
	changed := map[string]string{}
	for name, value := range to {
		if old, had := from[name]; !had || old != value {
			changed[name] = "sets"
		}
	}
	for name := range from {
		if _, has := to[name]; !has {
			changed[name] = "removes"
		}
	}
	if len(changed) == 0 {
		return "", ""
	}
	label = keys(changed)[0]
	return fmt.Sprintf("an override of the tenant %s its label %s, which says what pods may do", changed[label], label), label
}
