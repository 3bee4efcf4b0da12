package plan

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// finish puts everything in its order and adds the gates that open while the plan is carried out.
func (c *computation) finish() *Plan {
	c.reportUnclaimed()
	c.reportBeyond()
	c.reportAutoscalers()
	c.reportHeld()
	c.reportStays()
	c.reportUncheckedSecrets()
	c.reportBadOrder()
	c.reportNotServed()
	c.reportMissingReferences()
	p := &Plan{
		APIVersion: v1alpha1.APIVersion, Kind: "Plan", Revisions: map[string]string{}, FleetDigest: c.snap.FleetDigest,
		Placements: []PlacementEntry{}, Clusters: make([]ClusterChanges, 0, len(c.clusters)), at: c,
	}
	for _, s := range c.sources {
		p.Revisions[s.Source] = s.Revision
	}
	for _, it := range c.items {
		if it.entry != nil {
			normalize(&it.entry.Decision)
			it.entry.Waiting = c.waits(it)
			p.Placements = append(p.Placements, *it.entry)
		}
	}
	for i, cl := range c.clusters {
		c.gateOrder(i)
		if c.changes[i] == nil {
			c.changes[i] = []ObjectChange{}
		}
		c.reportDataPrunes(i)
		p.Clusters = append(p.Clusters, ClusterChanges{Name: cl.Name, Objects: c.changes[i]})
	}
	p.Findings = c.findings.list()
	p.RecheckAt = c.recheckAt()
	return p
}

// normalize makes every list of a decision a list, so that no null appears in JSON.
func normalize(d *placement.Decision) {
	if d.Clusters == nil {
		d.Clusters = []placement.Assignment{}
	}
	if d.Rejected == nil {
		d.Rejected = []placement.Rejection{}
	}
	for i := range d.Clusters {
		if d.Clusters[i].Scores == nil {
			d.Clusters[i].Scores = map[string]int64{}
		}
		if d.Clusters[i].Reasons == nil {
			d.Clusters[i].Reasons = []string{}
		}
	}
}

// gateOrder marks what has to wait for something else on the same cluster.
func (c *computation) gateOrder(cluster int) {
	ready := map[groupKind]bool{}
	for _, it := range c.items {
		if gk := it.traits.defines; gk != nil && it.goesTo(cluster) {
			ready[*gk] = c.settled(it, cluster)
		}
	}
	waves := c.openWaves(cluster)
	for j := range c.changes[cluster] {
		ch := &c.changes[cluster][j]
		if ch.Gate != "" || ch.Action != v1alpha1.ActionCreate && ch.Action != v1alpha1.ActionConfigure || ch.pair.more().drifted {
			continue
		}
		if established, ours := ready[groupKind{ch.Group(), ch.Kind}]; ours && !established {
			ch.Gate = v1alpha1.GateCRDEstablished.Of(ch.GroupKind())
			continue
		}
		for _, ref := range c.dependencies(ch.pair.item, cluster) {
			if other := c.byKey[ref.Key()]; other == nil || !c.settled(other, cluster) {
				ch.Gate = v1alpha1.GateDependsOn.Of(ref.String())
				break
			}
		}
		if open, bounded := waves[ch.Source]; ch.Gate == "" && bounded && ch.wave() > open {
			ch.Gate = v1alpha1.GateWave.Of(strconv.Itoa(ch.wave()))
		}
	}
}

// openWaves returns, by source, the first wave on a cluster that is not applied and healthy yet; later ones wait for
// it. A source without waves has none, and what is put back as it was keeps no wave back.
func (c *computation) openWaves(cluster int) map[string]int {
	type span struct{ least, most int }
	spans := map[string]span{}
	for j := range c.changes[cluster] {
		ch := &c.changes[cluster][j]
		s, known := spans[ch.Source]
		if wave := ch.wave(); !known {
			spans[ch.Source] = span{wave, wave}
		} else if wave < s.least || wave > s.most {
			spans[ch.Source] = span{min(wave, s.least), max(wave, s.most)}
		}
	}
	maps.DeleteFunc(spans, func(_ string, s span) bool { return s.least == s.most })
	if len(spans) == 0 {
		return nil
	}
	open := map[string]int{}
	for j := range c.changes[cluster] {
		ch := &c.changes[cluster][j]
		if _, has := spans[ch.Source]; !has || ch.Action == v1alpha1.ActionPrune || ch.Action == v1alpha1.ActionSkip || ch.Gate.NeedsReplan() ||
			ch.pair.more().drifted || c.settled(ch.pair.item, cluster) {
			continue
		}
		if first, found := open[ch.Source]; !found || ch.wave() < first {
			open[ch.Source] = ch.wave()
		}
	}
	return open
}

// reportBadOrder names annotations about order that cannot be read or that lead nowhere.
func (c *computation) reportBadOrder() {
	for _, it := range c.items {
		ref := it.ref
		at := finding{ID: v1alpha1.FindingFieldIgnored, Source: it.Origin.Source, Object: &ref, Repository: it.source.Source}
		if bad := it.traits.badWave; bad != "" {
			f := at
			f.Message = fmt.Sprintf("%s: %s %q is not a whole number", ref, v1alpha1.AnnotationWave, bad)
			c.findings.add(f)
		}
		if bad := it.traits.badDependsOn; bad != "" {
			f := at
			f.Message = fmt.Sprintf("%s: %s %q is neither group/kind/name nor group/namespaces/namespace/kind/name", ref, v1alpha1.AnnotationDependsOn, bad)
			c.findings.add(f)
		}
		for _, d := range it.traits.dependsOn {
			for _, t := range it.targets {
				if _, held := c.held(t.cluster, d.Key()); held {
					continue
				}
				if other := c.byKey[d.Key()]; other != nil && other.goesTo(t.cluster) {
					continue
				}
				f := at
				f.ID, f.Clusters = MissingReference, []string{c.clusters[t.cluster].Name}
				f.Message = fmt.Sprintf("%s depends on %s, which is not there and does not go along; it is not waited for", ref, d)
				c.findings.add(f)
			}
		}
	}
}

// reportNotServed names objects that are left out where other objects of their policy go, since the
// cluster does not serve their kind.
func (c *computation) reportNotServed() {
	goes := map[*policy]map[string]bool{}
	for _, it := range c.items {
		if it.owner == nil {
			continue
		}
		if goes[it.owner] == nil {
			goes[it.owner] = map[string]bool{}
		}
		for _, name := range c.names(it.targets) {
			goes[it.owner][name] = true
		}
	}
	for _, it := range c.items {
		if it.entry == nil {
			continue
		}
		for _, r := range it.entry.Rejected {
			if r.Filter != "APIEnablement" {
				continue
			}
			ref := it.ref
			for name := range r.Clusters.All() {
				if !goes[it.owner][name] {
					continue
				}
				c.findings.add(finding{
					ID: APINotServed, Message: fmt.Sprintf("%s is not placed where other objects of %s are: %s is not served there", ref, it.owner, ref.GroupKind()),
					Source: it.owner.place, Repository: it.owner.source.Source, Object: &ref, Clusters: []string{name},
				})
			}
		}
	}
}

// reportDataPrunes names what takes data along when it goes.
func (c *computation) reportDataPrunes(cluster int) {
	for _, ch := range c.changes[cluster] {
		gk := groupKind{ch.Group(), ch.Kind}
		if ch.Action != v1alpha1.ActionPrune || ch.pair.more().release || !dataKinds[gk] && gk != (groupKind{"apps", "StatefulSet"}) {
			continue
		}
		ref := ch.ObjectReference
		c.findings.add(finding{
			ID: PruneData, Message: fmt.Sprintf("%s is removed, with what it holds", ref), Object: &ref,
			Clusters: []string{c.clusters[cluster].Name}, Repository: ch.Source,
		})
	}
}

// recheckAt returns the earliest time at which the plan changes though nothing else does; zero: never.
func (c *computation) recheckAt() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if t.After(c.snap.Now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, it := range c.items {
		if it.entry != nil {
			sooner(it.entry.RecheckAt)
		}
		if it.owner == nil || it.owner.Spec.Failover == nil || it.owner.Spec.Failover.Application == nil {
			continue
		}
		for _, u := range c.recordUnhealthy(it, c.snap.Now) {
			sooner(c.evictedAt(u, it.owner.Spec.Failover.Application))
		}
	}
	for i := range c.moves {
		d := &c.moves[i]
		if d.status.HealthySince != nil {
			sooner(d.status.HealthySince.Add(c.drain()))
		} else if d.status.From != "" {
			sooner(d.status.Since.Add(c.grace(d.item)))
		}
	}
	sooner(c.pacer.next)
	if until := c.config.Failover.PausedUntil; until != nil {
		sooner(until.Time)
	}
	for _, m := range c.snap.Members {
		for held := range m.Objects.All() {
			if !held.Detail().PausedUntil.Equal(UnreadablePause()) {
				sooner(held.Detail().PausedUntil)
			}
		}
	}
	return at
}
