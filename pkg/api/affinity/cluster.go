package affinity

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Matcher is a compiled ClusterAffinity. The zero value selects every cluster.
type Matcher struct {
	excluded     map[string]bool
	names        map[string]bool
	sortedNames  []string
	requirements []labelRequirement
	fields       []fieldRequirement
}

// labelRequirement is one expression of a label selector with its values as explanations list them:
// a fleet asks for the same list once per cluster.
type labelRequirement struct {
	labels.Requirement
	values string
}

// fieldRequirement is one expression of a field selector.
type fieldRequirement struct {
	key    string
	in     bool
	values []string
}

// Compile prepares an affinity for matching; nil selects every cluster. The error names the part
// that does not compile: a label selector that Kubernetes refuses, or a field selector with another
// key than provider, region and zone, another operator than In and NotIn, or no values.
func Compile(a *v1alpha1.ClusterAffinity) (Matcher, error) {
	var m Matcher
	if a == nil {
		return m, nil
	}
	m.excluded = set(a.Exclude)
	if len(a.ClusterNames) > 0 {
		m.names = set(a.ClusterNames)
		m.sortedNames = slices.Compact(slices.Sorted(slices.Values(a.ClusterNames)))
	}
	requirements, err := compileLabels(a.LabelSelector)
	if err != nil {
		return Matcher{}, err
	}
	for _, r := range requirements {
		m.requirements = append(m.requirements, labelRequirement{r, list(slices.Sorted(slices.Values(r.ValuesUnsorted())))})
	}
	if a.FieldSelector == nil {
		return m, nil
	}
	for i, e := range a.FieldSelector.MatchExpressions {
		field, err := compileField(e)
		if err != nil {
			return Matcher{}, fmt.Errorf("fieldSelector.matchExpressions[%d]: %w", i, err)
		}
		m.fields = append(m.fields, field)
	}
	return m, nil
}

func compileLabels(s *metav1.LabelSelector) ([]labels.Requirement, error) {
	if s == nil {
		return nil, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("labelSelector: %w", err)
	}
	requirements, _ := selector.Requirements()
	return requirements, nil
}

func compileField(e corev1.NodeSelectorRequirement) (fieldRequirement, error) {
	switch e.Key {
	case string(v1alpha1.SpreadByProvider), string(v1alpha1.SpreadByRegion), string(v1alpha1.SpreadByZone):
	default:
		return fieldRequirement{}, fmt.Errorf("unknown key %q, want provider, region or zone", e.Key)
	}
	switch e.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
	default:
		return fieldRequirement{}, fmt.Errorf("unknown operator %q, want In or NotIn", e.Operator)
	}
	if len(e.Values) == 0 {
		return fieldRequirement{}, fmt.Errorf("operator %q of key %q needs values", e.Operator, e.Key)
	}
	return fieldRequirement{
		key: e.Key, in: e.Operator == corev1.NodeSelectorOpIn,
		values: slices.Compact(slices.Sorted(slices.Values(e.Values))),
	}, nil
}

// Match tells whether the affinity selects the cluster: exclude first, then every part that is
// present must match.
func (m Matcher) Match(c *v1alpha1.Cluster) bool {
	if m.excluded[c.Name] || m.names != nil && !m.names[c.Name] {
		return false
	}
	for i := range m.requirements {
		if !m.requirements[i].Matches(labels.Set(c.Labels)) {
			return false
		}
	}
	for i := range m.fields {
		if !m.fields[i].matches(c) {
			return false
		}
	}
	return true
}

// Explain says in a few words which part of the affinity rejects the cluster, such as
// "tier=silver not in (gold)"; it is empty for a cluster that matches. The first part that fails is
// named, in the order exclude, clusterNames, labelSelector, fieldSelector.
func (m Matcher) Explain(c *v1alpha1.Cluster) string {
	switch {
	case m.excluded[c.Name]:
		return "excluded by name"
	case m.names != nil && !m.names[c.Name]:
		return "not among clusterNames " + list(m.sortedNames)
	}
	for i := range m.requirements {
		if r := &m.requirements[i]; !r.Matches(labels.Set(c.Labels)) {
			return explainLabel(r, c.Labels)
		}
	}
	for i := range m.fields {
		if f := &m.fields[i]; !f.matches(c) {
			return f.explain(c)
		}
	}
	return ""
}

// All tells that the affinity restricts nothing.
func (m Matcher) All() bool {
	return len(m.excluded) == 0 && m.names == nil && len(m.requirements) == 0 && len(m.fields) == 0
}

func explainLabel(r *labelRequirement, have map[string]string) string {
	value, present := have[r.Key()]
	subject := r.Key() + "=" + value
	if !present {
		subject = "no label " + r.Key()
	}
	values := r.values
	switch r.Operator() {
	case selection.In, selection.Equals, selection.DoubleEquals:
		if !present {
			return subject + ", want in " + values
		}
		return subject + " not in " + values
	case selection.NotIn, selection.NotEquals:
		return subject + " in " + values + ", want not in"
	case selection.DoesNotExist:
		return subject + " present, want absent"
	default: // Exists
		return subject
	}
}

func (f fieldRequirement) matches(c *v1alpha1.Cluster) bool {
	have := Field(c, f.key)
	overlap := slices.ContainsFunc(have, func(v string) bool { return slices.Contains(f.values, v) })
	return overlap == f.in
}

func (f fieldRequirement) explain(c *v1alpha1.Cluster) string {
	have := Field(c, f.key)
	subject := f.key + "=" + strings.Join(have, ",")
	if len(have) == 0 {
		subject = "no " + f.key
	}
	switch {
	case f.in && len(have) == 0:
		return subject + ", want in " + list(f.values)
	case f.in:
		return subject + " not in " + list(f.values)
	}
	return subject + " in " + list(f.values) + ", want not in"
}

// Field returns the values of a cluster's field provider, region or zone: none where it is not set,
// several for a cluster in several zones. Karmada's deprecated spec.zone counts where there are no
// zones.
func Field(c *v1alpha1.Cluster, key string) []string {
	value := ""
	switch key {
	case string(v1alpha1.SpreadByProvider):
		value = c.Spec.Provider
	case string(v1alpha1.SpreadByRegion):
		value = c.Spec.Region
	case string(v1alpha1.SpreadByZone):
		if len(c.Spec.Zones) > 0 {
			return c.Spec.Zones
		}
		value = c.Spec.Zone
	}
	if value == "" {
		return nil
	}
	return []string{value}
}

// listed bounds how many values an explanation spells out.
const listed = 6

func list(values []string) string {
	if len(values) > listed {
		return fmt.Sprintf("(%s and %d more)", strings.Join(values[:listed], ", "), len(values)-listed)
	}
	return "(" + strings.Join(values, ", ") + ")"
}

func set(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[n] = true
	}
	return s
}
