package main

import (
	"cmp"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// declaredID is how the fleet names a GitSource that it declares.
func declaredID(s *v1alpha1.GitSource) string {
	return cmp.Or(s.Namespace, engine.DefaultNamespace) + "/" + s.Name
}

// declaredSource is what the fleet's GitSource under the name of a repository says about what it declares: its
// tenant, which bounds it, its folder, and where its objects and policies belong. So a plan or a preview is
// held to the same bounds as the controller. The zero value: the fleet declares none of that name.
func declaredSource(snap plan.Snapshot, name string) v1alpha1.GitSource {
	for i := range snap.Sources {
		s := &snap.Sources[i]
		if declaredID(s) != name && (strings.Contains(name, "/") || s.Name != name) {
			continue
		}
		declared := v1alpha1.GitSource{Spec: v1alpha1.GitSourceSpec{
			Path: s.Spec.Path, TargetNamespace: s.Spec.TargetNamespace, PoliciesFor: s.Spec.PoliciesFor,
			MaxPrunePercent: s.Spec.MaxPrunePercent, Tenant: s.Spec.Tenant, IgnoreDrift: s.Spec.IgnoreDrift,
			Rollout: s.Spec.Rollout,
		}}
		declared.Annotations = map[string]string{v1alpha1.AnnotationAllowPrune: s.Annotations[v1alpha1.AnnotationAllowPrune]}
		return declared
	}
	return v1alpha1.GitSource{}
}
