package engine

import (
	"net/url"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// Declared returns some configured sources as a snapshot has them: what plans and previews depend on, the
// tenant before all, with what is recorded of each, and not how they are reached.
func Declared(recorded, configured []v1alpha1.GitSource) []v1alpha1.GitSource {
	declared := make([]v1alpha1.GitSource, 0, len(configured))
	for _, s := range configured {
		d := v1alpha1.GitSource{}
		if i := slices.IndexFunc(recorded, func(r v1alpha1.GitSource) bool { return SourceID(r) == SourceID(s) }); i >= 0 {
			d.Status = *recorded[i].Status.DeepCopy()
		}
		d.Namespace, d.Name, d.Annotations = s.Namespace, s.Name, nil
		if allowed, ok := s.Annotations[v1alpha1.AnnotationAllowPrune]; ok {
			d.Annotations = map[string]string{v1alpha1.AnnotationAllowPrune: allowed}
		}
		spec := s.Spec.DeepCopy()
		d.Spec.URL, d.Spec.Path, d.Spec.TargetNamespace = address(spec.URL), spec.Path, spec.TargetNamespace
		d.Spec.PoliciesFor, d.Spec.MaxPrunePercent = spec.PoliciesFor, spec.MaxPrunePercent
		d.Spec.Tenant, d.Spec.IgnoreDrift, d.Spec.Rollout = spec.Tenant, spec.IgnoreDrift, spec.Rollout
		declared = append(declared, d)
	}
	return declared
}

// address is a repository's place as a GitSource spells it; a folder of this machine is one too.
func address(place string) string {
	if source.IsURL(place) {
		return place
	}
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimLeft(place, "/")}).String()
}
