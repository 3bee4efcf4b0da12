package placement

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// clusterAffinity rejects clusters outside of the request's bound, and those that no tier of the
// attempt's affinity group selects.
func clusterAffinity(a *attempt) check {
	outside, unselected := outsideBound(a), notSelected(a)
	switch {
	case outside == nil:
		return unselected
	case unselected == nil:
		return outside
	}
	return func(c *candidate) string { return cmp.Or(outside(c), unselected(c)) }
}

// outsideBound rejects clusters that no affinity of the request's bound selects.
func outsideBound(a *attempt) check {
	if a.query.Bound == nil {
		return nil
	}
	verdicts := make([]func(*candidate) string, len(a.query.bound))
	for i := range verdicts {
		verdicts[i] = a.verdicts(&a.query.bound[i])
	}
	reason := "outside of " + a.query.Bound.Name
	return func(c *candidate) string {
		why := ""
		for _, verdict := range verdicts {
			if why = verdict(c); why == "" {
				return ""
			}
		}
		if len(verdicts) != 1 {
			return reason
		}
		return reason + ": " + why
	}
}

// notSelected rejects clusters that no tier of the attempt's affinity group selects. Tiers that a
// group overflows into count only where capacity decides, since nothing else overflows.
func notSelected(a *attempt) check {
	tiers := a.group.tiers
	if !a.query.division.byCapacity() {
		tiers = tiers[:1]
	}
	if tiers[0].matcher.All() {
		return nil
	}
	verdicts := make([]func(*candidate) string, len(tiers))
	for i := range tiers {
		verdicts[i] = a.verdicts(&tiers[i])
	}
	return func(c *candidate) string {
		why := verdicts[0](c)
		for i := 1; why != "" && i < len(verdicts); i++ {
			if verdicts[i](c) == "" {
				c.tier = i
				return ""
			}
		}
		return why
	}
}

// verdicts asks the affinity of a tier once about each class of clusters.
func (a *attempt) verdicts(t *tier) func(*candidate) string {
	type verdict struct {
		known  bool
		reason string
	}
	by := a.classesBy(t.facets)
	known := make([]verdict, by.count)
	return func(c *candidate) string {
		v := &known[by.of[c.index]]
		if !v.known {
			v.known = true
			if !t.matcher.Match(c.Cluster) {
				v.reason = t.matcher.Explain(c.Cluster)
			}
		}
		return v.reason
	}
}

// describeAffinity says in a few words what an affinity asks for, "" where it asks for nothing.
func describeAffinity(a *v1alpha1.ClusterAffinity) string {
	if a == nil {
		return ""
	}
	var parts []string
	if a.LabelSelector != nil && len(a.LabelSelector.MatchLabels)+len(a.LabelSelector.MatchExpressions) > 0 {
		parts = append(parts, describeLabels(a.LabelSelector))
	}
	if a.FieldSelector != nil {
		for _, e := range a.FieldSelector.MatchExpressions {
			parts = append(parts, e.Key+" "+strings.ToLower(string(e.Operator))+" ("+strings.Join(e.Values, ",")+")")
		}
	}
	if len(a.ClusterNames) > 0 {
		parts = append(parts, "named in clusterNames")
	}
	if len(parts) == 0 && len(a.Exclude) > 0 {
		parts = append(parts, "not excluded")
	}
	return strings.Join(parts, ", ")
}

// describeLabels writes a label selector in the notation of kubectl, sorted by key.
func describeLabels(s *metav1.LabelSelector) string {
	type term struct{ key, text string }
	terms := make([]term, 0, len(s.MatchLabels)+len(s.MatchExpressions))
	for key, value := range s.MatchLabels {
		terms = append(terms, term{key, key + "=" + value})
	}
	for i := range s.MatchExpressions {
		e := &s.MatchExpressions[i]
		text := e.Key
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			text += " in (" + strings.Join(slices.Sorted(slices.Values(e.Values)), ",") + ")"
		case metav1.LabelSelectorOpNotIn:
			text += " notin (" + strings.Join(slices.Sorted(slices.Values(e.Values)), ",") + ")"
		case metav1.LabelSelectorOpDoesNotExist:
			text = "!" + text
		case metav1.LabelSelectorOpExists:
		}
		terms = append(terms, term{e.Key, text})
	}
	slices.SortFunc(terms, func(x, y term) int { return cmp.Or(strings.Compare(x.key, y.key), strings.Compare(x.text, y.text)) })
	texts := make([]string, len(terms))
	for i := range terms {
		texts[i] = terms[i].text
	}
	return strings.Join(texts, ",")
}
