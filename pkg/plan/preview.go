package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Preview says what a change of Git does to a fleet. The base plan is computed from a snapshot, the
// head plan from NextSnapshot of the base plan, so that what is pending, broken or changed by hand
// anyway does not count as an effect of the change. Both must come from Compute.
func Preview(base, head *Plan, o PreviewOptions) Report {
	v := &preview{base: base, head: head, findings: newFindingSet(v1alpha1.PlanConfig{}), changed: map[string]bool{}}
	if head.at != nil {
		v.findings = newFindingSet(head.at.snap.Config.Plan)
	}
	v.report = Report{
		APIVersion: v1alpha1.APIVersion, Kind: "PreviewReport",
		Base:     ReportRevision{Commit: o.BaseCommit, Revisions: base.Revisions},
		Head:     ReportRevision{Commit: o.HeadCommit, Revisions: head.Revisions},
		Snapshot: ReportSnapshot{Clusters: len(head.Clusters), Digest: base.FleetDigest},
	}
	v.nameRevisions()

	// 1. Workloads before and after.
	v.comparePlacements()
	// 2. Every object on every cluster that the change touches.
	v.collectChanges()
	// 3. Alike changes once.
	v.report.Groups = v.groups()
	// 4. What a reader must know: what the head adds to the base, and what only the two sides show.
	v.findChangeRisks()
	v.splitFindings()
	// 5. What was looked at, and how much of everything there is.
	v.report.Checks = v.checks()
	v.report.Drift = v.drift()
	v.report.Clusters = v.clusters()
	v.count()
	// 6. What the rules of the configuration say to all that.
	v.applyRules()
	return v.report
}

// preview is one report in the making.
type preview struct {
	base, head *Plan
	report     Report
	findings   *findingSet
	// before and after are the decisions of the two sides.
	before, after map[v1alpha1.ObjectKey]*PlacementEntry
	configured    []configured
	listed        map[listedKey]*listed
	held          map[heldKey][]string
	diffs         map[diffKey][]fieldChange
	// risks are what a reviewer must know of two versions of an object.
	risks    map[diffKey]assessment
	maskers  map[v1alpha1.ObjectKey]*masker
	changed  map[string]bool
	restarts map[v1alpha1.ObjectReference]*restart
	// unasked are clusters of which it was not asked what their loss would do.
	unasked map[string]bool
	// secretValues counts the changed values of Secrets.
	secretValues int
}

// nameRevisions fills in what the sides are called where the caller does not say.
func (v *preview) nameRevisions() {
	r := &v.report
	if v.base.at != nil && !v.base.at.snap.TakenAt.IsZero() {
		taken := v.base.at.snap.TakenAt.UTC()
		r.Snapshot.TakenAt = &taken
	}
	for _, source := range keys(r.Head.Revisions) {
		if r.Base.Revisions[source] != r.Head.Revisions[source] {
			r.Base.Commit = cmp.Or(r.Base.Commit, r.Base.Revisions[source])
			r.Head.Commit = cmp.Or(r.Head.Commit, r.Head.Revisions[source])
		}
	}
	for _, source := range keys(r.Head.Revisions) {
		r.Base.Commit = cmp.Or(r.Base.Commit, r.Base.Revisions[source])
		r.Head.Commit = cmp.Or(r.Head.Commit, r.Head.Revisions[source])
	}
}

// comparePlacements lists the workloads whose clusters or shares change.
func (v *preview) comparePlacements() {
	v.report.Placements = []ReportPlacement{}
	v.before, v.after = entriesByKey(v.base), entriesByKey(v.head)
	all := entriesByKey(v.base)
	for key, e := range v.after {
		all[key] = e
	}
	for _, key := range sortedKeys(all) {
		if p, changed := v.comparePlacement(v.before[key], v.after[key]); changed {
			v.report.Placements = append(v.report.Placements, p)
		}
	}
}

func entriesByKey(p *Plan) map[v1alpha1.ObjectKey]*PlacementEntry {
	m := make(map[v1alpha1.ObjectKey]*PlacementEntry, len(p.Placements))
	for i := range p.Placements {
		m[p.Placements[i].Workload.Key()] = &p.Placements[i]
	}
	return m
}

// comparePlacement compares one workload; before is nil for a new one, after for one that Git drops.
func (v *preview) comparePlacement(before, after *PlacementEntry) (p ReportPlacement, changed bool) {
	named := after
	if named == nil {
		named = before
	}
	p = ReportPlacement{
		Workload: named.Workload, Source: named.Source, Policy: named.Policy, Strategy: named.Strategy,
		Clusters: []ReportAssignment{}, Rejected: []ReportRejection{},
	}
	old, now := assignments(before), assignments(after)
	if after != nil && after.Error != "" {
		// Nothing of a workload that cannot be placed changes.
		p.Error = after.Error
		now = old
	}
	names := map[string]bool{}
	for name := range old {
		names[name] = true
	}
	for name := range now {
		names[name] = true
	}
	for _, name := range keys(names) {
		a := compareAssignment(name, old[name], now[name], after)
		if held := v.keepHeld(&a, named.Workload.Key()); held != nil {
			p.Rejected = append(p.Rejected, *held)
			continue
		}
		changed = changed || a.Action != PlacementStay
		p.Clusters = append(p.Clusters, a)
		p.Before, p.After = addReplicas(p.Before, a.Before), addReplicas(p.After, a.After)
	}
	if after != nil {
		p.Rejected = append(p.Rejected, notChosen(after, names)...)
	}
	brokeNow := p.Error != "" && (before == nil || before.Error == "")
	return p, changed || brokeNow
}

// notChosen returns the rejections of clusters that the report does not list otherwise.
func notChosen(e *PlacementEntry, listed map[string]bool) []ReportRejection {
	all := []ReportRejection{}
	for _, r := range e.Rejected {
		rest := slices.DeleteFunc(r.Clusters.Slice(), func(name string) bool { return listed[name] })
		if len(rest) > 0 {
			all = append(all, ReportRejection{Filter: r.Filter, Reason: r.Reason, Clusters: rest})
		}
	}
	return all
}

func compareAssignment(name string, old, now *assignment, after *PlacementEntry) ReportAssignment {
	a := ReportAssignment{Name: name, Action: PlacementStay, Scores: map[string]int64{}, Reasons: []string{}}
	zero := int64(0)
	if old != nil {
		a.Before = old.replicas
	}
	if now != nil {
		a.After, a.Score = now.replicas, now.score
		if now.scores != nil {
			a.Scores = now.scores
		}
	}
	switch {
	case old == nil:
		a.Action, a.Reasons = PlacementJoin, append(a.Reasons, withoutReason(now.reasons, "joins")...)
		if a.After != nil {
			a.Before = &zero
		}
	case now == nil:
		a.Action = PlacementLeave
		a.FilterBy, a.Reasons = whyLeft(name, after)
		if a.Before != nil {
			a.After = &zero
		}
	case !equalReplicas(a.Before, a.After):
		a.Action = PlacementRescale
		a.Reasons = append(a.Reasons, "share re-divided")
		if after != nil && !strings.HasPrefix(after.Strategy, string(v1alpha1.Divided)) {
			a.Reasons = []string{"replicas changed"}
		}
	}
	return a
}

// withoutReason leaves out what the action says already.
func withoutReason(reasons []string, said string) []string {
	return slices.DeleteFunc(slices.Clone(reasons), func(r string) bool { return r == said })
}

func whyLeft(cluster string, after *PlacementEntry) (filter string, reasons []string) {
	if after == nil {
		return "", []string{"gone from Git"}
	}
	for _, r := range after.Rejected {
		if r.Clusters.Contains(cluster) {
			return r.Filter, []string{r.Reason}
		}
	}
	return "", []string{}
}

// assignment is a chosen cluster, whatever it is called in JSON.
type assignment struct {
	replicas *int64
	score    int64
	scores   map[string]int64
	reasons  []string
}

func assignments(e *PlacementEntry) map[string]*assignment {
	m := map[string]*assignment{}
	if e == nil {
		return m
	}
	for _, a := range e.Clusters {
		m[a.Name] = &assignment{a.Replicas, a.Score, a.Scores, a.Reasons}
	}
	return m
}

func equalReplicas(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func addReplicas(sum, n *int64) *int64 {
	if n == nil {
		return sum
	}
	total := *n
	if sum != nil {
		total += *sum
	}
	return &total
}

// collectChanges goes through the head plan and keeps what the base plan does not do as well.
func (v *preview) collectChanges() {
	v.listed, v.held = map[listedKey]*listed{}, map[heldKey][]string{}
	v.diffs, v.maskers = map[diffKey][]fieldChange{}, map[v1alpha1.ObjectKey]*masker{}
	v.restarts, v.risks = map[v1alpha1.ObjectReference]*restart{}, map[diffKey]assessment{}
	for _, cc := range v.head.Clusters {
		for i := range cc.Objects {
			ch := &cc.Objects[i]
			before := v.base.change(cc.Name, ch.Key())
			if before != nil && before.Action == ch.Action && before.Gate != "" && before.Gate.NeedsReplan() {
				// It waits, or is held, with or without the change.
				continue
			}
			v.collect(cc.Name, before, ch)
		}
	}
	v.report.Held = v.heldObjects()
}

func (v *preview) collect(cluster string, before, ch *ObjectChange) {
	switch ch.Action {
	case v1alpha1.ActionConfigure:
		v.configured = append(v.configured, v.configure(cluster, before, ch))
	case v1alpha1.ActionCreate:
		v.list(cluster, ch)
		v.assessNew(cluster, ch)
	case v1alpha1.ActionPrune:
		v.list(cluster, ch)
	case v1alpha1.ActionSkip:
		key := heldKey{ch.ObjectReference, ch.Gate, ch.Reason}
		v.held[key] = append(v.held[key], cluster)
		return
	case v1alpha1.ActionUnchanged:
		return
	}
	v.changed[cluster] = true
}

type heldKey struct {
	ref    v1alpha1.ObjectReference
	gate   v1alpha1.Gate
	reason string
}

func (v *preview) heldObjects() []ReportHeld {
	all := make([]ReportHeld, 0, len(v.held))
	for key, clusters := range v.held {
		held := ReportHeld{ObjectReference: key.ref, Gate: key.gate, Reason: key.reason, Clusters: clusters}
		if ch := v.head.change(clusters[0], key.ref.Key()); ch != nil {
			held.Source, held.Storage = ch.Source, v.storage(clusters[0], ch)
		}
		all = append(all, held)
	}
	slices.SortFunc(all, func(a, b ReportHeld) int {
		return cmp.Or(a.Compare(b.ObjectReference), strings.Compare(string(a.Gate), string(b.Gate)), strings.Compare(a.Reason, b.Reason))
	})
	return all
}

// count fills in the summary.
func (v *preview) count() {
	s := &v.report.Summary
	s.Clusters = ClusterCounts{Total: len(v.head.Clusters), Changed: len(v.changed)}
	for _, g := range v.report.Groups {
		n := len(g.Objects) * len(g.Clusters)
		switch g.Action {
		case v1alpha1.ActionCreate:
			s.Objects.Create += n
		case v1alpha1.ActionConfigure:
			s.Objects.Configure += n
		case v1alpha1.ActionPrune:
			s.Objects.Prune += n
		case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
		}
	}
	for _, p := range v.report.Placements {
		if p.Before != nil {
			s.Replicas.Before += *p.Before
		}
		if p.After != nil {
			s.Replicas.After += *p.After
		}
	}
	for _, r := range v.restarts {
		s.PodsRestarted += r.pods
	}
	s.Workloads, s.Policies, s.SecretValues = v.countWorkloads(), v.countPolicies(), v.secretValues
}

// splitFindings tells what the change brings from what is true anyway.
func (v *preview) splitFindings() {
	standing := map[findingKey]bool{}
	for _, f := range v.base.Findings {
		standing[identity(f)] = true
	}
	v.report.Standing = []finding{}
	for _, f := range v.head.Findings {
		if standing[identity(f)] {
			v.report.Standing = append(v.report.Standing, f)
			continue
		}
		// It was judged already, so that its severity is final.
		v.findings.keep(f)
	}
	v.report.Findings = v.findings.list()
}

// identity is what makes two findings of two revisions the same: lines shift.
func identity(f finding) findingKey {
	key := findingKey{id: f.ID, message: f.Message, source: parsePosition(f.Source).File, repository: f.Repository}
	if f.Object != nil {
		key.object = *f.Object
	}
	return key
}

// findChangeRisks adds the findings that only the comparison of two plans shows.
func (v *preview) findChangeRisks() {
	v.reportRestarts()
	v.reportLastCopies()
	v.reportLargeChange()
	v.reportFailover()
	v.reportStaleSnapshot()
}

// reportLastCopies names workloads that leave the fleet or keep no replica.
func (v *preview) reportLastCopies() {
	for i := range v.report.Placements {
		p := &v.report.Placements[i]
		if p.Before == nil || *p.Before == 0 {
			continue
		}
		ref := p.Workload
		f := finding{Object: &ref, Source: p.Policy.Source, Repository: p.Source}
		stays := slices.ContainsFunc(p.Clusters, func(a ReportAssignment) bool { return a.Action != PlacementLeave })
		switch {
		case !stays:
			f.ID, f.Message = PruneLastReplica, fmt.Sprintf("the last copy of %s in the fleet is removed, with %d replicas", ref, *p.Before)
		case p.After != nil && *p.After == 0:
			f.ID, f.Message = ScaleToZero, fmt.Sprintf("%s goes from %d replicas to none", ref, *p.Before)
		default:
			continue
		}
		v.findings.add(f)
	}
}

// reportStaleSnapshot says whether what the fleet holds is what the base revision says, since only
// then the prediction is exact.
func (v *preview) reportStaleSnapshot() {
	if v.base.at == nil {
		return
	}
	var behind, unknown []string
	objects := 0
	for _, cc := range v.base.Clusters {
		if !v.base.at.snap.Members[cc.Name].Known {
			unknown = append(unknown, cc.Name)
			continue
		}
		pending := 0
		for _, ch := range cc.Objects {
			if ch.Action != v1alpha1.ActionUnchanged && ch.Action != v1alpha1.ActionSkip && !ch.Gate.NeedsReplan() {
				pending++
			}
		}
		if pending > 0 {
			behind, objects = append(behind, cc.Name), objects+pending
		}
	}
	if len(unknown) > 0 {
		v.findings.add(finding{
			ID: NotChecked, Clusters: unknown,
			Message: "what these clusters hold is not known (no Inventory): the base revision counts as held",
		})
	}
	if len(behind) > 0 {
		v.findings.add(finding{
			ID: StaleSnapshot, Clusters: behind,
			Message: fmt.Sprintf("the fleet does not hold the base revision yet: %d objects still differ; this report shows what changes after that", objects),
		})
	}
}
