package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// placeMemory is how long a zone without a node, or a region of which all nodes have gone, still counts:
// an upgrade that replaces nodes one zone after another, and a pool that is empty at night, move nothing.
const placeMemory = 24 * time.Hour

// location is where the nodes of a cluster are and were. It changes with what the cluster tells, never by
// what it does not tell.
type location struct {
	region string
	// moving is since when all nodes name another region.
	moving time.Time
	// zones are those that count, with when each had a node last.
	zones map[string]time.Time
}

// restoredLocation is the location that a recorded status tells. Its zones count as seen now.
func restoredLocation(s v1alpha1.ClusterStatus, now time.Time) location {
	l := location{region: s.Region, zones: map[string]time.Time{}}
	for _, zone := range s.Zones {
		l.zones[zone] = now
	}
	return l
}

// seen returns the location with what a cluster tells of its nodes now. A cluster that names no zone at all,
// which may have no node at the moment, keeps those that it had.
func (l location) seen(s v1alpha1.ClusterStatus, now time.Time) location {
	if s.ResourceSummary == nil {
		return l
	}
	next := location{region: l.region, moving: l.moving, zones: maps.Clone(l.zones)}
	if next.zones == nil {
		next.zones = map[string]time.Time{}
	}
	for _, zone := range s.Zones {
		next.zones[zone] = now
	}
	if len(s.Zones) > 0 {
		maps.DeleteFunc(next.zones, func(_ string, at time.Time) bool { return now.Sub(at) >= placeMemory })
	}
	switch {
	case s.Region == "" || s.Region == l.region:
		next.moving = time.Time{}
	case l.region == "" || !l.moving.IsZero() && now.Sub(l.moving) >= placeMemory:
		next.region, next.moving = s.Region, time.Time{}
	case l.moving.IsZero():
		next.moving = now
	}
	return next
}

// tell writes the location into a status.
func (l location) tell(s *v1alpha1.ClusterStatus) {
	s.Region, s.Zones = l.region, slices.Sorted(maps.Keys(l.zones))
}

// Located returns the cluster with its region and zones as its nodes tell them, where its spec names none.
// Whoever reads where a cluster is reads the spec of what this returns.
func Located(c v1alpha1.Cluster) v1alpha1.Cluster {
	if c.Spec.Region == "" {
		c.Spec.Region = c.Status.Region
	}
	if len(c.Spec.Zones) == 0 && c.Spec.Zone == "" {
		c.Spec.Zones = slices.Clone(c.Status.Zones)
	}
	return c
}
