package plan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestFindingsHavePages looks up every id in docs/findings, where a reader of a report goes next: a page
// that says the default severity, what the finding means, why it is given and what to do, and a row in
// the index. A page without an id is one that nobody can come from.
func TestFindingsHavePages(t *testing.T) {
	const folder = "../../docs/findings"
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]bool{"README.md": true}
	for _, kind := range plan.FindingKinds() {
		pages[kind.ID+".md"] = true
		page, err := os.ReadFile(filepath.Join(folder, kind.ID+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{"# " + kind.ID + "\n", "\n**" + string(kind.Severity) + "**", "\n" + kind.Sentence + "\n", "\n## Why\n", "\n## What to do\n"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s.md does not have %q", kind.ID, want)
			}
		}
		row := "| [" + kind.ID + "](" + kind.ID + ".md) | " + string(kind.Severity) + " | " + kind.Sentence + " |\n"
		if !strings.Contains(string(index), row) {
			t.Errorf("README.md does not have the row %q", row)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[f.Name()] {
			t.Errorf("%s is the page of no finding", f.Name())
		}
	}
}

// TestSeverityOfAnUnknownFinding says that a misspelt id in the configuration does not go unnoticed.
func TestSeverityOfAnUnknownFinding(t *testing.T) {
	var snap plan.Snapshot
	snap.Config.Plan.Severity = map[string]string{"unclaimed": "blocker", "unclamed": "off"}
	want := []v1alpha1.Finding{{
		ID: v1alpha1.FindingFieldIgnored, Severity: v1alpha1.SeverityCaution, Clusters: []string{},
		Message: `spec.plan.severity of the Config: no finding has the id "unclamed"`,
	}}
	if diff := cmp.Diff(want, plan.Compute(nil, snap).Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
