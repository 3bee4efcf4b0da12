package v1alpha1

import (
	"bytes"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func (t *typing) overrides(p *OverridePolicy) {
	t.selectors("spec.resourceSelectors", p.Spec.ResourceSelectors, p.Namespace)
	for i := range p.Spec.OverrideRules {
		rule, path := &p.Spec.OverrideRules[i], at("spec.overrideRules", i)
		t.affinity(path+".targetCluster", rule.TargetCluster)
		t.overriders(path+".overriders", &rule.Overriders)
	}
}

func (t *typing) overriders(path string, o *Overriders) {
	for i := range o.ImageOverrider {
		t.imageOverrider(at(path+".imageOverrider", i), &o.ImageOverrider[i])
	}
	for i := range o.CommandOverrider {
		t.commandArgsOverrider(at(path+".commandOverrider", i), &o.CommandOverrider[i])
	}
	for i := range o.ArgsOverrider {
		t.commandArgsOverrider(at(path+".argsOverrider", i), &o.ArgsOverrider[i])
	}
	for i := range o.LabelsOverrider {
		t.labelsOverrider(at(path+".labelsOverrider", i), &o.LabelsOverrider[i], true)
	}
	for i := range o.AnnotationsOverrider {
		t.labelsOverrider(at(path+".annotationsOverrider", i), &o.AnnotationsOverrider[i], false)
	}
	for i := range o.FieldOverrider {
		t.fieldOverrider(at(path+".fieldOverrider", i), &o.FieldOverrider[i])
	}
	for i := range o.Plaintext {
		t.patchOperation(at(path+".plaintext", i), "operator", &o.Plaintext[i])
	}
	for i := range o.JSONPatch {
		t.patchOperation(at(path+".jsonPatch", i), "op", &o.JSONPatch[i])
	}
	for i, patch := range o.StrategicMerge {
		if raw := bytes.TrimSpace(patch.Raw); len(raw) == 0 || raw[0] != '{' {
			t.problem(at(path+".strategicMerge", i), "a strategic merge patch is a map")
		}
	}
	for i, e := range o.Expression {
		p := at(path+".expression", i)
		t.pointer(p+".path", e.Path)
		t.required(p+".cel", e.CEL)
		oneOf(t, p+".ifMissing", e.IfMissing, MissingFail, MissingSkip, MissingCreate)
	}
}

// operator reports a missing operator or one that the overrider does not take.
func (t *typing) operator(path string, operator OverriderOperator, allowed ...OverriderOperator) bool {
	return t.required(path, string(operator)) && oneOf(t, path, operator, allowed...)
}

func (t *typing) imageOverrider(path string, o *ImageOverrider) {
	if t.required(path+".component", string(o.Component)) {
		oneOf(t, path+".component", o.Component, ImageRegistry, ImageRepository, ImageTag)
	}
	if t.operator(path+".operator", o.Operator, OperatorAdd, OperatorRemove, OperatorReplace) {
		switch {
		case o.Operator == OperatorRemove && o.Value != "":
			t.ignored(path+".value", "the operator remove takes no value")
		case o.Operator != OperatorRemove && o.Value == "":
			t.problem(path+".value", "the operator %s needs a value", o.Operator)
		}
	}
	if o.Predicate != nil {
		t.pointer(path+".predicate.path", o.Predicate.Path)
	}
}

func (t *typing) commandArgsOverrider(path string, o *CommandArgsOverrider) {
	t.required(path+".containerName", o.ContainerName)
	t.operator(path+".operator", o.Operator, OperatorAdd, OperatorRemove, OperatorReplace)
}

// labelsOverrider validates an overrider of labels, or of annotations, whose values are free.
func (t *typing) labelsOverrider(path string, o *LabelAnnotationOverrider, labels bool) {
	t.operator(path+".operator", o.Operator, OperatorAdd, OperatorRemove, OperatorReplace)
	if len(o.Value) == 0 {
		t.problem(path+".value", "the field is required")
	}
	for _, key := range slices.Sorted(maps.Keys(o.Value)) {
		field := string(segment{key: key}.appendTo([]byte(path + ".value")))
		t.qualifiedName(field, key)
		if labels {
			t.labelValue(field, o.Value[key])
		}
	}
}

func (t *typing) fieldOverrider(path string, o *FieldOverrider) {
	t.pointer(path+".fieldPath", o.FieldPath)
	switch {
	case len(o.JSON) > 0 && len(o.YAML) > 0:
		t.problem(path+".yaml", "the field cannot stand beside json: a text is one or the other")
	case len(o.JSON) == 0 && len(o.YAML) == 0:
		t.problem(path, "one of json and yaml is required")
	}
	for i := range o.JSON {
		t.fieldPatch(at(path+".json", i), &o.JSON[i])
	}
	for i := range o.YAML {
		t.fieldPatch(at(path+".yaml", i), &o.YAML[i])
	}
}

func (t *typing) fieldPatch(path string, o *FieldPatchOperator) {
	t.pointer(path+".subPath", o.SubPath)
	if t.operator(path+".operator", o.Operator, OperatorAdd, OperatorRemove, OperatorReplace) {
		t.patchValue(path+".value", o.Operator, o.Value)
	}
}

// patchValue reports a missing or useless value of an operation.
func (t *typing) patchValue(field string, op OverriderOperator, value *apiextensionsv1.JSON) {
	switch op {
	case OperatorAdd, OperatorReplace, OperatorTest:
		if value == nil {
			t.problem(field, "the operation %s needs a value", op)
		}
	default:
		if value != nil {
			t.ignored(field, "the operation %s takes no value", op)
		}
	}
}

// patchOperation validates one operation of RFC 6902. Spelling is the name of the field that holds
// the operation in the list at hand; the other one is read too.
func (t *typing) patchOperation(path, spelling string, o *JSONPatchOperation) {
	if o.Path != "" || o.Operation() != OperatorTest {
		t.pointer(path+".path", o.Path)
	}
	oneOf(t, path+".ifMissing", o.IfMissing, MissingFail, MissingSkip, MissingCreate)
	if o.Op != "" && o.Operator != "" && o.Op != o.Operator {
		t.problem(path+".op", "op and operator are two names of one field and say %q and %q", o.Op, o.Operator)
		return
	}
	field := path + "." + spelling
	if spelling == "op" && o.Op == "" && o.Operator != "" {
		field = path + ".operator"
	} else if spelling == "operator" && o.Operator == "" && o.Op != "" {
		field = path + ".op"
	}
	op := o.Operation()
	if !t.operator(field, op, OperatorAdd, OperatorRemove, OperatorReplace, OperatorCopy, OperatorMove, OperatorTest) {
		return
	}
	if op == OperatorCopy || op == OperatorMove {
		t.pointer(path+".from", o.From)
	} else if o.From != "" {
		t.ignored(path+".from", "the operation %s takes no from", op)
	}
	t.patchValue(path+".value", op, o.Value)
}
