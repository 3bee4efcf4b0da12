package plan

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// FindingLine is a finding as one line for people: severity, id, place, what it is about, message.
func FindingLine(f v1alpha1.Finding) string {
	place := f.Source
	if f.Repository != "" {
		place = f.Repository + " " + f.Source
	}
	parts := []string{fmt.Sprintf("%s: %s", f.Severity, f.ID)}
	for _, p := range []string{strings.TrimSpace(place), f.Message, strings.Join(f.Clusters, ", ")} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return page.Scrub(strings.Join(parts, " · "))
}
