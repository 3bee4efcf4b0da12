package engine

import (
	"errors"
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// CheckRules tells what is wrong with the health rules of a configuration: every expression that does
// not compile, by its field; nil: nothing.
func CheckRules(c v1alpha1.ConfigSpec) error {
	_, failed := health.NewRules(c.Health.Rules)
	errs := make([]error, 0, len(failed))
	for _, f := range failed {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// ruleProblems are those of a Config document, each where the document has the expression.
func ruleProblems(d v1alpha1.Document, c v1alpha1.ConfigSpec) []v1alpha1.Problem {
	problems := plan.RuleProblems(d, c.Plan)
	_, failed := health.NewRules(c.Health.Rules)
	if len(failed) == 0 {
		return problems
	}
	lines := d.Lines()
	for _, f := range failed {
		field := fmt.Sprintf("spec.health.rules[%d].%s", f.Index, f.Field)
		problems = append(problems, v1alpha1.Problem{
			Position: v1alpha1.Position{File: d.Position.File, Line: v1alpha1.LineOf(lines, field, d.Position.Line)},
			Field:    field, Message: f.Err.Error(), ID: v1alpha1.FindingInvalidConfiguration, Severity: v1alpha1.SeverityBlocker,
		})
	}
	return problems
}
