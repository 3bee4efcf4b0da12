package fidelity

import (
	"slices"
	"testing"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestPlantedDifferences makes sure that the comparison can find something: each lie in a report must be
// found in the first commits in which it can be told.
func TestPlantedDifferences(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]distortion{
		"a cluster is left out of a change":     inGroup(v1alpha1.ActionConfigure, func(g *plan.ReportGroup) { g.Clusters = g.Clusters[1:] }),
		"a removal is not told":                 inGroup(v1alpha1.ActionPrune, func(g *plan.ReportGroup) { g.Objects = g.Objects[1:] }),
		"an object is told that does not come":  inGroup(v1alpha1.ActionCreate, func(g *plan.ReportGroup) { g.Objects[0].Name += "-other" }),
		"a change is told as a removal":         inGroup(v1alpha1.ActionConfigure, func(g *plan.ReportGroup) { g.Action = v1alpha1.ActionPrune }),
		"a field has another value":             inField(func(f *plan.ReportField) { f.New = "something else" }),
		"a field had another value":             inField(func(f *plan.ReportField) { f.Old = "something else" }),
		"a changed field is left out":           inGroup(v1alpha1.ActionConfigure, func(g *plan.ReportGroup) { g.Fields = g.Fields[1:] }),
		"equal values of a Secret look unequal": inSecret("value #1000"),
		"a share is not what it will be":        inShares(func(a *plan.ReportAssignment) { a.After = more(a.After) }),
		"a share is not what it was":            inShares(func(a *plan.ReportAssignment) { a.Before = more(a.Before) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tries = 40
			for seed := range uint64(tries) {
				told := false
				_, found := play(t, seed+1, func(r *plan.Report) bool {
					if told {
						return false
					}
					told = lie(r)
					return told
				})
				if told && len(found) == 0 {
					t.Fatalf("seed %d: nobody noticed", seed+1)
				}
				if told {
					t.Logf("seed %d: %s", seed+1, found[0])
					return
				}
			}
			t.Errorf("there was no occasion in %d seeds", tries)
		})
	}
}

func inGroup(action v1alpha1.Action, change func(*plan.ReportGroup)) distortion {
	return func(r *plan.Report) bool {
		i := slices.IndexFunc(r.Groups, func(g plan.ReportGroup) bool {
			return g.Action == action && (action != v1alpha1.ActionConfigure || len(g.Fields) > 0)
		})
		if i >= 0 {
			change(&r.Groups[i])
		}
		return i >= 0
	}
}

// inField changes a field that has one value on all clusters.
func inField(change func(*plan.ReportField)) distortion {
	return func(r *plan.Report) bool {
		for i := range r.Groups {
			if g := &r.Groups[i]; g.Object.Kind != "Secret" && len(g.Fields) > 0 && g.Fields[0].Values == nil {
				change(&g.Fields[0])
				return true
			}
		}
		return false
	}
}

// inSecret gives another number to one of two equal values of a Secret.
func inSecret(number string) distortion {
	return func(r *plan.Report) bool {
		for _, g := range r.Groups {
			if g.Object.Kind != "Secret" {
				continue
			}
			seen := map[any]bool{}
			for i := range g.Fields {
				if f := &g.Fields[i]; f.New != nil && seen[f.New] {
					f.New = number
					return true
				}
				seen[g.Fields[i].New] = true
			}
		}
		return false
	}
}

func inShares(change func(*plan.ReportAssignment)) distortion {
	return func(r *plan.Report) bool {
		for _, p := range r.Placements {
			for i := range p.Clusters {
				if a := &p.Clusters[i]; a.Action == plan.PlacementRescale {
					change(a)
					return true
				}
			}
		}
		return false
	}
}

func more(n *int64) *int64 {
	m := *n + 1
	return &m
}
