package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Limits of one expression. The cost is in the units of cel-go, about 50 ns each. There are no
// string functions beyond CEL's own, since the cost of those that grow a string is known only
// after it has grown.
const (
	maxExpressionBytes = 4096
	expressionCost     = 200_000
	maxResultDepth     = 32
)

// expressionEnvironment declares what an expression sees.
func expressionEnvironment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("cluster", cel.DynType),
		cel.Variable("object", cel.DynType),
		cel.CrossTypeNumericComparisons(true),
		cel.CustomTypeAdapter(sortedAdapter{}),
	)
}

// expressionStep sets a field to the result of a CEL expression.
type expressionStep struct {
	pointer   string
	tokens    []string
	ifMissing v1alpha1.MissingPathPolicy
	program   cel.Program
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
	if len(o.CEL) > maxExpressionBytes {
		return nil, fmt.Errorf("an expression of %d bytes, more than %d", len(o.CEL), maxExpressionBytes)
	}
	env, err := r.environment()
	if err != nil {
		return nil, fmt.Errorf("the expression environment is not available: %w", err)
	}
	ast, issues := env.Compile(o.CEL)
	if issues.Err() != nil {
		return nil, fmt.Errorf("the expression does not compile: %s", firstIssue(issues))
	}
	program, err := env.Program(ast, cel.CostLimit(expressionCost), cel.EvalOptions(cel.OptTrackCost))
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	return expressionStep{pointer: o.Path, tokens: tokens, ifMissing: o.IfMissing, program: program}, nil
}

// firstIssue says in one line what the compiler found first.
func firstIssue(issues *cel.Issues) string {
	if list := issues.Errors(); len(list) > 0 {
		return fmt.Sprintf("line %d, column %d: %s", list[0].Location.Line(), list[0].Location.Column()+1, list[0].Message)
	}
	return issues.Err().Error()
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
	result, _, err := s.program.Eval(map[string]any{"cluster": cluster, "object": w.object})
	if err != nil {
		return fmt.Errorf("the expression for %q failed%s", s.pointer, w.detail(err))
	}
	value, err := toJSON(result, 0)
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

// toJSON turns a CEL value into a value of a JSON tree.
func toJSON(value ref.Val, depth int) (any, error) {
	if depth > maxResultDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxResultDepth)
	}
	switch v := value.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("a number that is too large")
		}
		return int64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("not a number")
		}
		return float64(v), nil
	case traits.Mapper:
		m := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			text, ok := key.(types.String)
			if !ok {
				return nil, fmt.Errorf("a map with a key that is not a string")
			}
			child, err := toJSON(v.Get(key), depth+1)
			if err != nil {
				return nil, err
			}
			m[string(text)] = child
		}
		return m, nil
	case traits.Lister:
		list := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			child, err := toJSON(it.Next(), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, child)
		}
		return list, nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be part of an object", value.Type().TypeName())
}

// sortedAdapter is CEL's default adapter, but for maps, which it iterates in the order of their
// keys: Go's own order changes from run to run.
type sortedAdapter struct{}

// NativeToValue implements types.Adapter.
func (a sortedAdapter) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case map[string]any:
		return sortedMap{types.NewStringInterfaceMap(a, v)}
	case map[ref.Val]ref.Val:
		return sortedMap{types.NewRefValMap(a, v)}
	case []any:
		return types.NewDynamicList(a, v)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// sortedMap iterates a map in the order of its keys.
type sortedMap struct{ traits.Mapper }

// Iterator implements traits.Iterable.
func (m sortedMap) Iterator() traits.Iterator {
	var keys []ref.Val
	for it := m.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	slices.SortFunc(keys, func(a, b ref.Val) int {
		return cmp.Or(
			cmp.Compare(a.Type().TypeName(), b.Type().TypeName()),
			cmp.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value())),
		)
	})
	return types.NewRefValList(sortedAdapter{}, keys).Iterator()
}

// IsZeroValue implements traits.Zeroer.
func (m sortedMap) IsZeroValue() bool { return m.Size() == types.IntZero }
