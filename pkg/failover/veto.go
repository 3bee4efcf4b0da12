package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VetoRule bounds when the loss of many clusters at once is taken for a fault of our own.
type VetoRule struct {
	// Window is the time within which clusters must have become Unknown to count as one event.
	Window time.Duration
	// ReadyFor is how long a cluster must have been Ready within History to count.
	ReadyFor time.Duration
	// History is how far back that readiness is looked for. At most MaxHistory is remembered.
	History time.Duration
	// Percent is the share of the clusters that count beyond which evictions stop, and MinClusters
	// the fewest lost ones that stop them.
	Percent, MinClusters int
}

// Site is a cluster as the veto sees it.
type Site struct {
	Name, Region, Provider string
	// Cordoned clusters do not count.
	Cordoned bool
	Health   ClusterHealth
}

// Veto returns a reason when evictions must stop, and an empty string when they may go on.
//
// A cluster counts if it was Ready for at least ReadyFor within History: before it became Unknown, or
// before now. When more than Percent of those that count, and at least MinClusters, became Unknown
// within one window and still are, the fault is more likely ours than theirs, unless all of them share
// a region or a provider and a cluster elsewhere is Ready. History is taken before the loss, not before
// now, so that the veto does not fade while the fault lasts.
func Veto(sites []Site, rule VetoRule, now time.Time) string {
	counting := 0
	var lost []Site
	for _, s := range sites {
		end := now
		if s.Health.Status == metav1.ConditionUnknown {
			end = s.Health.Since
		}
		if s.Cordoned || readyTime(s.Health, end, rule.History) < rule.ReadyFor {
			continue
		}
		counting++
		if s.Health.Status == metav1.ConditionUnknown {
			lost = append(lost, s)
		}
	}
	lost = busiestWindow(lost, rule.Window)
	if len(lost) < rule.MinClusters || 100*len(lost) <= rule.Percent*counting || sharedFate(lost, sites) {
		return ""
	}
	names := make([]string, len(lost))
	for i, s := range lost {
		names[i] = s.Name
	}
	slices.Sort(names)
	return fmt.Sprintf("%d of %d clusters became unreachable within %s (%s): more likely a fault of this controller's network than of theirs",
		len(lost), counting, rule.Window, strings.Join(firstNames(names, 6), ", "))
}

// readyTime is how long the cluster was Ready in the time that ends at end.
func readyTime(h ClusterHealth, end time.Time, history time.Duration) time.Duration {
	begin := end.Add(-history)
	total := time.Duration(0)
	for i, tr := range h.Transitions {
		if tr.Status != metav1.ConditionTrue {
			continue
		}
		from, to := tr.Time, end
		if i+1 < len(h.Transitions) && h.Transitions[i+1].Time.Before(end) {
			to = h.Transitions[i+1].Time
		}
		if from.Before(begin) {
			from = begin
		}
		if to.After(from) {
			total += to.Sub(from)
		}
	}
	return total
}

// busiestWindow returns the largest set of clusters that were lost within one window; of several
// the earliest.
func busiestWindow(lost []Site, window time.Duration) []Site {
	slices.SortFunc(lost, func(a, b Site) int {
		if c := a.Health.Since.Compare(b.Health.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var best []Site
	for from, to := 0, 0; from < len(lost); from++ {
		for to < len(lost) && lost[to].Health.Since.Sub(lost[from].Health.Since) <= window {
			to++
		}
		if to-from > len(best) {
			best = lost[from:to]
		}
	}
	return best
}

// sharedFate tells that all lost clusters share a region or a provider while a cluster outside of
// it is Ready.
func sharedFate(lost, sites []Site) bool {
	return sharedField(lost, sites, func(s Site) string { return s.Region }) ||
		sharedField(lost, sites, func(s Site) string { return s.Provider })
}

func sharedField(lost, sites []Site, field func(Site) string) bool {
	if len(lost) == 0 || field(lost[0]) == "" {
		return false
	}
	value := field(lost[0])
	for _, s := range lost {
		if field(s) != value {
			return false
		}
	}
	return slices.ContainsFunc(sites, func(s Site) bool {
		return field(s) != value && s.Health.Status == metav1.ConditionTrue && !s.Health.Pending()
	})
}

func firstNames(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(slices.Clone(names[:n]), fmt.Sprintf("and %d more", len(names)-n))
}
