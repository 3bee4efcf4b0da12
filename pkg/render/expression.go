package render

import (
	"encoding/json"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/expression"
)

// expressionCost is what one evaluation may cost; see expression.NewEnvironment.
const expressionCost = 200_000

// expressionEnvironment declares what an expression sees.
func expressionEnvironment() (*expression.Environment, error) {
	return expression.NewEnvironment(expressionCost, "cluster", "object")
}

// expressionStep sets a field to the result of a CEL expression.
type expressionStep struct {
	pointer   string
	tokens    []string
	ifMissing v1alpha1.MissingPathPolicy
	program   *expression.Program
}

func (r *Renderer) compileExpression(o v1alpha1.ExpressionOverrider) (step, error) {
	tokens, err := ParsePointer(o.Path)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("path is missing")
	}
	if err := checkMissing(o.IfMissing); err != nil {
		return nil, err
	}
	env, err := r.environment()
	if err != nil {
		return nil, err
	}
	program, err := env.Compile(o.CEL)
	if err != nil {
		return nil, err
	}
	return expressionStep{pointer: o.Path, tokens: tokens, ifMissing: o.IfMissing, program: program}, nil
}

// readsCluster marks steps whose result depends on more of the cluster than which rules match it.
func (expressionStep) readsCluster() {}

func (s expressionStep) apply(w *work) error {
	if _, ok := lookup(w.object, s.tokens); !ok {
		switch s.ifMissing {
		case v1alpha1.MissingSkip:
			w.idle("%q is skipped: it is not there", s.pointer)
			return nil
		case v1alpha1.MissingCreate:
			if err := createParents(w.mutable(), s.tokens); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is not there", s.pointer)
		}
	}
	cluster, err := w.clusterDocument()
	if err != nil {
		return err
	}
	result, err := s.program.Eval(map[string]any{"cluster": cluster, "object": w.object})
	if err != nil {
		return fmt.Errorf("the expression for %q failed%s", s.pointer, w.detail(err))
	}
	value, err := result.JSON()
	if err != nil {
		return fmt.Errorf("the result of the expression for %q: %w", s.pointer, err)
	}
	w.wrote(s.pointer)
	return assign(w.mutable(), s.tokens, value)
}

// document turns a cluster into the JSON tree that expressions see.
func document(c *v1alpha1.Cluster) (map[string]any, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("cluster %q as JSON: %w", c.Name, err)
	}
	var tree map[string]any
	if err := utiljson.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("cluster %q from JSON: %w", c.Name, err)
	}
	return tree, nil
}
