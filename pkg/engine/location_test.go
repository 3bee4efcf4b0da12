package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Where a cluster is follows its nodes when they come, and only after a day when they go: what moves
// workloads is a cluster that has moved, not an upgrade.
func TestLocationIsSticky(t *testing.T) {
	type told struct {
		after  time.Duration
		region string
		zones  []string
	}
	for _, c := range []struct {
		reason string
		told   []told
		region string
		zones  []string
	}{
		{"nodes tell", []told{{0, "eu", []string{"a", "b"}}}, "eu", []string{"a", "b"}},
		{"a new zone counts at once", []told{{0, "eu", []string{"a"}}, {time.Minute, "eu", []string{"a", "b"}}}, "eu", []string{"a", "b"}},
		{"an empty zone stays", []told{{0, "eu", []string{"a", "b"}}, {time.Minute, "eu", []string{"a"}}, {23 * time.Hour, "eu", []string{"a"}}}, "eu", []string{"a", "b"}},
		{"for a day", []told{{0, "eu", []string{"a", "b"}}, {25 * time.Hour, "eu", []string{"a"}}}, "eu", []string{"a"}},
		{"a zone that comes back counts anew", []told{{0, "eu", []string{"a", "b"}}, {20 * time.Hour, "eu", []string{"a", "b"}}, {20 * time.Hour, "eu", []string{"a"}}}, "eu", []string{"a", "b"}},
		{"no node at all tells nothing", []told{{0, "eu", []string{"a"}}, {100 * time.Hour, "", nil}, {time.Hour, "", nil}}, "eu", []string{"a"}},
		{"nodes of another region", []told{{0, "eu", nil}, {time.Minute, "us", nil}, {23 * time.Hour, "us", nil}}, "eu", nil},
		{"for long", []told{{0, "eu", nil}, {time.Minute, "us", nil}, {25 * time.Hour, "us", nil}}, "us", nil},
		{"nodes of two regions", []told{{0, "", nil}}, "", nil},
		{"nodes of two regions where one was known", []told{{0, "eu", nil}, {50 * time.Hour, "", nil}}, "eu", nil},
	} {
		l, now := location{}, time.Unix(0, 0)
		for _, told := range c.told {
			now = now.Add(told.after)
			l = l.seen(v1alpha1.ClusterStatus{ResourceSummary: &v1alpha1.ResourceSummary{}, Region: told.region, Zones: told.zones}, now)
		}
		l = l.seen(v1alpha1.ClusterStatus{Region: "unknown", Zones: []string{"unknown"}}, now) // Nodes were not listed.
		var s v1alpha1.ClusterStatus
		l.tell(&s)
		if s.Region != c.region || !slices.Equal(s.Zones, c.zones) {
			t.Errorf("%s: %q in %q, want %q in %q", c.reason, s.Zones, s.Region, c.zones, c.region)
		}
	}
}

// What people say of a cluster counts before what its nodes say.
func TestTheSpecSaysWhereAClusterIs(t *testing.T) {
	status := v1alpha1.ClusterStatus{Region: "eu", Zones: []string{"a", "b"}}
	for _, c := range []struct {
		reason     string
		spec, want v1alpha1.ClusterSpec
	}{
		{"nothing is said", v1alpha1.ClusterSpec{}, v1alpha1.ClusterSpec{Region: "eu", Zones: []string{"a", "b"}}},
		{"a region is said", v1alpha1.ClusterSpec{Region: "us"}, v1alpha1.ClusterSpec{Region: "us", Zones: []string{"a", "b"}}},
		{"zones are said", v1alpha1.ClusterSpec{Zones: []string{"z"}}, v1alpha1.ClusterSpec{Region: "eu", Zones: []string{"z"}}},
		{"Karmada's single zone is said", v1alpha1.ClusterSpec{Zone: "z"}, v1alpha1.ClusterSpec{Region: "eu", Zone: "z"}},
	} {
		got := Located(v1alpha1.Cluster{Spec: c.spec, Status: status}).Spec
		if got.Region != c.want.Region || got.Zone != c.want.Zone || !slices.Equal(got.Zones, c.want.Zones) {
			t.Errorf("%s: %+v, want %+v", c.reason, got, c.want)
		}
	}
}
