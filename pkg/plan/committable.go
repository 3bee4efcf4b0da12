package plan

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Committable returns a snapshot without how clusters are reached and whose objects are on them, so that its file can go into a
// repository. No decision depends on what is left out.
func Committable(s Snapshot) Snapshot {
	s.Config.HubID = ""
	s.Clusters = slices.Clone(s.Clusters)
	for i := range s.Clusters {
		c := &s.Clusters[i]
		spec := c.Spec
		spec.KubeconfigFile, spec.KubeconfigContext, spec.SecretRef = "", "", nil
		spec.ID, spec.SyncMode, spec.APIEndpoint, spec.ImpersonatorSecretRef = "", "", "", nil
		spec.InsecureSkipTLSVerification, spec.ProxyURL, spec.ProxyHeader = false, "", nil
		c.Spec = spec
		meta := metav1.ObjectMeta{Name: c.Name, Labels: c.Labels, Annotations: c.Annotations, DeletionTimestamp: c.DeletionTimestamp}
		c.ObjectMeta = meta
	}
	return s
}

// Redacted returns a snapshot without what people write freely: annotations of clusters that are not in our
// own group, and the words of conditions. What an override or a price reads from such an annotation is then
// not as on the fleet.
func Redacted(s Snapshot) Snapshot {
	s.Clusters = slices.Clone(s.Clusters)
	for i := range s.Clusters {
		c := &s.Clusters[i]
		c.Annotations = maps.Clone(c.Annotations)
		maps.DeleteFunc(c.Annotations, func(key, _ string) bool {
			return !strings.HasPrefix(key, v1alpha1.Group+"/")
		})
		c.Status.Conditions = wordless(c.Status.Conditions)
	}
	s.Placements = slices.Clone(s.Placements)
	for i := range s.Placements {
		p := &s.Placements[i]
		p.Status.Conditions = wordless(p.Status.Conditions)
		p.Status.Worst = nil
	}
	s.Config.Failover.PausedReason = ""
	return s
}

func wordless(conditions []metav1.Condition) []metav1.Condition {
	conditions = slices.Clone(conditions)
	for i := range conditions {
		conditions[i].Message = ""
	}
	return conditions
}
