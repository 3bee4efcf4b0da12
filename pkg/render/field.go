package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// fieldStep patches a JSON or YAML document inside a string field.
type fieldStep struct {
	pointer    string
	tokens     []string
	yaml       bool
	operations []patchOperation
}

func compileField(o v1alpha1.FieldOverrider) (step, error) {
	tokens, err := ParsePointer(o.FieldPath)
	if err != nil {
		return nil, fmt.Errorf("fieldPath: %w", err)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("fieldPath is missing")
	}
	if len(o.JSON) == 0 && len(o.YAML) == 0 {
		return nil, fmt.Errorf("neither json nor yaml is set")
	}
	if len(o.JSON) > 0 && len(o.YAML) > 0 {
		return nil, fmt.Errorf("json and yaml exclude each other")
	}
	s := fieldStep{pointer: o.FieldPath, tokens: tokens, yaml: len(o.YAML) > 0}
	list := o.JSON
	if s.yaml {
		list = o.YAML
	}
	for i, f := range list {
		if err := checkOperator(f.Operator); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i+1, err)
		}
		p, err := compileOperation(v1alpha1.JSONPatchOperation{Path: f.SubPath, Op: f.Operator, Value: f.Value})
		if err != nil {
			return nil, fmt.Errorf("operation %d: %w", i+1, err)
		}
		s.operations = append(s.operations, p)
	}
	return s, nil
}

// apply decodes the string, patches it and encodes it again. YAML loses its comments and gets
// sorted keys; JSON keeps its indentation in so far as it is either indented by two spaces or not.
func (s fieldStep) apply(w *work) error {
	current, ok := lookup(w.object, s.tokens)
	text, isString := current.(string)
	if !ok || !isString {
		return fmt.Errorf("%q is not there or not a string", s.pointer)
	}
	if len(text) > maxObjectBytes {
		return fmt.Errorf("the string at %q has %d bytes, more than %d", s.pointer, len(text), maxObjectBytes)
	}
	document := []byte(text)
	if s.yaml {
		converted, err := yaml.YAMLToJSON(document)
		if err != nil {
			return fmt.Errorf("the string at %q is not YAML%s", s.pointer, w.detail(err))
		}
		document = converted
	}
	if !json.Valid(document) {
		return fmt.Errorf("the string at %q is not JSON", s.pointer)
	}
	for i := range s.operations {
		o := &s.operations[i]
		patched, err := applyPatchTo(document, jsonpatch.Patch{o.compiled})
		if err != nil {
			return fmt.Errorf("inside %q: %w", s.pointer, o.explain(err))
		}
		document = patched
	}
	result, err := s.encode(document, text)
	if err != nil {
		return fmt.Errorf("inside %q: %w", s.pointer, err)
	}
	w.wrote(s.pointer)
	if result == text {
		w.idle("the document at %q stays", s.pointer)
	}
	return assign(w.mutable(), s.tokens, result)
}

func (s fieldStep) encode(document []byte, before string) (string, error) {
	if s.yaml {
		result, err := yaml.JSONToYAML(document)
		if err != nil {
			return "", errors.New("the result is not YAML")
		}
		return string(result), nil
	}
	var b bytes.Buffer
	if bytes.Contains([]byte(before), []byte("\n")) {
		if err := json.Indent(&b, document, "", "  "); err != nil {
			return "", errors.New("the result is not JSON")
		}
		return b.String(), nil
	}
	return string(document), nil
}
