package plan_test

import (
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestReadRulesSaysWhere gives the file and line of what is wrong with a file of rules.
func TestReadRulesSaysWhere(t *testing.T) {
	for _, c := range []struct{ reason, file, want string }{
		{"nothing", "", "rules.yaml:1: the file has no rules"},
		{"an empty list", "[]\n", "rules.yaml:1: the file has no rules"},
		{"an expression that does not compile", "- id: a\n  cel: report.\n", "rules.yaml:2: spec.plan.rules[0].cel: the expression does not compile: line 1"},
		{"a name that is not there", "- id: a\n  cel: reports.x\n", "rules.yaml:2: spec.plan.rules[0].cel: the expression does not compile"},
		{"a result that is no finding", "- id: a\n  cel: '1'\n", "the expression yields int, not bool or list"},
		{"a message that is no text", "- id: a\n  cel: 'true'\n  messageExpression: '1'\n", "rules.yaml:3: spec.plan.rules[0].messageExpression: the expression yields int, not string"},
		{"the id of a finding of ours", "- id: restart\n  cel: 'true'\n", "rules.yaml:1: spec.plan.rules[0].id: \"restart\" is the id of a finding of armada-sync itself"},
		{"an id that is no name", "- id: No Good\n  cel: 'true'\n", "rules.yaml:1: spec.plan.rules[0].id: \"No Good\" is not accepted"},
		{"an id twice", "- {id: a, cel: 'true'}\n- {id: a, cel: 'true'}\n", "rules.yaml:2: spec.plan.rules[1]: the id \"a\" is already used"},
		{"another severity", "- id: a\n  cel: 'true'\n  severity: fatal\n", "rules.yaml:3: spec.plan.rules[0].severity: \"fatal\" is not one of"},
		{"no expression", "- id: a\n", "spec.plan.rules[0].cel: the field is required"},
		{"two messages", "- id: a\n  cel: 'true'\n  message: x\n  messageExpression: '\"x\"'\n", "rules.yaml:4: spec.plan.rules[0].messageExpression: there is a message already"},
		{"a field that is not there", "- id: a\n  cel: 'true'\n  when: now\n", "rules.yaml:3: spec.plan.rules[0].when"},
		{"another document", "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n", "not a Cluster"},
		{"two documents", "- {id: a, cel: 'true'}\n---\n- {id: b, cel: 'true'}\n", "rules.yaml:3: a file of rules has one document"},
		{"no YAML", "- id: [\n", "rules.yaml:"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, problems := plan.ReadRules("rules.yaml", []byte(c.file))
			if !v1alpha1.Blocked(problems) {
				t.Fatalf("no blocker: %v", problems)
			}
			for _, p := range problems {
				if strings.Contains(p.Error(), c.want) {
					return
				}
			}
			t.Errorf("no problem has %q: %v", c.want, problems)
		})
	}
}

// TestReadRulesTakesAListOrAConfig gives the same rules for both, with the default severity.
func TestReadRulesTakesAListOrAConfig(t *testing.T) {
	for _, file := range []string{
		"- {id: a, cel: 'true'}\n",
		`[{"id": "a", "cel": "true"}]`,
		"apiVersion: armada-sync.io/v1alpha1\nkind: Config\nspec: {plan: {rules: [{id: a, cel: 'true'}]}}\n",
	} {
		rules, problems := plan.ReadRules("rules.yaml", []byte(file))
		if len(problems) > 0 || len(rules) != 1 || rules[0] != (v1alpha1.PlanRule{ID: "a", CEL: "true", Severity: v1alpha1.SeverityCaution}) {
			t.Errorf("%q: %v, %v", file, rules, problems)
		}
	}
}

// FuzzRules says that no rule makes a preview crash, and that the same rule gives the same findings.
func FuzzRules(f *testing.F) {
	for _, cel := range []string{
		"true", "['a']", "[{'message': 'a', 'clusters': ['eu-1']}]", "report.groups.map(g, g.object)", "[[[]]]", "{1: 2}", "[null]",
		"[{'object': {'kind': 'x'}}]", "[{'clusters': [1]}]", "[{'source': '\\u0000:999999999999'}]", "clusters.map(c, c)", "[1/0]", "[report]",
	} {
		f.Add(cel, "'m' + report.kind")
	}
	f.Fuzz(func(t *testing.T, cel, message string) {
		var snap plan.Snapshot
		snap.Clusters = []v1alpha1.Cluster{{}}
		snap.Clusters[0].Name = "eu-1"
		snap.Config.Plan.Rules = []v1alpha1.PlanRule{{ID: "own", CEL: cel, MessageExpression: message}}
		p := plan.Compute(nil, snap)
		first, again := plan.Preview(p, p, plan.PreviewOptions{}).Findings, plan.Preview(p, p, plan.PreviewOptions{}).Findings
		if len(first) != len(again) {
			t.Fatalf("%d findings, then %d", len(first), len(again))
		}
		for i := range first {
			if first[i].Compare(again[i]) != 0 {
				t.Errorf("%v, then %v", first[i], again[i])
			}
		}
	})
}
