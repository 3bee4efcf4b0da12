package placement

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// inputs returns the digest of what a decision depends on beside the fleet: a decision stands while
// it is equal. An image is not among it, so that a new one moves nothing, and neither is the version
// of the API.
func inputs(r *Request) string {
	document, err := json.Marshal(struct {
		Replicas  *int64
		Requests  corev1.ResourceList
		Labels    map[string]string
		Kind      string
		Namespace string
		Placement *v1alpha1.PlacementStrategy
	}{r.Replicas, r.Requests, r.Labels, r.Workload.GroupKind(), r.Workload.Namespace, r.Strategy})
	if err != nil {
		// Only values that no decoder produces get here; without a digest nothing stands.
		return ""
	}
	sum := sha256.Sum256(document)
	return "sha256:" + hex.EncodeToString(sum[:])
}
