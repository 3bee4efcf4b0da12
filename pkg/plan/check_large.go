package plan

import (
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// From which sizes on it is worth a word that a change touches much of what there is.
const (
	largeFleet    = 10
	largeObjects  = 20
	largePods     = 50
	removedShare  = 4
	touchedShare  = 2
	restartsShare = 2
)

// reportLargeChange names changes that touch most of the clusters, remove much of what is there, or replace
// most of the pods.
func (v *preview) reportLargeChange() {
	if total := len(v.head.Clusters); total >= largeFleet && len(v.changed)*touchedShare > total {
		v.findings.add(finding{ID: LargeChange, Message: fmt.Sprintf("%d of %d clusters change at once", len(v.changed), total), Clusters: keys(v.changed)})
	}
	held, removed, where := 0, 0, map[string]bool{}
	for _, cc := range v.base.Clusters {
		for i := range cc.Objects {
			if ch := &cc.Objects[i]; ch.Action != v1alpha1.ActionPrune {
				held++
			}
		}
	}
	for key, l := range v.listed {
		if key.action != v1alpha1.ActionPrune {
			continue
		}
		removed += len(l.clusters)
		for _, name := range l.clusters {
			where[name] = true
		}
	}
	if removed >= largeObjects && removed*removedShare > held {
		v.findings.add(finding{ID: LargeChange, Message: fmt.Sprintf("%d of %d objects of the fleet are removed", removed, held), Clusters: keys(where)})
	}
	v.reportManyRestarts()
}

func (v *preview) reportManyRestarts() {
	var pods, restarted int64
	for _, e := range v.after {
		for _, a := range e.Clusters {
			if a.Replicas != nil {
				pods += *a.Replicas
			}
		}
	}
	where := map[string]bool{}
	for _, r := range v.restarts {
		restarted += r.pods
		for _, name := range r.clusters {
			where[name] = true
		}
	}
	if restarted >= largePods && restarted*restartsShare > pods {
		v.findings.add(finding{ID: LargeChange, Message: fmt.Sprintf("%d of %d pods of the fleet are replaced", restarted, max(pods, restarted)), Clusters: keys(where)})
	}
}
