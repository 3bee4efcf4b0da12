package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// verdict is what an error means for the operation that had it.
type verdict struct {
	class      Class
	message    string
	retryAfter time.Duration
}

// verdict classifies the error of an operation. It is the one place where errors become classes; its
// messages hold no value of a Secret.
func (r *run) verdict(j job, err error) verdict {
	v := verdict{class: classOf(err), retryAfter: retryAfter(err)}
	gk := gkOf(j.Operation)
	switch field := immutableField(gk, err); {
	case field != "" && holdsData(gk):
		v.message = fmt.Sprintf("%s cannot be changed on a %s that exists", field, j.Kind)
	case field != "":
		v.message = fmt.Sprintf("%s cannot be changed on a %s that exists; with the annotation %s: allowed it is removed and created again",
			field, j.Kind, v1alpha1.AnnotationRecreate)
	case gk.Kind == "Secret" && gk.Group == "":
		v.message = withoutText(err)
	default:
		v.message = r.secrets.redact(text(err))
	}
	if v.class == ClassDenied {
		v.message = asWhom(j.Identity, err, v.message)
	}
	return v
}

// classOf says what an operation with this error needs.
func classOf(err error) Class {
	switch {
	case err == nil:
		return ClassNone
	case errors.Is(err, errForeign):
		return ClassConflict
	case errors.Is(err, errNoAccount), errors.Is(err, errOutside):
		return ClassDenied
	case errors.Is(err, errGate), errors.Is(err, errNotServed):
		return ClassWait
	case errors.Is(err, errProtected):
		return ClassStalled
	case errors.Is(err, errStopped), errors.Is(err, ErrUnreachable), errors.Is(err, context.Canceled):
		return ClassRetry
	}
	status, ok := statusOf(err)
	if !ok {
		return ClassRetry
	}
	message := status.Message
	switch {
	case status.Code == http.StatusTooManyRequests:
		return ClassRetry
	case hasCause(status, "NamespaceTerminating"), strings.Contains(message, "because it is being terminated"),
		strings.Contains(message, "exceeded quota"), strings.Contains(message, "status unknown for quota"),
		strings.Contains(message, "error looking up service account"):
		return ClassWait
	case denied(message):
		return ClassDenied
	}
	switch status.Code {
	case http.StatusForbidden, http.StatusUnauthorized:
		return ClassDenied
	case http.StatusNotFound:
		return ClassWait
	case http.StatusConflict:
		return ClassRetry
	case http.StatusInternalServerError:
		if isTypedPatchError(err) {
			return ClassStalled
		}
		return ClassRetry
	}
	if status.Code >= http.StatusInternalServerError {
		return ClassRetry
	}
	// 422 and the other ways to say that the manifest is wrong.
	return ClassStalled
}

// denials are the words in which admission control refuses, whatever the status code.
var denials = regexp.MustCompile(`admission webhook "([^"]+)" denied the request|ValidatingAdmissionPolicy '([^']+)'.* denied request|violates PodSecurity`)

func denied(message string) bool { return denials.MatchString(message) }

// isTypedPatchError recognises the 500 with which the API server says that a manifest does not fit its
// schema, for instance since a list has two items with one key. It comes again with every attempt.
func isTypedPatchError(err error) bool {
	status, ok := statusOf(err)
	return ok && status.Code == http.StatusInternalServerError && strings.Contains(status.Message, "failed to create typed patch object")
}

func statusOf(err error) (metav1.Status, bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return metav1.Status{}, false
	}
	return status.Status(), true
}

func hasCause(status metav1.Status, cause metav1.CauseType) bool {
	if status.Details == nil {
		return false
	}
	for _, c := range status.Details.Causes {
		if c.Type == cause {
			return true
		}
	}
	return false
}

// text is what an error says to people.
func text(err error) string { return err.Error() }

// withoutText describes the error of a request with a Secret by everything but the words of the API
// server or of a webhook, since these may quote any part of it in any encoding.
func withoutText(err error) string {
	status, ok := statusOf(err)
	if !ok {
		return text(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d %s", status.Code, status.Reason)
	if by := denials.FindStringSubmatch(status.Message); by != nil {
		b.WriteString(": denied by ")
		switch {
		case by[1] != "":
			fmt.Fprintf(&b, "admission webhook %q", by[1])
		case by[2] != "":
			fmt.Fprintf(&b, "ValidatingAdmissionPolicy %q", by[2])
		default:
			b.WriteString("pod security")
		}
	}
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			fmt.Fprintf(&b, "; %s: %s", secretField(cause.Field), cause.Type)
		}
	}
	b.WriteString(" (the text is withheld, it may quote the Secret)")
	return b.String()
}

// secretFields are the fields that a message about a Secret may name.
var secretFields = regexp.MustCompile(`^(metadata(\.(name|namespace|labels|annotations))?|type|immutable|data(\[[-._a-zA-Z0-9]{1,253}\])?)$`)

func secretField(field string) string {
	if secretFields.MatchString(field) {
		return field
	}
	return "a field"
}

// immutable says by which words the API server refuses to change a field. The words differ by kind and
// few of them are "immutable".
type immutable struct {
	field   string // prefix of the cause's field
	message string // part of the cause's message
	name    string // of the field, for people; empty: the cause's
}

// immutables lists, by kind, the refusals of Kubernetes 1.36.
func immutables(gk schema.GroupKind) []immutable {
	common := []immutable{{"", "field is immutable", ""}}
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return append(common, immutable{"spec", "updates to statefulset spec for fields other than", "a field of spec other than replicas, template or updateStrategy"})
	case schema.GroupKind{Kind: "Pod"}:
		return append(common, immutable{"spec", "pod updates may not", "a field of spec other than the images"},
			immutable{"spec.containers", "pod updates may not add or remove containers", ""})
	case schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}, schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:
		return append(common, immutable{"roleRef", "cannot change roleRef", ""})
	case schema.GroupKind{Kind: "Service"}:
		return append(common, immutable{"spec.clusterIP", "may not change once set", ""}, immutable{"spec.clusterIP", "primary clusterIP can not be", ""},
			immutable{"spec.ipFamilies", "may not change once set", ""})
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		return append(common, immutable{"spec", "spec is immutable after creation", "a field of spec other than the requested size"})
	case schema.GroupKind{Kind: "PersistentVolume"}:
		return append(common, immutable{"spec.persistentvolumesource", "spec.persistentvolumesource is immutable", ""})
	case schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"}:
		return append(common, immutable{"", "updates to", ""})
	case schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:
		return append(common, immutable{"value", "may not be changed in an update", ""}, immutable{"preemptionPolicy", "may not be changed in an update", ""})
	case schema.GroupKind{Kind: "ConfigMap"}, schema.GroupKind{Kind: "Secret"}:
		return append(common, immutable{"", "field is immutable when `immutable` is set", ""})
	}
	return common
}

// immutableField returns the field that a 422 refuses to change, or "" when that is not what it says.
// A wrong value of such a field has other words, and never leads to a deletion.
func immutableField(gk schema.GroupKind, err error) string {
	status, ok := statusOf(err)
	if !ok || status.Code != http.StatusUnprocessableEntity || status.Details == nil || len(status.Details.Causes) == 0 {
		return ""
	}
	name := ""
	for _, cause := range status.Details.Causes {
		found := false
		for _, row := range immutables(gk) {
			if strings.HasPrefix(cause.Field, row.field) && strings.Contains(cause.Message, row.message) {
				found = true
				if name == "" {
					name = row.name
				}
				if name == "" {
					name = cause.Field
				}
				break
			}
		}
		if !found {
			// Something else is wrong, too; recreating would not help.
			return ""
		}
	}
	return name
}
