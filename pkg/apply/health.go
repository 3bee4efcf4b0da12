package apply

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// HealthRule judges one object and says why it is not healthy. It gets the object as the API server
// sent it and must not change it.
type HealthRule func(*unstructured.Unstructured) (v1alpha1.Health, string)

// DefaultHealthRules judges the kinds of Kubernetes itself that have a state of their own, with
// kstatus. A kind in this table is watched in full, which costs the decoding of each of its events;
// so kinds that kstatus finds healthy whenever they exist are not in it.
func DefaultHealthRules() map[schema.GroupKind]HealthRule {
	rules := map[schema.GroupKind]HealthRule{}
	for _, gk := range plan.JudgedKinds() {
		rules[gk] = KStatus
	}
	return rules
}

// KStatus judges by kstatus: Current is healthy, Failed degraded, everything else progressing.
func KStatus(object *unstructured.Unstructured) (v1alpha1.Health, string) {
	result, err := status.Compute(object)
	if err != nil {
		return v1alpha1.HealthUnknown, err.Error()
	}
	switch result.Status {
	case status.CurrentStatus:
		return v1alpha1.HealthHealthy, ""
	case status.FailedStatus:
		return v1alpha1.HealthDegraded, result.Message
	default:
		return v1alpha1.HealthProgressing, result.Message
	}
}
