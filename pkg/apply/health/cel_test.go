package health_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
)

const widget = `
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, namespace: shop, generation: 1}
`

func widgetRule(healthy, failed, message string) v1alpha1.HealthRule {
	return v1alpha1.HealthRule{Group: "example.org", Kind: "Widget", Healthy: healthy, Failed: failed, Message: message}
}

func TestRulesOfTheConfiguration(t *testing.T) {
	const up, broken, why = `object.status.phase == 'Up'`, `object.status.phase == 'Broken'`, `'the phase is ' + object.status.phase`
	for _, c := range []struct {
		reason string
		rule   v1alpha1.HealthRule
		object string
		want   health.Verdict
	}{
		{"it says so", widgetRule(up, broken, why), "status: {phase: Up}", health.Verdict{Health: "healthy"}},
		{"neither of the two", widgetRule(up, broken, why), "status: {phase: Starting}", health.Verdict{Health: "progressing", Message: "the phase is Starting"}},
		{"it failed", widgetRule(up, broken, why), "status: {phase: Broken}", health.Verdict{Health: "degraded", Message: "the phase is Broken"}},
		{"both: the failure counts", widgetRule(up, "true", ""), "status: {phase: Up}", health.Verdict{Health: "degraded", Message: "failed, by the rule of the configuration"}},
		{"a new object has no status, which is no error", widgetRule(up, broken, why), "", health.Verdict{Health: "progressing", Message: "not known yet: no such key: status no such key: status"}},
		{"optional fields", widgetRule(`object.?status.?phase.orValue('') == 'Up'`, "", ""), "", health.Verdict{Health: "progressing", Message: "not healthy yet, by the rule of the configuration"}},
		{"lists", widgetRule(`object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')`, "", ""),
			"status: {conditions: [{type: Other, status: 'False'}, {type: Ready, status: 'True'}]}", health.Verdict{Health: "healthy"}},
		{"an old generation is not believed", widgetRule("true", "", ""), "status: {observedGeneration: 0}",
			health.Verdict{Health: "progressing", Message: "its controller has seen generation 0 of 1"}},
		{"numbers of any type", widgetRule("object.status.ready >= 1.5", "", ""), "status: {ready: 2}", health.Verdict{Health: "healthy"}},
		{"a rule that fails is reported", widgetRule("object.status.ready > 1", "", ""), "status: {ready: many}",
			health.Verdict{Health: "progressing", Message: "the rule of the configuration cannot judge it: healthy: no such overload", Failure: "healthy: no such overload"}},
		{"so is one that yields something else", widgetRule("object.status.ready", "", ""), "status: {ready: 1}",
			health.Verdict{Health: "progressing", Message: "the rule of the configuration cannot judge it: healthy: yields int, not bool", Failure: "healthy: yields int, not bool"}},
		{"a message that fails does not hide the verdict", widgetRule("false", "true", "object.status.code + 'x'"), "status: {code: 7}",
			health.Verdict{Health: "degraded", Message: "failed, by the rule of the configuration", Failure: "message: no such overload"}},
		{"a message of what is not there yet", widgetRule("false", "true", "object.status.why"), "status: {}",
			health.Verdict{Health: "degraded", Message: "failed, by the rule of the configuration"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			rules, failed := health.NewRules([]v1alpha1.HealthRule{c.rule})
			if len(failed) > 0 {
				t.Fatal(failed[0])
			}
			rule := rules.For(schema.GroupKind{Group: "example.org", Kind: "Widget"}, false)
			if got := rule(parse(t, widget+c.object)); got != c.want {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestARuleGoesBeforeThoseOfTheProgram(t *testing.T) {
	rules, failed := health.NewRules([]v1alpha1.HealthRule{{Group: "apps", Kind: "Deployment", Healthy: "true"}})
	if len(failed) > 0 {
		t.Fatal(failed[0])
	}
	v := rules.For(schema.GroupKind{Group: "apps", Kind: "Deployment"}, true)(parse(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"))
	if v.Health != v1alpha1.HealthHealthy {
		t.Errorf("%+v", v)
	}
}

func TestRulesThatDoNotCompile(t *testing.T) {
	for _, c := range []struct {
		rule        v1alpha1.HealthRule
		field, want string
	}{
		{widgetRule("object.status.phase ==", "", ""), "healthy", "does not compile: line 1, column"},
		{widgetRule("", "", ""), "healthy", "does not compile"},
		{widgetRule("'yes'", "", ""), "healthy", "yields string, not bool"},
		{widgetRule("true", "cluster.name == 'a'", ""), "failed", "undeclared reference to 'cluster'"},
		{widgetRule("true", "", "1"), "message", "yields int, not string"},
		{widgetRule(strings.Repeat(" ", 5000)+"true", "", ""), "healthy", "more than 4096"},
	} {
		good := v1alpha1.HealthRule{Group: "example.org", Kind: "Other", Healthy: "true"}
		rules, failed := health.NewRules([]v1alpha1.HealthRule{good, c.rule})
		if len(failed) != 1 || failed[0].Index != 1 || failed[0].Field != c.field || !strings.Contains(failed[0].Error(), c.want) {
			t.Errorf("%+v: %v, want %q about %s", c.rule, failed, c.want, c.field)
		}
		if rules.For(schema.GroupKind{Group: "example.org", Kind: "Other"}, false) == nil {
			t.Error("the rule that compiles is lost")
		}
	}
}

// An expression that would run for long is stopped, and what it judged is not healthy.
func TestAnExpensiveRuleIsStopped(t *testing.T) {
	all := "object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))"
	rules, failed := health.NewRules([]v1alpha1.HealthRule{widgetRule(all, "", "")})
	if len(failed) > 0 {
		t.Fatal(failed[0])
	}
	u := parse(t, widget)
	list := make([]any, 500)
	for i := range list {
		list[i] = int64(i)
	}
	u.Object["l"] = list
	v := rules.For(schema.GroupKind{Group: "example.org", Kind: "Widget"}, false)(u)
	if v.Health == v1alpha1.HealthHealthy || !strings.Contains(v.Failure, "cost limit exceeded") {
		t.Errorf("%+v", v)
	}
}

func FuzzRule(f *testing.F) {
	f.Add("object.status.phase == 'Up'", "has(object.status)", "object.metadata.name", `{"phase":"Up"}`)
	f.Add("object.status[0]", "object.a.b.c", "'x' + string(object.status)", `[1, null]`)
	f.Add("[1,2,3].all(i, i > 0)", "object.?a.?b.hasValue()", "\"\\xff\"", `null`)
	f.Fuzz(func(t *testing.T, healthy, failed, message, status string) {
		rules, _ := health.NewRules([]v1alpha1.HealthRule{widgetRule(healthy, failed, message)})
		rule := rules.For(schema.GroupKind{Group: "example.org", Kind: "Widget"}, true)
		u := parse(t, widget)
		if err := u.UnmarshalJSON([]byte(`{"apiVersion":"example.org/v1","kind":"Widget","metadata":{"name":"w"},"status":` + status + `}`)); err != nil {
			return
		}
		switch v := rule(u); v.Health {
		case v1alpha1.HealthHealthy, v1alpha1.HealthProgressing, v1alpha1.HealthDegraded:
		default:
			t.Errorf("the verdict is %+v", v)
		}
	})
}
