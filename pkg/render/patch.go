package render

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// What overrides may make of an object: what copy operations may add, and how large the result may
// be. An API server takes at most 3 MiB.
const (
	maxCopyBytes   = 1 << 20
	maxObjectBytes = 3 << 20
)

// patchOperation is one compiled operation of RFC 6902.
type patchOperation struct {
	op        v1alpha1.OverriderOperator
	path      string
	from      string
	tokens    []string
	fromPath  []string
	ifMissing v1alpha1.MissingPathPolicy
	compiled  jsonpatch.Operation
}

func compileOperation(o v1alpha1.JSONPatchOperation) (patchOperation, error) {
	op := o.Op
	if op == "" {
		op = o.Operator
	}
	if o.Op != "" && o.Operator != "" && o.Op != o.Operator {
		return patchOperation{}, fmt.Errorf("op is %q and operator is %q, which are two names of one field", o.Op, o.Operator)
	}
	p := patchOperation{op: op, path: o.Path, from: o.From, ifMissing: o.IfMissing}
	var err error
	if p.tokens, err = ParsePointer(o.Path); err != nil {
		return patchOperation{}, err
	}
	if len(p.tokens) == 0 && op != v1alpha1.OperatorTest {
		return patchOperation{}, fmt.Errorf("the empty path means the whole object, which cannot be overridden")
	}
	if err := checkMissing(o.IfMissing); err != nil {
		return patchOperation{}, err
	}
	switch op {
	case v1alpha1.OperatorAdd, v1alpha1.OperatorReplace, v1alpha1.OperatorTest:
		if o.Value == nil {
			return patchOperation{}, fmt.Errorf("%s needs a value", op)
		}
	case v1alpha1.OperatorRemove:
	case v1alpha1.OperatorCopy, v1alpha1.OperatorMove:
		if p.fromPath, err = ParsePointer(o.From); err != nil {
			return patchOperation{}, fmt.Errorf("from: %w", err)
		}
		if len(p.fromPath) == 0 {
			return patchOperation{}, fmt.Errorf("%s needs a from", op)
		}
	default:
		return patchOperation{}, fmt.Errorf("unknown operation %q, want add, remove, replace, copy, move or test", op)
	}
	p.compiled, err = p.encode(op, o.Value == nil, func() []byte { return o.Value.Raw })
	return p, err
}

func checkMissing(m v1alpha1.MissingPathPolicy) error {
	switch m {
	case "", v1alpha1.MissingFail, v1alpha1.MissingSkip, v1alpha1.MissingCreate:
		return nil
	}
	return fmt.Errorf("unknown ifMissing %q, want fail, skip or create", m)
}

// encode makes the operation that the patch library reads.
func (p patchOperation) encode(op v1alpha1.OverriderOperator, noValue bool, value func() []byte) (jsonpatch.Operation, error) {
	operation := jsonpatch.Operation{}
	set := func(key, text string) {
		raw := json.RawMessage(canonicalJSON(text))
		operation[key] = &raw
	}
	set("op", string(op))
	set("path", p.path)
	if p.fromPath != nil {
		set("from", p.from)
	}
	if !noValue {
		raw := json.RawMessage(value())
		if len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		if !json.Valid(raw) {
			return nil, fmt.Errorf("the value is not JSON")
		}
		operation["value"] = &raw
	}
	return operation, nil
}

// patchStep is a list of operations of RFC 6902. They run together, since most of the cost of a
// patch is reading the object into the library and back.
type patchStep struct {
	operations []patchOperation
	// places of the operations, in their order.
	places []location
}

func (s patchStep) apply(w *work) error {
	var batch []int
	for i := range s.operations {
		o := &s.operations[i]
		if o.op != v1alpha1.OperatorTest {
			w.wroteAt(o.written(), s.places[i])
			if o.op == v1alpha1.OperatorMove {
				w.wroteAt(o.from, s.places[i])
			}
		}
		if o.ifMissing == "" || o.ifMissing == v1alpha1.MissingFail {
			batch = append(batch, i)
			continue
		}
		// Whether something is missing can be told only once the operations before are done.
		if err := s.run(w, batch); err != nil {
			return err
		}
		batch = nil
		proceed, compiled, err := o.prepare(w.mutable())
		if err != nil {
			return w.failAt(s.places[i], fmt.Errorf("%s %q: %w", o.op, o.path, err))
		}
		if !proceed {
			w.idleAt(s.places[i], "%s %q is skipped: it is not there", o.op, o.path)
			continue
		}
		patched, err := applyPatch(w.object, jsonpatch.Patch{compiled})
		if err != nil {
			return w.failAt(s.places[i], o.explain(err))
		}
		w.become(patched)
	}
	return s.run(w, batch)
}

// run applies operations at once. When one fails, they are tried one by one to find it.
func (s patchStep) run(w *work, batch []int) error {
	if len(batch) == 0 {
		return nil
	}
	operations := make([]*patchOperation, 0, len(batch))
	for _, i := range batch {
		operations = append(operations, &s.operations[i])
	}
	patched, err := applyToExcerpt(w.object, operations)
	if err == nil {
		// It shares what it did not touch with the object before.
		w.object, w.shared = patched, true
		return nil
	}
	current := w.object
	for _, i := range batch {
		next, single := applyPatch(current, jsonpatch.Patch{s.operations[i].compiled})
		if single != nil {
			return w.failAt(s.places[i], s.operations[i].explain(single))
		}
		current = next
	}
	return w.failAt(s.places[batch[0]], err)
}

// written is the pointer of the field that the operation writes; for an item appended to a list,
// that of the list.
func (o *patchOperation) written() string {
	if n := len(o.tokens); n > 0 && o.tokens[n-1] == "-" {
		return encodePointer(o.tokens[:n-1])
	}
	return encodePointer(o.tokens)
}

// prepare looks at what is there for ifMissing. It tells whether to go on, and with which operation:
// where create makes a field, replace becomes add.
func (o *patchOperation) prepare(object map[string]any) (bool, jsonpatch.Operation, error) {
	_, there := lookup(object, o.tokens)
	holder, _ := lookup(object, o.tokens[:max(len(o.tokens)-1, 0)])
	if o.fromPath != nil {
		if _, ok := lookup(object, o.fromPath); !ok {
			if o.ifMissing == v1alpha1.MissingSkip {
				return false, nil, nil
			}
			return false, nil, fmt.Errorf("from %q is not there", o.from)
		}
	}
	needsTarget := o.op == v1alpha1.OperatorReplace || o.op == v1alpha1.OperatorRemove || o.op == v1alpha1.OperatorTest
	missing := needsTarget && !there || !needsTarget && !takes(holder, o.tokens[len(o.tokens)-1])
	switch {
	case !missing:
		return true, o.compiled, nil
	case o.ifMissing == v1alpha1.MissingSkip || o.op == v1alpha1.OperatorRemove:
		return false, nil, nil
	case o.op == v1alpha1.OperatorTest:
		return false, nil, fmt.Errorf("it is not there")
	}
	if err := createParents(object, o.tokens); err != nil {
		return false, nil, err
	}
	if o.op != v1alpha1.OperatorReplace {
		return true, o.compiled, nil
	}
	if _, ok := holder.([]any); ok {
		return false, nil, fmt.Errorf("it is not there, and list elements are not created")
	}
	raw := o.compiled["value"]
	compiled, err := o.encode(v1alpha1.OperatorAdd, false, func() []byte { return *raw })
	return true, compiled, err
}

// takes tells whether something can be put into a holder under a token. A null is as good as nothing.
func takes(holder any, token string) bool {
	switch h := holder.(type) {
	case map[string]any:
		return true
	case []any:
		_, ok := index(token, len(h)+1)
		return ok || token == "-"
	}
	return false
}

// explain says what failed in the words of the policy. It holds no value of the object.
func (o *patchOperation) explain(err error) error {
	var grown *jsonpatch.AccumulatedCopySizeError
	switch {
	case errors.As(err, &grown):
		return fmt.Errorf("%s %q: the copies of the patch add more than %d bytes", o.op, o.path, maxCopyBytes)
	case errors.Is(err, jsonpatch.ErrTestFailed):
		return fmt.Errorf("test %q: the value is another one", o.path)
	case errors.Is(err, jsonpatch.ErrMissing):
		if o.fromPath != nil {
			return fmt.Errorf("%s %q from %q: one of them is not there", o.op, o.path, o.from)
		}
		return fmt.Errorf("%s %q: it is not there", o.op, o.path)
	case errors.Is(err, jsonpatch.ErrInvalidIndex):
		return fmt.Errorf("%s %q: the list has no such index", o.op, o.path)
	}
	return fmt.Errorf("%s %q: %w", o.op, o.path, err)
}

// applyPatch runs operations on a JSON tree and returns the new one.
func applyPatch(object map[string]any, patch jsonpatch.Patch) (map[string]any, error) {
	patched, err := applyPatchTo(canonicalJSON(object), patch)
	if err != nil {
		return nil, err
	}
	return decodeObject(patched)
}

// decodeObject reads the JSON of an object that overrides made.
func decodeObject(raw []byte) (map[string]any, error) {
	if len(raw) > maxObjectBytes {
		return nil, fmt.Errorf("the object would have %d bytes, more than %d", len(raw), maxObjectBytes)
	}
	var object map[string]any
	if err := utiljson.Unmarshal(raw, &object); err != nil || object == nil {
		return nil, fmt.Errorf("the result is not an object")
	}
	return object, nil
}

// applyPatchTo guards the library, which panics where a test compares a list that holds a null with
// one that holds something else.
func applyPatchTo(document []byte, patch jsonpatch.Patch) (patched []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			patched, err = nil, errors.New("the values cannot be compared")
		}
	}()
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	options.AccumulatedCopySizeLimit = maxCopyBytes
	options.EscapeHTML = false
	return patch.ApplyWithOptions(document, options)
}
