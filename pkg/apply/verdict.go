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
	"github.com/armada-sync/armada-sync/pkg/plan/immutable"
)

// verdict is what an error means for the operation that had it.
type verdict struct {
	class      Class
	message    string
	retryAfter time.Duration
	// leaving tells that the namespace is being removed.
	leaving bool
	// ordered tells that it is the turn of other objects.
	ordered bool
}

// verdict classifies the error of an operation. It is the one place where errors become classes; its
// messages hold no value of a Secret.
func (r *run) verdict(j job, err error) verdict {
	v := verdict{class: classOf(err), retryAfter: retryAfter(err), leaving: leaving(err), ordered: errors.Is(err, errOrder)}
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
	case leaving(err),
		strings.Contains(message, "exceeded quota"), strings.Contains(message, "status unknown for quota"),
		strings.Contains(message, "error looking up service account"), strings.Contains(message, "while custom resource definition is terminating"):
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

// webhookFailed tells that the API server could not ask a webhook without which it takes nothing.
func webhookFailed(err error) bool {
	status, ok := statusOf(err)
	return ok && status.Code == http.StatusInternalServerError && strings.Contains(status.Message, "failed calling webhook")
}

// leaving tells that the API server refuses to create something since its namespace is being removed.
func leaving(err error) bool {
	status, ok := statusOf(err)
	return ok && (hasCause(status, "NamespaceTerminating") || strings.Contains(status.Message, "because it is being terminated"))
}

// denials are the words in which admission control refuses, whatever the status code.
var denials = regexp.MustCompile(`admission webhook "([^"]+)" denied the request|ValidatingAdmissionPolicy '([^']+)'.* denied request|violates PodSecurity`)

func denied(message string) bool { return denials.MatchString(message) }

// isTypedPatchError recognises the 500 with which the API server says that a manifest does not fit its
// schema, for instance since a list has two items with one key, or that a value cannot be decoded, as a
// time, a quantity or base64 that is none. It comes again with every attempt.
func isTypedPatchError(err error) bool {
	status, ok := statusOf(err)
	return ok && status.Code == http.StatusInternalServerError &&
		(strings.Contains(status.Message, "failed to create typed patch object") ||
			strings.Contains(status.Message, "to proper version: unable to convert unstructured object to"))
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
	if strings.Contains(status.Message, "exceeded quota") {
		b.WriteString(": exceeded quota")
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
		for _, row := range immutable.Refusals(gk) {
			if strings.HasPrefix(cause.Field, row.Field) && strings.Contains(cause.Message, row.Message) {
				found = true
				if name == "" {
					name = row.Name
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
