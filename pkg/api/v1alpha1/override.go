package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OverridePolicy gives each cluster its own version of an object. With a namespace it reaches
// objects of that namespace; without one it is a ClusterOverridePolicy.
type OverridePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OverrideSpec `json:"spec"`

	// Position is where Git declares the policy. Lines maps field paths of the document
	// ("spec.overrideRules[0].overriders.plaintext[1]") to their lines.
	Position Position       `json:"-"`
	Lines    map[string]int `json:"-"`
}

// OverrideSpec lists which objects are overridden and how.
type OverrideSpec struct {
	// ResourceSelectors select objects; none: every object that the policy can reach.
	ResourceSelectors []ResourceSelector `json:"resourceSelectors,omitempty"`
	// OverrideRules apply in order.
	OverrideRules []RuleWithCluster `json:"overrideRules,omitempty"`
	// TargetCluster and Overriders are Karmada's deprecated form; together they read as one rule.
	TargetCluster *ClusterAffinity `json:"targetCluster,omitempty"`
	Overriders    *Overriders      `json:"overriders,omitempty"`
}

// RuleWithCluster applies overriders on the clusters of an affinity. Nil: all clusters.
type RuleWithCluster struct {
	TargetCluster *ClusterAffinity `json:"targetCluster,omitempty"`
	Overriders    Overriders       `json:"overriders"`
}

// Overriders change an object, in the order of the fields of this struct from ImageOverrider on.
type Overriders struct {
	ImageOverrider       []ImageOverrider           `json:"imageOverrider,omitempty"`
	CommandOverrider     []CommandArgsOverrider     `json:"commandOverrider,omitempty"`
	ArgsOverrider        []CommandArgsOverrider     `json:"argsOverrider,omitempty"`
	LabelsOverrider      []LabelAnnotationOverrider `json:"labelsOverrider,omitempty"`
	AnnotationsOverrider []LabelAnnotationOverrider `json:"annotationsOverrider,omitempty"`
	FieldOverrider       []FieldOverrider           `json:"fieldOverrider,omitempty"`
	// Plaintext is RFC 6902 in Karmada's spelling, with operator for op.
	Plaintext []JSONPatchOperation `json:"plaintext,omitempty"`
	// JSONPatch is RFC 6902 in its own spelling; it follows Plaintext.
	JSONPatch []JSONPatchOperation `json:"jsonPatch,omitempty"`
	// StrategicMerge is a list of Kubernetes strategic merge patches.
	StrategicMerge []apiextensionsv1.JSON `json:"strategicMerge,omitempty"`
	// Expression sets fields to the results of CEL expressions.
	Expression []ExpressionOverrider `json:"expression,omitempty"`
}

// OverriderOperator is what an overrider does with its value.
type OverriderOperator string

// The values of OverriderOperator. Not every overrider takes each: images, commands, arguments,
// labels and annotations take add, remove and replace; JSON patches all six.
const (
	OperatorAdd     OverriderOperator = "add"
	OperatorRemove  OverriderOperator = "remove"
	OperatorReplace OverriderOperator = "replace"
	OperatorCopy    OverriderOperator = "copy"
	OperatorMove    OverriderOperator = "move"
	OperatorTest    OverriderOperator = "test"
)

// ImageComponent is a part of an image reference registry[:port]/repository[:tag][@digest].
type ImageComponent string

// The values of ImageComponent. Tag stands for the tag or the digest.
const (
	ImageRegistry   ImageComponent = "Registry"
	ImageRepository ImageComponent = "Repository"
	ImageTag        ImageComponent = "Tag"
)

// ImageOverrider changes one component of image references.
type ImageOverrider struct {
	// Predicate restricts the change to one field by JSON pointer; nil: every container image.
	Predicate *ImagePredicate   `json:"predicate,omitempty"`
	Component ImageComponent    `json:"component"`
	Operator  OverriderOperator `json:"operator"`
	Value     string            `json:"value,omitempty"`
}

// ImagePredicate names a field that holds an image reference.
type ImagePredicate struct {
	// Path is a JSON pointer.
	Path string `json:"path"`
}

// CommandArgsOverrider adds items to, or removes items from, the command or arguments of a container.
type CommandArgsOverrider struct {
	ContainerName string            `json:"containerName"`
	Operator      OverriderOperator `json:"operator"`
	Value         []string          `json:"value,omitempty"`
}

// LabelAnnotationOverrider adds, replaces or removes labels or annotations.
type LabelAnnotationOverrider struct {
	Operator OverriderOperator `json:"operator"`
	Value    map[string]string `json:"value,omitempty"`
}

// FieldOverrider changes JSON or YAML inside a string field.
type FieldOverrider struct {
	// FieldPath is a JSON pointer to the string.
	FieldPath string               `json:"fieldPath"`
	JSON      []FieldPatchOperator `json:"json,omitempty"`
	YAML      []FieldPatchOperator `json:"yaml,omitempty"`
}

// FieldPatchOperator is one operation on the document inside the string.
type FieldPatchOperator struct {
	// SubPath is a JSON pointer inside that document.
	SubPath  string                `json:"subPath"`
	Operator OverriderOperator     `json:"operator"`
	Value    *apiextensionsv1.JSON `json:"value,omitempty"`
}

// MissingPathPolicy says what an operation does when its path is not there.
type MissingPathPolicy string

// The values of MissingPathPolicy.
const (
	MissingFail MissingPathPolicy = "fail"
	MissingSkip MissingPathPolicy = "skip"
	// MissingCreate makes missing map parents, never list elements.
	MissingCreate MissingPathPolicy = "create"
)

// JSONPatchOperation is one operation of RFC 6902. Operator and Op are two spellings of one field.
type JSONPatchOperation struct {
	Path     string            `json:"path"`
	Operator OverriderOperator `json:"operator,omitempty"`
	Op       OverriderOperator `json:"op,omitempty"`
	// From is the source pointer of copy and move.
	From  string                `json:"from,omitempty"`
	Value *apiextensionsv1.JSON `json:"value,omitempty"`
	// IfMissing defaults to fail.
	IfMissing MissingPathPolicy `json:"ifMissing,omitempty"`
}

// ExpressionOverrider sets a field to the result of a CEL expression over cluster and object.
type ExpressionOverrider struct {
	// Path is a JSON pointer.
	Path string `json:"path"`
	CEL  string `json:"cel"`
	// IfMissing defaults to fail.
	IfMissing MissingPathPolicy `json:"ifMissing,omitempty"`
}
