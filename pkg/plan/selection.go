package plan

import (
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// fewClusters is how many clusters are better named than described.
const fewClusters = 3

// describeClusters says in a few words which clusters a list is, where that is exact: all of them, all
// of a region or provider, or all with one value of a label. "" where it is none of these, or where the
// names are shorter.
func describeClusters(all []*v1alpha1.Cluster, names []string) string {
	if len(names) <= fewClusters {
		return ""
	}
	if len(names) == len(all) {
		return fmt.Sprintf("all %d", len(all))
	}
	listed := make(map[string]bool, len(names))
	for _, n := range names {
		listed[n] = true
	}
	total, within := map[string]int{}, map[string]int{}
	for _, c := range all {
		for _, word := range properties(c) {
			total[word]++
			if listed[c.Name] {
				within[word]++
			}
		}
	}
	best := ""
	for _, word := range keys(within) {
		if within[word] == len(names) && total[word] == len(names) && (best == "" || len(word) < len(best)) {
			best = word
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("all %d with %s", len(names), best)
}

// properties are the words that a cluster can be described by.
func properties(c *v1alpha1.Cluster) []string {
	var words []string
	for key, value := range c.Labels {
		words = append(words, key+"="+value)
	}
	for _, field := range []string{"provider", "region"} {
		for _, value := range affinity.Field(c, field) {
			words = append(words, field+" "+value)
		}
	}
	return words
}
