package report

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// CheckName is what the check of a pull request is called.
const CheckName = "armada-sync/preview"

// Sentence says in one line what a report comes to.
func Sentence(r plan.Report) string {
	text := fmt.Sprintf("%d of %d clusters change", r.Summary.Clusters.Changed, r.Summary.Clusters.Total)
	if !r.Changes() && len(r.Held) == 0 {
		text = fmt.Sprintf("no changes on any of %d clusters", r.Summary.Clusters.Total)
	}
	var counts []string
	blockers, cautions := countFindings(r.Findings)
	if blockers > 0 {
		counts = append(counts, plural(blockers, "blocker", "blockers"))
	}
	if cautions > 0 {
		counts = append(counts, plural(cautions, "caution", "cautions"))
	}
	if len(counts) == 0 {
		counts = []string{"no blockers", "no cautions"}
	}
	return text + ", " + strings.Join(counts, ", ") + "."
}

// FindingPage is the address of the page that explains a finding; "" for one of a user's own.
func FindingPage(id string) string { return findingPage(id) }
