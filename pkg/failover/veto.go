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
// Clusters that became Unknown within one window, and still are, are one event. When they are more than
// Percent of the clusters that count, and at least MinClusters, the fault is more likely ours than theirs,
// unless all of them share a region or a provider and a cluster elsewhere is Ready. A cluster counts if it
// was Ready for at least ReadyFor within History, looked at from the event: the veto does not fade while
// the fault lasts, and what was dead long before does not hide that all the others were lost.
func Veto(sites []Site, rule VetoRule, now time.Time) string {
	var lost []Site
	for _, s := range sites {
		if s.Health.Status == metav1.ConditionUnknown && !s.Cordoned && readyTime(s.Health, s.Health.Since, rule.History) >= rule.ReadyFor {
			lost = append(lost, s)
		}
	}
	worst, of := []Site(nil), 0
	for _, event := range events(lost, rule.Window) {
		if len(event) < rule.MinClusters || len(event) <= len(worst) || sharedFate(event, sites) {
			continue
		}
		if counting := rule.counting(sites, event, now); 100*len(event) > rule.Percent*counting {
			worst, of = event, counting
		}
	}
	if worst == nil {
		return ""
	}
	names := make([]string, len(worst))
	for i, s := range worst {
		names[i] = s.Name
	}
	slices.Sort(names)
	return fmt.Sprintf("%d of %d clusters became unreachable within %s (%s): more likely a fault of this controller's network than of theirs",
		len(worst), of, rule.Window, strings.Join(firstNames(names, 6), ", "))
}

// counting is how many clusters count when an event is judged: those that were lost in it, and of the others
// those that were Ready for long enough before it or, where they are Ready, before now.
func (r VetoRule) counting(sites, event []Site, now time.Time) int {
	at, n := event[len(event)-1].Health.Since, len(event)
	inEvent := make(map[string]bool, len(event))
	for _, s := range event {
		inEvent[s.Name] = true
	}
	for _, s := range sites {
		if s.Cordoned || inEvent[s.Name] {
			continue
		}
		counts := readyTime(s.Health, at, r.History) >= r.ReadyFor
		if s.Health.Status == metav1.ConditionTrue {
			counts = counts || readyTime(s.Health, now, r.History) >= r.ReadyFor
		}
		if counts {
			n++
		}
	}
	return n
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

// events are the largest sets of clusters that were lost within one window, each in the order of the losses.
func events(lost []Site, window time.Duration) [][]Site {
	slices.SortFunc(lost, func(a, b Site) int {
		if c := a.Health.Since.Compare(b.Health.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var all [][]Site
	to := 0
	for from := range lost {
		before := to
		for to < len(lost) && lost[to].Health.Since.Sub(lost[from].Health.Since) <= window {
			to++
		}
		if to > before {
			all = append(all, lost[from:to])
		}
	}
	return all
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
