package placement

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// clusterAffinity rejects clusters that no tier of the attempt's affinity group selects. Tiers that
// a group overflows into count only where capacity decides, since nothing else overflows.
func clusterAffinity(a *attempt) check {
	tiers := a.group.tiers
	if !a.query.division.byCapacity() {
		tiers = tiers[:1]
	}
	if tiers[0].matcher.All() {
		return nil
	}
	return func(c *candidate) string {
		for i := range tiers {
			if tiers[i].matcher.Match(c.Cluster) {
				c.tier = i
				return ""
			}
		}
		return tiers[0].matcher.Explain(c.Cluster)
	}
}

// describeAffinity says in a few words what an affinity asks for, "" where it asks for nothing.
func describeAffinity(a *v1alpha1.ClusterAffinity) string {
	if a == nil {
		return ""
	}
	var parts []string
	if a.LabelSelector != nil && len(a.LabelSelector.MatchLabels)+len(a.LabelSelector.MatchExpressions) > 0 {
		parts = append(parts, metav1.FormatLabelSelector(a.LabelSelector))
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
