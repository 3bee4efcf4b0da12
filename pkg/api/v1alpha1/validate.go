package v1alpha1

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxWeight bounds weights, so that products with numbers of replicas fit 64 bits.
const maxWeight = math.MaxInt32

// validate reports what is wrong with a decoded document beyond its types.
func (t *typing) validate(value any, k kind) {
	switch v := value.(type) {
	case *PropagationPolicy:
		t.metadata(v.ObjectMeta, true)
		t.propagation(v)
	case *OverridePolicy:
		t.metadata(v.ObjectMeta, true)
		t.overrides(v)
	case *Cluster:
		t.metadata(v.ObjectMeta, true)
		t.namespace(v.Namespace, k)
		t.cluster(v)
	case *GitSource:
		t.metadata(v.ObjectMeta, true)
		t.gitSource(&v.Spec)
	case *Config:
		t.metadata(v.ObjectMeta, false)
		t.config(&v.Spec)
	case *Placement:
		t.metadata(v.ObjectMeta, false)
		t.placementDocument(&v.Spec)
	case *Snapshot:
		t.snapshot(v)
	case *Inventory:
		t.inventory(&v.Spec)
	case *ClusterFacts:
		t.required("spec.cluster", v.Spec.Cluster)
	case *Orders:
		t.metadata(v.ObjectMeta, false)
		t.orders(&v.Spec)
	}
}

// metadata validates the name, namespace and labels of an object.
func (t *typing) metadata(m metav1.ObjectMeta, needsName bool) {
	if m.Name != "" || needsName {
		t.named("metadata.name", m.Name, validation.IsDNS1123Subdomain)
	}
	if m.Namespace != "" {
		t.named("metadata.namespace", m.Namespace, validation.IsDNS1123Label)
	}
	t.fieldErrors(metavalidation.ValidateLabels(m.Labels, field.NewPath("metadata", "labels")))
}

// fieldErrors reports errors of Kubernetes' own validation.
func (t *typing) fieldErrors(errs field.ErrorList) {
	for _, err := range errs {
		t.problem(err.Field, "%s", faultOf(err))
	}
}

// faultOf returns what an error of Kubernetes' validation says.
func faultOf(err *field.Error) string {
	if err.Detail == "" {
		return string(err.Type)
	}
	return plainFault(err.Detail)
}

// required reports a field that must not be empty.
func (t *typing) required(field, value string) bool {
	if value == "" {
		t.problem(field, "the field is required")
	}
	return value != ""
}

// named reports a field that is empty or that check finds fault with.
func (t *typing) named(field, value string, check func(string) []string) bool {
	if !t.required(field, value) {
		return false
	}
	faults := check(value)
	for i, fault := range faults {
		faults[i] = plainFault(fault)
	}
	if len(faults) > 0 {
		t.problem(field, "%q is not accepted: %s", shorten(value), strings.Join(faults, "; "))
	}
	return len(faults) == 0
}

// plainFault leaves the examples and the regular expression out of a message of Kubernetes.
func plainFault(fault string) string {
	fault, _, _ = strings.Cut(fault, " (e.g.")
	return fault
}

// labelValue reports a value that a label cannot have.
func (t *typing) labelValue(field, value string) {
	for _, fault := range validation.IsValidLabelValue(value) {
		t.problem(field, "%q is not accepted: %s", shorten(value), plainFault(fault))
	}
}

// oneOf reports a value that is not among those allowed; an empty one passes.
func oneOf[T ~string](t *typing, field string, value T, allowed ...T) bool {
	if value == "" || slices.Contains(allowed, value) {
		return true
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	t.problem(field, "%q is not one of %s", shorten(string(value)), strings.Join(names, ", "))
	return false
}

// positive reports a duration that is present and not above zero.
func (t *typing) positive(field string, d *metav1.Duration) {
	if d != nil && d.Duration <= 0 {
		t.problem(field, "the duration must be positive, not %s", d.Duration)
	}
}

// inRange reports a number that is present and outside of its bounds.
func inRange[T int | int32 | int64](t *typing, field string, value *T, least, most T) {
	switch {
	case value == nil:
	case *value < least:
		t.problem(field, "the number must be at least %d, not %d", least, *value)
	case *value > most:
		t.problem(field, "the number must be at most %d, not %d", most, *value)
	}
}

// at returns the path of an item of a list.
func at(path string, index int) string { return fmt.Sprintf("%s[%d]", path, index) }

// unique reports the second of two items of a list that have the same name. Seen maps names to the
// fields that had them.
func (t *typing) unique(seen map[string]string, field, name, what string) {
	if first, ok := seen[name]; ok {
		t.problem(field, "the %s %q is already used by %s", what, shorten(name), first)
		return
	}
	seen[name] = field
}

// clusterNames validates a list of names of clusters.
func (t *typing) clusterNames(path string, names []string) {
	seen := map[string]string{}
	for i, name := range names {
		if t.required(at(path, i), name) {
			t.unique(seen, at(path, i), name, "cluster")
		}
	}
}

// selectors validates selectors of objects. Reach is the namespace that a policy's selectors are
// bound to; empty: none.
func (t *typing) selectors(path string, selectors []ResourceSelector, reach string) {
	for i := range selectors {
		t.selector(at(path, i), &selectors[i], reach)
	}
}

func (t *typing) selector(path string, s *ResourceSelector, reach string) {
	if t.required(path+".apiVersion", s.APIVersion) && strings.Count(s.APIVersion, "/") > 1 {
		t.problem(path+".apiVersion", "%q is not of the form version or group/version", shorten(s.APIVersion))
	}
	t.required(path+".kind", s.Kind)
	t.labelSelector(path+".labelSelector", s.LabelSelector)
	if s.LabelSelector != nil && s.Name != "" {
		t.ignored(path+".labelSelector", "the label selector has no effect beside a name")
	}
	if reach != "" && s.Namespace != "" && s.Namespace != reach {
		t.add("policy-selects-nothing", SeverityCaution, path+".namespace", fmt.Sprintf(
			"the selector selects nothing: a policy of namespace %q does not reach %q; use the Cluster form of the kind",
			reach, shorten(s.Namespace)))
	}
}

// labelSelector validates a label selector by Kubernetes' rules.
func (t *typing) labelSelector(path string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	const root = "selector"
	options := metavalidation.LabelSelectorValidationOptions{}
	for _, err := range metavalidation.ValidateLabelSelector(s, options, field.NewPath(root)) {
		t.problem(path+strings.TrimPrefix(err.Field, root), "%s", faultOf(err))
	}
}

// affinity validates a selection of clusters.
func (t *typing) affinity(path string, a *ClusterAffinity) {
	if a == nil {
		return
	}
	t.labelSelector(path+".labelSelector", a.LabelSelector)
	t.clusterNames(path+".clusterNames", a.ClusterNames)
	t.clusterNames(path+".exclude", a.Exclude)
	if a.FieldSelector == nil {
		return
	}
	for i, e := range a.FieldSelector.MatchExpressions {
		p := at(path+".fieldSelector.matchExpressions", i)
		if t.required(p+".key", e.Key) {
			oneOf(t, p+".key", e.Key, "provider", "region", "zone")
		}
		if t.required(p+".operator", string(e.Operator)) {
			oneOf(t, p+".operator", e.Operator, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn)
		}
		if len(e.Values) == 0 {
			t.problem(p+".values", "the field is required")
		}
	}
}

// pointer reports a JSON pointer (RFC 6901) that is missing or malformed.
func (t *typing) pointer(field, pointer string) bool {
	if !t.required(field, pointer) {
		return false
	}
	if pointer[0] != '/' {
		t.problem(field, "%q is not a JSON pointer: it must begin with a slash, as in /spec/replicas", shorten(pointer))
		return false
	}
	for i := 0; i < len(pointer); i++ {
		if pointer[i] == '~' && (i+1 == len(pointer) || pointer[i+1] != '0' && pointer[i+1] != '1') {
			t.problem(field, "%q is not a JSON pointer: a tilde is written ~0, a slash inside a name ~1", shorten(pointer))
			return false
		}
	}
	return true
}

// qualifiedName reports a name of a label, annotation or taint that Kubernetes does not accept.
func (t *typing) qualifiedName(field, name string) {
	t.named(field, name, func(s string) []string { return validation.IsQualifiedName(s) })
}
