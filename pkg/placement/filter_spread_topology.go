package placement

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// spreadTopology rejects clusters on which the field or label that a spread constraint groups by is
// not set: they would belong to no group.
func spreadTopology(a *attempt) check {
	var constraints []v1alpha1.SpreadConstraint
	for _, c := range a.query.constraints {
		if c.SpreadByField != v1alpha1.SpreadByCluster {
			constraints = append(constraints, c)
		}
	}
	if len(constraints) == 0 {
		return nil
	}
	return func(c *candidate) string {
		for i := range constraints {
			if len(groupsOf(c.cluster, &constraints[i])) > 0 {
				continue
			}
			if label := constraints[i].SpreadByLabel; label != "" {
				return "no label " + label + ", which a spread constraint groups by"
			}
			return "no " + string(constraints[i].SpreadByField) + ", which a spread constraint groups by"
		}
		return ""
	}
}

// groupsOf returns the groups of a constraint that a cluster belongs to: several for zones.
func groupsOf(c *cluster, constraint *v1alpha1.SpreadConstraint) []string {
	if label := constraint.SpreadByLabel; label != "" {
		if value, ok := c.Labels[label]; ok {
			return []string{value}
		}
		return nil
	}
	switch constraint.SpreadByField {
	case v1alpha1.SpreadByCluster:
		return []string{c.Name}
	case v1alpha1.SpreadByZone:
		return c.zones
	case v1alpha1.SpreadByRegion:
		return c.regions
	case v1alpha1.SpreadByProvider:
		return c.providers
	}
	return nil
}
