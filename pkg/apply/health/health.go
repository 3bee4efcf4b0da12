package health

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Verdict is what a rule says of an object.
type Verdict struct {
	Health v1alpha1.Health
	// Message says why it is not healthy.
	Message string
	// Failure says why the rule could not judge the object; empty: it could. The object counts as
	// progressing then.
	Failure string
}

// Rule judges one object. It gets the object as the API server sent it and must not change it.
type Rule func(*unstructured.Unstructured) Verdict

// Rules say which kinds are judged, and how. The zero value has the rules that come with the program.
// It may be used by any number of clusters at once.
type Rules struct {
	configured map[schema.GroupKind]Rule
}

// For returns the rule of a kind, nil for one whose objects are healthy as long as they exist.
// hasStatus tells that the API server keeps a status of the kind apart from the rest, so that some
// controller reports in it.
func (r *Rules) For(gk schema.GroupKind, hasStatus bool) Rule {
	if r != nil && r.configured[gk] != nil {
		return r.configured[gk]
	}
	if rule, listed := ruleOf(gk); listed {
		return rule
	}
	if hasStatus && isCustom(gk.Group) {
		return generic().judge
	}
	return nil
}

// isCustom tells that a group is none of the API server's own.
func isCustom(group string) bool {
	if !strings.Contains(group, ".") {
		return false
	}
	switch group {
	case "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
		"authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
		"flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io",
		"rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "storagemigration.k8s.io":
		return false
	}
	return true
}

// kstatus judges by kstatus: Current is healthy, Failed degraded, everything else progressing.
func kstatus(u *unstructured.Unstructured) Verdict {
	result, err := status.Compute(u)
	if err != nil {
		return Verdict{Health: v1alpha1.HealthProgressing, Message: "its state cannot be read", Failure: err.Error()}
	}
	switch result.Status {
	case status.CurrentStatus:
		return healthy()
	case status.FailedStatus:
		return degraded("%s", result.Message)
	default:
		return progressing("%s", result.Message)
	}
}

func healthy() Verdict { return Verdict{Health: v1alpha1.HealthHealthy} }

func progressing(format string, args ...any) Verdict {
	return Verdict{Health: v1alpha1.HealthProgressing, Message: fmt.Sprintf(format, args...)}
}

func degraded(format string, args ...any) Verdict {
	return Verdict{Health: v1alpha1.HealthDegraded, Message: fmt.Sprintf(format, args...)}
}

// unsettled says what keeps any object from being judged by its status: it is going, or its controller
// has not looked at it since it was changed.
func unsettled(u *unstructured.Unstructured) (Verdict, bool) {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted"), true
	}
	seen, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if err == nil && found && seen < u.GetGeneration() {
		return progressing("its controller has seen generation %d of %d", seen, u.GetGeneration()), true
	}
	return Verdict{}, false
}

// textAt returns a string of the object, empty where there is none.
func textAt(u *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, path...)
	return s
}
