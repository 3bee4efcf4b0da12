package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Effects gathers, over all objects and clusters of a plan, which override rules matched and which
// of their entries did something. A rule without effect on one object is everyday life; one without
// effect anywhere is a mistake. The zero value is ready for use, by one goroutine at a time.
type Effects struct {
	matched map[RuleRef]int
	idle    map[idleKey]int
}

// idleKey is one entry of a rule and what it did not do.
type idleKey struct {
	rule    RuleRef
	source  string
	message string
}

// Add takes in one object on one cluster, whether or not it could be rendered.
func (e *Effects) Add(r Rendered) {
	if e.matched == nil {
		e.matched, e.idle = map[RuleRef]int{}, map[idleKey]int{}
	}
	for _, ref := range r.Matched {
		e.matched[ref]++
	}
	for _, n := range r.Notes {
		if n.ID == v1alpha1.FindingOverrideNoOp {
			e.idle[idleKey{n.Rule, n.Source, n.Message}]++
		}
	}
}

// Findings returns override-no-match for every rule of the sets that matched no object on any
// cluster (one finding for a policy of which no rule did), and override-no-op for every entry that
// had no effect wherever its rule matched.
func (e *Effects) Findings(sets ...*Overrides) []v1alpha1.Finding {
	byPolicy := map[RuleRef][]RuleRef{}
	for _, set := range sets {
		for _, ref := range set.Rules() {
			policy := RuleRef{Repository: ref.Repository, Namespace: ref.Namespace, Policy: ref.Policy}
			if !slices.Contains(byPolicy[policy], ref) {
				byPolicy[policy] = append(byPolicy[policy], ref)
			}
		}
	}
	var findings []v1alpha1.Finding
	for _, policy := range slices.SortedFunc(maps.Keys(byPolicy), compareRefs) {
		rules := byPolicy[policy]
		slices.SortFunc(rules, compareRefs)
		silent := slices.DeleteFunc(slices.Clone(rules), func(r RuleRef) bool { return e.matched[r] > 0 })
		if len(silent) == len(rules) {
			findings = append(findings, finding(v1alpha1.FindingOverrideNoMatch, v1alpha1.SeverityCaution, rules[0],
				rules[0].Source, "it matches no object on any cluster"))
			continue
		}
		for _, r := range silent {
			findings = append(findings, finding(v1alpha1.FindingOverrideNoMatch, v1alpha1.SeverityCaution, r, r.Source,
				fmt.Sprintf("rule %d matches no object on any cluster", r.Rule)))
		}
	}
	for key, n := range e.idle {
		if n >= e.matched[key.rule] {
			findings = append(findings, finding(v1alpha1.FindingOverrideNoOp, v1alpha1.SeverityInfo, key.rule, key.source,
				fmt.Sprintf("rule %d: %s", key.rule.Rule, key.message)))
		}
	}
	slices.SortFunc(findings, v1alpha1.Finding.Compare)
	return findings
}

func compareRefs(a, b RuleRef) int {
	return cmp.Or(
		strings.Compare(a.Repository, b.Repository), strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Policy, b.Policy), cmp.Compare(a.Rule, b.Rule), strings.Compare(a.Source, b.Source),
	)
}

func finding(id string, severity v1alpha1.Severity, r RuleRef, source, message string) v1alpha1.Finding {
	ref := r.Object()
	return v1alpha1.Finding{
		ID: id, Severity: severity, Message: ref.String() + ": " + message, Source: source, Clusters: []string{},
		Object: &ref, Repository: r.Repository,
	}
}
