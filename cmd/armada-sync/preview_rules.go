package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// readRules adds the rules of a file to those of the fleet; an empty name: there are none. Problems of the
// file go to stderr. A rule of the fleet cannot be replaced, since it may guard the very change.
func readRules(file string, snap *plan.Snapshot, stderr io.Writer) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--rules: %w", err)
	}
	rules, problems := plan.ReadRules(file, data)
	for _, p := range problems {
		fmt.Fprintf(stderr, "%s: %s\n", p.Severity, p)
	}
	if v1alpha1.Blocked(problems) {
		return fmt.Errorf("the rules of %q cannot be used", file)
	}
	for _, r := range rules {
		if slices.ContainsFunc(snap.Config.Plan.Rules, func(o v1alpha1.PlanRule) bool { return o.ID == r.ID }) {
			return fmt.Errorf("--rules %q: the Config of the fleet has a rule %q already; give this one another id", file, r.ID)
		}
	}
	snap.Config.Plan.Rules = append(slices.Clone(snap.Config.Plan.Rules), rules...)
	return nil
}
