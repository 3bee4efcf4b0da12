package health

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Limits of one expression. The cost is in the units of cel-go, about 50 ns each; a message is cut.
const (
	maxExpression = 4096
	costLimit     = 200_000
	maxMessage    = 1024
)

// RuleError tells what is wrong with a rule of the configuration.
type RuleError struct {
	// Index of the rule, and the field of it: healthy, failed or message.
	Index int
	Field string
	Err   error
}

// Error names the field as the configuration does.
func (e *RuleError) Error() string {
	return fmt.Sprintf("spec.health.rules[%d].%s: %v", e.Index, e.Field, e.Err)
}

// Unwrap returns what the compiler said.
func (e *RuleError) Unwrap() error { return e.Err }

// NewRules compiles the rules of a configuration, once for all clusters. Every expression that does not
// compile is a *RuleError; the Rules that are returned beside them have the others.
func NewRules(configured []v1alpha1.HealthRule) (*Rules, []*RuleError) {
	rules := &Rules{configured: map[schema.GroupKind]Rule{}}
	if len(configured) == 0 {
		return rules, nil
	}
	env, err := cel.NewEnv(cel.Variable("object", cel.DynType), cel.CrossTypeNumericComparisons(true), cel.OptionalTypes())
	if err != nil {
		return rules, []*RuleError{{Field: "healthy", Err: fmt.Errorf("the expression environment is not available: %w", err)}}
	}
	var failed []*RuleError
	for i, c := range configured {
		r := expressionRule{}
		before := len(failed)
		for _, part := range []struct {
			field, text string
			want        *cel.Type
			into        *cel.Program
		}{{"healthy", c.Healthy, cel.BoolType, &r.healthy}, {"failed", c.Failed, cel.BoolType, &r.failed}, {"message", c.Message, cel.StringType, &r.message}} {
			if part.text == "" && part.field != "healthy" {
				continue
			}
			program, err := compile(env, part.text, part.want)
			if err != nil {
				failed = append(failed, &RuleError{Index: i, Field: part.field, Err: err})
			}
			*part.into = program
		}
		if len(failed) == before {
			rules.configured[schema.GroupKind{Group: c.Group, Kind: c.Kind}] = r.judge
		}
	}
	return rules, failed
}

func compile(env *cel.Env, text string, want *cel.Type) (cel.Program, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("an expression of %d bytes, more than %d", len(text), maxExpression)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		if list := issues.Errors(); len(list) > 0 {
			return nil, fmt.Errorf("the expression does not compile: line %d, column %d: %s", list[0].Location.Line(), list[0].Location.Column()+1, list[0].Message)
		}
		return nil, fmt.Errorf("the expression does not compile: %w", issues.Err())
	}
	if got := ast.OutputType(); !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression yields %s, not %s", cel.FormatCELType(got), cel.FormatCELType(want))
	}
	return env.Program(ast, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptTrackCost))
}

// expressionRule is a rule of the configuration.
type expressionRule struct{ healthy, failed, message cel.Program }

// judge implements Rule. What the object does not have yet is not an error: a status is empty before
// the first look of a controller.
func (r expressionRule) judge(u *unstructured.Unstructured) Verdict {
	if v, unsettled := unsettled(u); unsettled {
		return v
	}
	input := map[string]any{"object": u.Object}
	isFailed, missing, err := truth(r.failed, input)
	if err != nil {
		return cannotTell("failed", err)
	}
	isHealthy, missingToo, err := truth(r.healthy, input)
	if err != nil {
		return cannotTell("healthy", err)
	}
	if isHealthy && !isFailed {
		return healthy()
	}
	v := Verdict{Health: v1alpha1.HealthProgressing}
	if isFailed {
		v.Health = v1alpha1.HealthDegraded
	}
	v.Message, err = r.say(input)
	if err != nil {
		v.Failure = "message: " + err.Error()
	}
	switch {
	case v.Message != "":
	case isFailed:
		v.Message = "failed, by the rule of the configuration"
	case missing+missingToo != "":
		v.Message = "not known yet: " + strings.TrimSpace(missingToo+" "+missing)
	default:
		v.Message = "not healthy yet, by the rule of the configuration"
	}
	return v
}

func cannotTell(field string, err error) Verdict {
	return Verdict{
		Health: v1alpha1.HealthProgressing, Message: "the rule of the configuration cannot judge it: " + field + ": " + err.Error(),
		Failure: field + ": " + err.Error(),
	}
}

// truth evaluates an expression; a nil one is false. missing names what the object does not have, which
// makes it false, too.
func truth(p cel.Program, input map[string]any) (yes bool, missing string, err error) {
	if p == nil {
		return false, "", nil
	}
	out, _, err := p.Eval(input)
	if err != nil {
		if strings.Contains(err.Error(), "no such key") || strings.Contains(err.Error(), "index out of bounds") {
			return false, err.Error(), nil
		}
		return false, "", err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, "", fmt.Errorf("yields %s, not bool", out.Type().TypeName())
	}
	return bool(b), "", nil
}

// say evaluates the message; empty where there is none, or where the object has not what it quotes.
func (r expressionRule) say(input map[string]any) (string, error) {
	if r.message == nil {
		return "", nil
	}
	out, _, err := r.message.Eval(input)
	if err != nil {
		if strings.Contains(err.Error(), "no such key") || strings.Contains(err.Error(), "index out of bounds") {
			return "", nil
		}
		return "", err
	}
	s, ok := out.(types.String)
	if !ok {
		return "", errors.New("yields " + out.Type().TypeName() + ", not string")
	}
	if len(s) > maxMessage {
		s = types.String(strings.ToValidUTF8(string(s[:maxMessage]), "")) + "…"
	}
	return string(s), nil
}
