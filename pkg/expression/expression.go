// Package expression compiles and evaluates the CEL expressions of users over JSON trees. Maps are iterated
// in the order of their keys, and every expression is bounded in its length and its cost.
package expression

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// MaxBytes is how long an expression may be, in bytes.
const MaxBytes = 4096

const maxResultDepth = 32

// Environment declares what expressions see.
type Environment struct {
	env  *cel.Env
	cost uint64
}

// NewEnvironment returns an environment with variables of any type, in which an evaluation ends with an
// error beyond a cost in the units of cel-go, about 50 ns each. There are no string functions beyond CEL's
// own, since the cost of those that grow a string is known only after it has grown.
func NewEnvironment(cost uint64, variables ...string) (*Environment, error) {
	options := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), cel.CustomTypeAdapter(sortedAdapter{})}
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("the expression environment is not available: %w", err)
	}
	return &Environment{env: env, cost: cost}, nil
}

// Program is an expression that was compiled. It may be evaluated by several goroutines at once.
type Program struct {
	program cel.Program
	output  *cel.Type
}

// Compile checks an expression. The error says in one line what the compiler found first.
func (e *Environment) Compile(text string) (*Program, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("an expression of %d bytes, more than %d", len(text), MaxBytes)
	}
	ast, issues := e.env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("the expression does not compile: %s", firstIssue(issues))
	}
	program, err := e.env.Program(ast, cel.CostLimit(e.cost), cel.EvalOptions(cel.OptTrackCost), cel.CustomDecoratorV2(sortLiterals))
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	return &Program{program: program, output: ast.OutputType()}, nil
}

// firstIssue says in one line what the compiler found first.
func firstIssue(issues *cel.Issues) string {
	if list := issues.Errors(); len(list) > 0 {
		return fmt.Sprintf("line %d, column %d: %s", list[0].Location.Line(), list[0].Location.Column()+1, list[0].Message)
	}
	return issues.Err().Error()
}

// Yields names the type of the result as far as it is known without input: "bool", "list(string)", "dyn".
func (p *Program) Yields() string { return cel.FormatCELType(p.output) }

// MayYield tells whether the result can be of one of the kinds "bool", "string" and "list".
func (p *Program) MayYield(kinds ...string) bool {
	names := map[types.Kind]string{types.BoolKind: "bool", types.StringKind: "string", types.ListKind: "list"}
	kind := p.output.Kind()
	return kind == types.DynKind || kind == types.AnyKind || slices.Contains(kinds, names[kind])
}

// Value is the result of an evaluation.
type Value struct{ value ref.Val }

// Eval evaluates the expression over JSON trees, by the names of the variables.
func (p *Program) Eval(input map[string]any) (Value, error) {
	result, _, err := p.program.Eval(input)
	if err != nil {
		return Value{}, err //nolint:wrapcheck // The caller says which expression it was.
	}
	return Value{result}, nil
}

// JSON turns the result into a value of a JSON tree: nil, bool, string, int64, float64, []any and
// map[string]any.
func (v Value) JSON() (any, error) { return toJSON(v.value, 0) }

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

// sortedLiteral is a map that an expression itself writes down: it is iterated like those of the input.
type sortedLiteral struct {
	interpreter.InterpretableConstructor
}

// sortLiterals implements interpreter.InterpretableDecoratorV2.
func sortLiterals(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := i.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return sortedLiteral{c}, nil
	}
	return i, nil
}

// Exec implements interpreter.InterpretableV2.
func (l sortedLiteral) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return sorted(l.InterpretableConstructor.Exec(frame))
}

// Eval implements interpreter.Interpretable.
func (l sortedLiteral) Eval(a interpreter.Activation) ref.Val {
	return sorted(l.InterpretableConstructor.Eval(a))
}

// sorted returns a map that iterates in the order of its keys, and anything else as it is.
func sorted(value ref.Val) ref.Val {
	if m, ok := value.(traits.Mapper); ok {
		return sortedMap{m}
	}
	return value
}
