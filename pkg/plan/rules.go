package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/expression"
)

// Limits of one rule. The cost, see expression.NewEnvironment, lets a rule look at every line of a large
// report; beyond so many findings the rest is counted, and a message is cut at so many bytes.
const (
	ruleCost        = 10_000_000
	maxRuleFindings = 200
	maxRuleMessage  = 1024
)

// RuleError tells what is wrong with a rule of the configuration.
type RuleError struct {
	// Index of the rule, and the field of it: id, cel or messageExpression.
	Index int
	Field string
	Err   error
}

// Error names the field as the configuration does.
func (e *RuleError) Error() string { return e.path() + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *RuleError) Unwrap() error { return e.Err }

func (e *RuleError) path() string { return fmt.Sprintf("spec.plan.rules[%d].%s", e.Index, e.Field) }

// CheckRules tells what is wrong with rules: an id of a built-in finding, an expression that does not compile
// or cannot yield what a rule yields.
func CheckRules(rules []v1alpha1.PlanRule) []*RuleError {
	_, failed := compileRules(rules)
	return failed
}

// RuleProblems are the errors of CheckRules for the Config of a document, each where the document has the
// field.
func RuleProblems(d v1alpha1.Document, c v1alpha1.PlanConfig) []v1alpha1.Problem {
	failed := CheckRules(c.Rules)
	if len(failed) == 0 {
		return nil
	}
	lines := d.Lines()
	problems := make([]v1alpha1.Problem, 0, len(failed))
	for _, f := range failed {
		problems = append(problems, v1alpha1.Problem{
			Position: v1alpha1.Position{File: d.Position.File, Line: v1alpha1.LineOf(lines, f.path(), d.Position.Line)},
			Field:    f.path(), Message: f.Err.Error(), ID: v1alpha1.FindingInvalidConfiguration, Severity: v1alpha1.SeverityBlocker,
		})
	}
	return problems
}

// ReadRules reads a file with rules: a YAML list as in spec.plan.rules of a Config, or a Config. With a
// blocker among the problems the rules are not to be used.
func ReadRules(file string, data []byte) ([]v1alpha1.PlanRule, []v1alpha1.Problem) {
	docs, problems := v1alpha1.DecodePlanRules(file, data)
	refuse := func(at v1alpha1.Position, message string) {
		problems = append(problems, v1alpha1.Problem{
			Position: at, ID: v1alpha1.FindingInvalidConfiguration, Severity: v1alpha1.SeverityBlocker, Message: message,
		})
	}
	var rules []v1alpha1.PlanRule
	for i, d := range docs {
		if i > 0 {
			refuse(d.Position, "a file of rules has one document")
			continue
		}
		value, found := d.Typed()
		problems = append(problems, found...)
		switch config, ok := value.(*v1alpha1.Config); {
		case ok:
			rules = config.Spec.Plan.Rules
			problems = append(problems, RuleProblems(d, config.Spec.Plan)...)
		case value != nil:
			refuse(d.Position, "a file of rules is a list of them, or a Config, not a "+d.Kind)
		}
	}
	if len(rules) == 0 && !v1alpha1.Blocked(problems) {
		refuse(v1alpha1.Position{File: file, Line: 1}, "the file has no rules: want a list of id, severity, cel and message")
	}
	slices.SortStableFunc(problems, v1alpha1.Problem.Compare)
	return rules, problems
}

// rule is a rule that was compiled; err: it was not.
type rule struct {
	v1alpha1.PlanRule
	judge, say *expression.Program
	err        error
}

// compileRules compiles all rules, each for itself.
func compileRules(configured []v1alpha1.PlanRule) ([]rule, []*RuleError) {
	if len(configured) == 0 {
		return nil, nil
	}
	env, err := expression.NewEnvironment(ruleCost, "report", "clusters")
	if err != nil {
		return nil, []*RuleError{{Field: "cel", Err: err}}
	}
	rules := make([]rule, 0, len(configured))
	var failed []*RuleError
	for i, c := range configured {
		r := rule{PlanRule: c}
		fail := func(field string, err error) {
			r.err = cmp.Or(r.err, err)
			failed = append(failed, &RuleError{Index: i, Field: field, Err: err})
		}
		if slices.ContainsFunc(FindingKinds(), func(k FindingKind) bool { return k.ID == c.ID }) {
			fail("id", fmt.Errorf("%q is the id of a finding of armada-sync itself; choose another one", c.ID))
		}
		if r.judge, err = compileRule(env, c.CEL, "bool", "list"); err != nil {
			fail("cel", err)
		}
		if c.MessageExpression != "" {
			if r.say, err = compileRule(env, c.MessageExpression, "string"); err != nil {
				fail("messageExpression", err)
			}
		}
		rules = append(rules, r)
	}
	return rules, failed
}

func compileRule(env *expression.Environment, text string, kinds ...string) (*expression.Program, error) {
	program, err := env.Compile(text)
	if err != nil {
		return nil, err
	}
	if !program.MayYield(kinds...) {
		return nil, fmt.Errorf("the expression yields %s, not %s", program.Yields(), strings.Join(kinds, " or "))
	}
	return program, nil
}

// applyRules adds the findings of the rules of the configuration. The rules see the report without them.
func (v *preview) applyRules() {
	if v.head.at == nil || len(v.head.at.snap.Config.Plan.Rules) == 0 {
		return
	}
	rules, _ := compileRules(v.head.at.snap.Config.Plan.Rules)
	input, err := ruleInput(v.report, v.head.at.snap.Clusters)
	for _, r := range rules {
		r.err = cmp.Or(r.err, err)
		for _, f := range r.findings(input) {
			v.findings.add(f)
		}
	}
	v.report.Findings = v.findings.list()
}

// ruleInput are the JSON trees that rules see.
func ruleInput(r Report, clusters []v1alpha1.Cluster) (map[string]any, error) {
	report, err := jsonTree(r)
	if err != nil {
		return nil, fmt.Errorf("the report: %w", err)
	}
	byName := make(map[string]any, len(clusters))
	for i := range clusters {
		if byName[clusters[i].Name], err = jsonTree(&clusters[i]); err != nil {
			return nil, fmt.Errorf("cluster %q: %w", clusters[i].Name, err)
		}
	}
	return map[string]any{"report": report, "clusters": byName}, nil
}

// jsonTree turns a value into what its JSON says.
func jsonTree(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("as JSON: %w", err)
	}
	var tree any
	if err := utiljson.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("from JSON: %w", err)
	}
	return tree, nil
}

// findings are those of one rule. A rule that fails is one of its own, since silence would look like success.
func (r rule) findings(input map[string]any) []finding {
	found, err := r.evaluate(input)
	if err != nil {
		return []finding{{
			ID: r.ID, Severity: v1alpha1.SeverityCaution, Clusters: []string{},
			Message: cutMessage("the rule could not be evaluated: " + err.Error()),
		}}
	}
	return found
}

func (r rule) evaluate(input map[string]any) ([]finding, error) {
	if r.err != nil {
		return nil, r.err
	}
	result, err := r.judge.Eval(input)
	if err != nil {
		return nil, err //nolint:wrapcheck // There is one expression, and the finding names the rule.
	}
	value, err := result.JSON()
	if err != nil {
		return nil, fmt.Errorf("the result: %w", err)
	}
	switch value := value.(type) {
	case bool:
		if !value {
			return nil, nil
		}
		return r.items([]any{map[string]any{}}, input)
	case []any:
		return r.items(value, input)
	}
	return nil, fmt.Errorf("the expression yields %s, not a bool or a list", typeName(value))
}

// items turns the items of a result into findings.
func (r rule) items(items []any, input map[string]any) ([]finding, error) {
	if len(items) == 0 {
		return nil, nil
	}
	message, err := r.message(input)
	if err != nil {
		return nil, err
	}
	clusters, _ := input["clusters"].(map[string]any)
	found := make([]finding, 0, min(len(items), maxRuleFindings+1))
	for i, item := range items {
		if i == maxRuleFindings {
			found = append(found, finding{
				ID: r.ID, Severity: r.severity(), Clusters: []string{},
				Message: fmt.Sprintf("and %d more findings of this rule", len(items)-i),
			})
			break
		}
		f, err := ruleFinding(item, clusters)
		if err != nil {
			return nil, fmt.Errorf("item %d of the result: %w", i, err)
		}
		f.ID, f.Severity, f.Message = r.ID, r.severity(), cutMessage(cmp.Or(f.Message, message))
		found = append(found, f)
	}
	return found, nil
}

func (r rule) severity() v1alpha1.Severity { return cmp.Or(r.Severity, v1alpha1.SeverityCaution) }

// message is what findings say that bring no message of their own.
func (r rule) message(input map[string]any) (string, error) {
	if r.say == nil {
		return cmp.Or(r.Message, "the rule "+r.ID+" of the configuration applies"), nil
	}
	result, err := r.say.Eval(input)
	if err != nil {
		return "", fmt.Errorf("messageExpression: %w", err)
	}
	value, err := result.JSON()
	if err != nil {
		return "", fmt.Errorf("messageExpression: the result: %w", err)
	}
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("messageExpression yields %s, not a string", typeName(value))
	}
	return text, nil
}

// ruleFinding reads one item of a result: a message, or a map as documented.
func ruleFinding(item any, clusters map[string]any) (finding, error) {
	if text, ok := item.(string); ok {
		return finding{Message: text, Clusters: []string{}}, nil
	}
	fields, ok := item.(map[string]any)
	if !ok {
		return finding{}, fmt.Errorf("%s, where a message or a map belongs", typeName(item))
	}
	f := finding{Clusters: []string{}}
	for _, key := range keys(fields) {
		var err error
		switch key {
		case "message":
			f.Message, err = textOf(fields[key])
		case "source":
			f.Source, err = textOf(fields[key])
		case "repository":
			f.Repository, err = textOf(fields[key])
		case "clusters":
			f.Clusters, err = clusterNames(fields[key], clusters)
		case "object":
			f.Object, err = objectOf(fields[key])
		default:
			err = fmt.Errorf("no finding has it: want message, clusters, object, source or repository")
		}
		if err != nil {
			return finding{}, fmt.Errorf("%q: %w", key, err)
		}
	}
	return f, nil
}

func textOf(value any) (string, error) {
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("%s, where a string belongs", typeName(value))
	}
	return text, nil
}

// clusterNames are names of clusters of the fleet.
func clusterNames(value any, clusters map[string]any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("%s, where a list of names belongs", typeName(value))
	}
	names := make([]string, 0, len(list))
	for _, item := range list {
		name, err := textOf(item)
		if err != nil {
			return nil, err
		}
		if _, known := clusters[name]; !known {
			return nil, fmt.Errorf("the fleet has no cluster %q", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// objectOf reads a reference; what else the map has, as an object of the report does, is left out.
func objectOf(value any) (*v1alpha1.ObjectReference, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s, where a map belongs", typeName(value))
	}
	var ref v1alpha1.ObjectReference
	for _, part := range []struct {
		key  string
		into *string
	}{{"apiVersion", &ref.APIVersion}, {"kind", &ref.Kind}, {"namespace", &ref.Namespace}, {"name", &ref.Name}} {
		value, there := fields[part.key]
		if !there && part.key == "namespace" {
			continue
		}
		text, err := textOf(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.key, err)
		}
		*part.into = text
	}
	return &ref, nil
}

// typeName names the type of a value of a JSON tree.
func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "nothing"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return "a number"
}

func cutMessage(text string) string {
	if len(text) <= maxRuleMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxRuleMessage], "") + "…"
}
