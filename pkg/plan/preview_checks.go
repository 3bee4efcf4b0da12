package plan

import (
	"cmp"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// check is one thing that a preview looks at.
type check struct {
	id, about string
	// findings are the ids that speak of it.
	findings []string
	// known tells whether the snapshot has what the check needs of a cluster; nil: it needs nothing.
	known func(v *preview, c *v1alpha1.Cluster) bool
}

// previewChecks lists what every preview looks at. A check that a snapshot lacks the facts for says so,
// and never that all is well.
func previewChecks() []check {
	return []check{
		{
			"api-served", "API served", []string{APINotServed},
			func(_ *preview, c *v1alpha1.Cluster) bool { return len(c.Status.APIEnablements) > 0 },
		},
		{"schema", "schema", []string{SchemaInvalid}, (*preview).knowsSchema},
		{"api-age", "API removed or deprecated", []string{APIRemoved, APIDeprecated}, (*preview).knowsVersion},
		{"immutable", "immutable fields", []string{ImmutableField, PVCShrink}, nil},
		{
			"references", "references (ConfigMap, Secret, ServiceAccount, PersistentVolumeClaim, classes)", []string{MissingReference},
			(*preview).knowsClasses,
		},
		{
			"overrides", "overrides apply",
			[]string{v1alpha1.FindingOverrideFailed, v1alpha1.FindingOverrideConflict, v1alpha1.FindingOverrideNoMatch}, nil,
		},
		{
			"headroom", "room for the replicas", []string{Headroom, UnassignedReplicas},
			func(_ *preview, c *v1alpha1.Cluster) bool { return c.Status.ResourceSummary != nil },
		},
		{
			"failover", "room for what a lost cluster has", []string{FailoverWouldViolate},
			func(v *preview, c *v1alpha1.Cluster) bool { return !v.unasked[c.Name] },
		},
		{"rights", "rights and what pods may do", []string{RBACWidened, Privileged}, nil},
		{"prune", "data that goes or stays behind", []string{PruneData, PruneLastReplica}, (*preview).knowsHeld},
		{"drift", "drift of what is there", []string{}, (*preview).knowsDrift},
	}
}

// knowsVersion tells whether the snapshot says which version of Kubernetes a cluster runs.
func (v *preview) knowsVersion(c *v1alpha1.Cluster) bool {
	_, err := schema.ParseVersion(cmp.Or(v.head.at.snap.Facts[c.Name].Version, c.Status.KubernetesVersion))
	return err == nil
}

// knowsSchema tells whether the schemas of a cluster are known: its own, or those of its version.
func (v *preview) knowsSchema(c *v1alpha1.Cluster) bool {
	return v.head.at.snap.Facts[c.Name].Schemas != nil || v.knowsVersion(c)
}

// knowsClasses tells whether all classes that objects name on a cluster could be looked up.
func (v *preview) knowsClasses(c *v1alpha1.Cluster) bool {
	for _, names := range v.head.at.unknownClasses {
		if names[c.Name] {
			return false
		}
	}
	return true
}

func (v *preview) knowsHeld(c *v1alpha1.Cluster) bool { return v.base.at.snap.Members[c.Name].Known }

// knowsDrift tells whether the snapshot says of any object on a cluster who owns its fields.
func (v *preview) knowsDrift(c *v1alpha1.Cluster) bool {
	for held := range v.base.at.snap.Members[c.Name].Objects.All() {
		if held.OwnedFields != "" || len(held.Detail().Drift) > 0 {
			return true
		}
	}
	return false
}

// checks says of each check on which of the concerned clusters it was made, and what came out.
func (v *preview) checks() []ReportCheck {
	all := []ReportCheck{}
	if v.head.at == nil || v.base.at == nil {
		return all
	}
	concerned := v.concerned()
	for _, c := range previewChecks() {
		r := ReportCheck{ID: c.id, About: c.about, Findings: c.findings, NotChecked: []string{}}
		for _, cl := range v.head.at.clusters {
			switch {
			case !concerned[cl.Name]:
			case c.known == nil || c.known(v, cl):
				r.Checked++
			default:
				r.NotChecked = append(r.NotChecked, cl.Name)
			}
		}
		failed := map[string]bool{}
		for _, f := range v.report.Findings {
			if !slices.Contains(c.findings, f.ID) {
				continue
			}
			if f.Severity.Rank() > r.Severity.Rank() {
				r.Severity = f.Severity
			}
			for _, name := range f.Clusters {
				failed[name] = true
			}
		}
		r.Failed = keys(failed)
		all = append(all, r)
	}
	return all
}

// concerned are the clusters that the change writes to, and those that keep a share of a workload that it
// moves.
func (v *preview) concerned() map[string]bool {
	names := map[string]bool{}
	for name := range v.changed {
		names[name] = true
	}
	for i := range v.report.Placements {
		for _, a := range v.report.Placements[i].Clusters {
			names[a.Name] = true
		}
	}
	return names
}
