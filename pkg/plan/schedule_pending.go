package plan

import "github.com/armada-sync/armada-sync/pkg/placement"

func (c *computation) placements(requests []placement.Request) []placement.Decision {
	out := make([]placement.Decision, len(requests))
	for i := range out {
		out[i].Error = "placement is not there yet"
	}
	return out
}

func (c *computation) divideCompletions(it *item) {}
