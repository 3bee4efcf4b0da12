package v1alpha1

import (
	"cmp"
	"strings"
)

// The ids of findings that packages below the plan give. Those of the plan itself are in pkg/plan, with the
// severity of each. Each id has a page in docs/findings.
const (
	// FindingBuildFailed is a kustomization that cannot be built, or a file that cannot be read.
	FindingBuildFailed = "build-failed"
	// FindingDuplicateKey is a list with two items of one key, of which the last is kept.
	FindingDuplicateKey = "duplicate-key"
	// FindingFieldIgnored is a field that is accepted and has no effect.
	FindingFieldIgnored = "field-ignored"
	// FindingHelmHook is an object of a chart that Helm would run at a step of a release.
	FindingHelmHook = "helm-hook"
	// FindingInvalidConfiguration is an error in a kind of ours that is no policy.
	FindingInvalidConfiguration = "invalid-configuration"
	// FindingInvalidDocument is a file or document that cannot be read at all.
	FindingInvalidDocument = "invalid-document"
	// FindingInvalidPolicy is a propagation or override policy with an error; it counts as absent.
	FindingInvalidPolicy = "invalid-policy"
	// FindingJSONMergeUsed is a strategic merge patch for a kind whose patch keys are not known.
	FindingJSONMergeUsed = "json-merge-used"
	// FindingKindNotSupported is a kind of Karmada that has no counterpart here.
	FindingKindNotSupported = "kind-not-supported"
	// FindingNondeterministicRender is a chart whose result would differ from run to run.
	FindingNondeterministicRender = "nondeterministic-render"
	// FindingOverrideConflict is a field that two override policies write.
	FindingOverrideConflict = "override-conflict"
	// FindingOverrideFailed is an override that cannot be applied to an object.
	FindingOverrideFailed = "override-failed"
	// FindingOverrideNoMatch is an override rule that matches no object on any cluster.
	FindingOverrideNoMatch = "override-no-match"
	// FindingOverrideNoOp is an override that changes nothing.
	FindingOverrideNoOp = "override-no-op"
	// FindingSecretNotDecrypted is a SOPS file that cannot be opened, or that someone changed.
	FindingSecretNotDecrypted = "secret-not-decrypted"
	// FindingSecretNotEncrypted is a Secret in clear text where the source demands encryption.
	FindingSecretNotEncrypted = "secret-not-encrypted"
	// FindingVariableFailed is a variable that has no value for a cluster.
	FindingVariableFailed = "variable-failed"
)

// Problem is something wrong, or worth knowing, about one field of one document.
//
// +kubebuilder:object:generate=false
type Problem struct {
	// Position is the file and line that the problem is about.
	Position Position
	// Field is the path of the field, as in "spec.placement.clusterAffinities[0].affinityName";
	// empty where the whole document or file is meant.
	Field string
	// Message says what is wrong and, where that is known, what would be right.
	Message string
	// ID is the id of the finding that the problem becomes.
	ID string
	// Severity is blocker for what makes the document unusable.
	Severity Severity
	// Object is what the document declares, nil where it could not be told.
	Object *ObjectReference
}

// Error returns "file:line: field: message", so that a Problem can be returned as an error.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Position.File != "" {
		b.WriteString(p.Position.String())
		b.WriteString(": ")
	}
	b.WriteString(p.text())
	return b.String()
}

// text is the message with its field in front.
func (p Problem) text() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// Finding returns the problem as a finding about the source named repository; empty where the fleet
// or the configuration is meant.
func (p Problem) Finding(repository string) Finding {
	return Finding{
		ID:         p.ID,
		Severity:   p.Severity,
		Message:    p.text(),
		Source:     p.Position.String(),
		Clusters:   []string{},
		Object:     p.Object,
		Repository: repository,
	}
}

// Compare orders problems by position, field and message.
func (p Problem) Compare(o Problem) int {
	return cmp.Or(
		p.Position.Compare(o.Position),
		strings.Compare(p.Field, o.Field),
		strings.Compare(p.ID, o.ID),
		strings.Compare(p.Message, o.Message),
	)
}

// Blocked tells that one of the problems is a blocker, so that what it is about cannot be used.
func Blocked(problems []Problem) bool {
	for _, p := range problems {
		if p.Severity == SeverityBlocker {
			return true
		}
	}
	return false
}
