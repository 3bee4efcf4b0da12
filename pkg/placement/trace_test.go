package placement

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestExplainTellsTheTruth: a decision that is explained is the one that Schedule makes, the trace agrees
// with it, and nothing in it is null that may not be.
func TestExplainTellsTheTruth(t *testing.T) {
	changes := 0
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		requests := drawRequests(t, clusters)
		fleet := NewFleet(clusters, propertyTime, Options{})
		at := rapid.IntRange(0, len(requests)-1).Draw(t, "about")
		asked := pick(t, "cluster", clusters...).Name
		want := Schedule(requests, fleet)[at]
		got, trace, ok := Explain(requests, fleet, requests[at].Workload.Key(), asked)
		if !ok {
			t.Fatal("no answer")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("asking changes the decision (-want +got):\n%s", diff)
		}
		if trace.Standing.Stands != got.Standing || len(trace.Standing.Why) == 0 {
			t.Fatalf("%+v of a decision with standing %v", trace.Standing, got.Standing)
		}
		checkTrace(t, trace, &got, len(clusters))
		if chosen := slices.ContainsFunc(got.Clusters, func(a Assignment) bool { return a.Name == asked }); trace.Cluster == nil || trace.Cluster.Chosen != chosen {
			t.Fatalf("%s is chosen: %v; the trace says %+v", asked, chosen, trace.Cluster)
		}
		changes += len(trace.Cluster.Changes)
	})
	if changes == 0 {
		t.Error("no change that makes a cluster chosen was ever found")
	}
}

func checkTrace(t *rapid.T, trace *Trace, d *Decision, clusters int) {
	text, err := json.Marshal(trace)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"why", "groups", "filters", "candidates", "selection", "division", "parties", "changes", "scores"} {
		if strings.Contains(string(text), `"`+list+`":null`) {
			t.Fatalf("%s is null: %s", list, text)
		}
	}
	for _, g := range trace.Groups {
		left := clusters
		for _, f := range g.Filters {
			if left -= f.Rejected; f.Left != left {
				t.Fatalf("%s leaves %d, %d were expected: %+v", f.Name, f.Left, left, g.Filters)
			}
		}
	}
	if d.Error != "" || len(trace.Groups) == 0 {
		return
	}
	var chosen, decided []string
	for _, c := range trace.Groups[len(trace.Groups)-1].Candidates {
		if c.Chosen {
			chosen = append(chosen, c.Name)
		}
	}
	for _, c := range d.Clusters {
		decided = append(decided, c.Name)
	}
	slices.Sort(chosen)
	if !slices.Equal(chosen, decided) {
		t.Fatalf("the trace chooses %v, the decision %v", chosen, decided)
	}
}
