package plan

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// printRollouts writes one block for each source that spreads step by step.
func printRollouts(out *page.Page, p *Plan) {
	for i := range p.Rollouts {
		printRollout(out, &p.Rollouts[i])
	}
}

func printRollout(out *page.Page, r *RolloutEntry) {
	out.Blank()
	out.Split(page.Head, "ROLLOUT  "+page.Scrub(r.Source), string(r.Phase))
	for _, s := range r.Stages {
		out.Words(page.Plain, "  ", 4, rolloutStageLine(s, int(r.Steps)))
	}
	out.Words(page.Plain, "  ", 2, page.Scrub(r.Message))
}

// rolloutStageLine says one step in a line.
func rolloutStageLine(s RolloutStage, steps int) string {
	line := fmt.Sprintf("%s: %d of %s reached", stepName(s.Step, steps), s.Reached, plural(int64(len(s.Clusters)), "cluster", "clusters"))
	if s.Soak != "" {
		line += ", soaks " + s.Soak
	}
	if len(s.Clusters) > 0 {
		line += ": " + strings.Join(firstFew(s.Clusters, 5), ", ")
	}
	return line
}
