package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Details of gate held that are not the id of a finding. The gate reads "held:stale-source".
const (
	heldNoTree       = "no-tree"
	heldStaleSource  = "stale-source"
	heldFailedUnit   = "failed-unit"
	heldEmptyTree    = "empty-tree"
	heldLastObject   = "last-object"
	heldMaxPrune     = "max-prune"
	heldNeedsConfirm = "prune-confirm"
	heldDisabled     = "prune-disabled"
	heldPreserved    = "preserved"
	heldInUse        = "namespace-in-use"
	heldPurgeNever   = "purge-never"
	heldTerminating  = "terminating"
	heldPaused       = "paused"
	heldDrift        = "drift"
	// heldOutsideBounds is of what a tenant holds and may no longer have.
	heldOutsideBounds = "outside-bounds"
)

// pair is one object on one cluster: what the executor and the printers need beyond the change.
type pair struct {
	// item is nil for what Git no longer declares.
	item   *item
	target *target
	// held is what the cluster holds; nil: nothing.
	held *Held
	// rest is nil where there is nothing of it, as for most: there is one pair for each object on each cluster.
	// more reads it, note changes it.
	rest *pairRest
}

// pairRest is what is worth telling of few pairs.
type pairRest struct {
	// drift says that someone else changed the object; nil: nobody did.
	drift *drift
	// handOver are fields, as JSON pointers, whose live values are handed over.
	handOver []string
	cause    removalCause
	// drifted tells that someone else changed the live object.
	drifted bool
	// release tells of a prune that the object stays and only what is ours on it goes.
	release bool
}

// more returns the rest; zero where there is none, as of a change that was read back.
func (p *pair) more() pairRest {
	if p == nil || p.rest == nil {
		return pairRest{}
	}
	return *p.rest
}

// note changes the rest.
func (p *pair) note(change func(*pairRest)) {
	if p.rest == nil {
		p.rest = &pairRest{}
	}
	change(p.rest)
}

// expected is what the plan saw of the object: its uid and the digest that was applied last.
func (p *pair) expected() (uid, digest string) {
	if p.held == nil {
		return "", ""
	}
	return p.held.UID, p.held.Digest
}

// compareTargets compares what each cluster should hold with what it holds.
func (c *computation) compareTargets() {
	counts := make([]int, len(c.clusters))
	for _, it := range c.items {
		for i := range it.targets {
			counts[it.targets[i].cluster]++
		}
	}
	for i, n := range counts {
		c.changes[i] = make([]ObjectChange, 0, n)
	}
	for _, it := range c.items {
		for i := range it.targets {
			t := &it.targets[i]
			c.changes[t.cluster] = append(c.changes[t.cluster], c.compare(it, t))
		}
	}
}

// compare decides what happens to one object on one cluster where it belongs.
func (c *computation) compare(it *item, t *target) ObjectChange {
	held, isHeld := it.held(t.cluster)
	ch := ObjectChange{
		ObjectReference: it.ref, Digest: t.rendered.shown, Overrides: t.rendered.overrides,
		Source: it.source.Source, Replicas: t.replicas,
		pair: &pair{item: it, target: t, held: it.copyOn(t.cluster)},
	}
	if gate, reason := c.holdBack(it, t, held, isHeld); gate != "" {
		ch.Action, ch.Gate, ch.Reason = v1alpha1.ActionSkip, gate, reason
		if gate == v1alpha1.GateHeld.Of(heldPaused) {
			c.noteDrift(&ch, v1alpha1.DriftPaused)
		}
		return ch
	}
	if !isHeld {
		ch.Action = v1alpha1.ActionCreate
		return ch
	}
	handOver := c.letGo(it, t, held)
	why, drifted := c.difference(it, t, held)
	switch {
	case drifted:
		ch.pair.note(func(r *pairRest) { r.drifted = true })
		c.noteDrift(&ch, v1alpha1.DriftRepaired)
	case c.ignores(t, held, func() map[string]any { return c.whole(it, t) }):
		c.noteDrift(&ch, v1alpha1.DriftIgnored)
	}
	switch {
	case len(handOver) > 0:
		ch.Action, ch.Reason = v1alpha1.ActionConfigure, "lets go of "+strings.Join(handOver, ", ")
	case why == "":
		ch.Action, t.settled = v1alpha1.ActionUnchanged, true
	case drifted && it.GetAnnotations()[v1alpha1.AnnotationDrift] == "report":
		ch.Action, ch.Gate, ch.Reason = v1alpha1.ActionSkip, v1alpha1.GateHeld.Of(heldDrift), why
		c.noteDrift(&ch, v1alpha1.DriftReported)
	default:
		ch.Action, ch.Reason = v1alpha1.ActionConfigure, why
		if held.OwnedFields == "" {
			// Whether they were ours is not known; handing over what was not harms nothing.
			handOver = pointers(t.lent)
		}
	}
	if len(handOver) > 0 {
		ch.pair.note(func(r *pairRest) { r.handOver = handOver })
	}
	return ch
}

// holdBack returns the gate that keeps a wanted object as it is, with the reason; none: "".
func (c *computation) holdBack(it *item, t *target, held Held, isHeld bool) (v1alpha1.Gate, string) {
	switch {
	case it.hold != "":
		return v1alpha1.GateHeld.Of(it.hold), "see finding " + it.hold
	case t.suspended:
		return v1alpha1.GateSuspended, "its policy is suspended there"
	case t.denied != "":
		return v1alpha1.GateHeld.Of(TenantNotAllowed), t.denied
	case t.rendered.failed != "":
		return v1alpha1.GateHeld.Of(t.rendered.failedBy), t.rendered.failed
	case !isHeld:
		return "", ""
	case held.Terminating:
		return v1alpha1.GateHeld.Of(heldTerminating), "it is being deleted; it comes back when it is gone"
	case c.paused(t.cluster, held):
		return v1alpha1.GateHeld.Of(heldPaused), "paused on the live object until " + held.Detail().PausedUntil.UTC().Format(time.RFC3339)
	}
	if ok, why := c.mayTakeOver(it, held); !ok {
		c.reportForeignHolder(it, t.cluster, why)
		return v1alpha1.GateHeld.Of(ClaimedTwice), why
	}
	return "", ""
}

// paused tells whether someone stopped us on the live object. A pause that is set further ahead than
// the limit is not honoured, since nobody would notice that it never ends.
func (c *computation) paused(cluster int, held Held) bool {
	if !held.Detail().PausedUntil.After(c.snap.Now) {
		return false
	}
	limit := c.config.Apply.MaxPause.Duration
	if held.Detail().PausedUntil.Sub(c.snap.Now) <= limit {
		return true
	}
	why := fmt.Sprintf("lies more than %s ahead", limit)
	if held.Detail().PausedUntil.Equal(UnreadablePause()) {
		why = "is not a time such as 2026-01-31T18:00:00Z"
	}
	ref, repository := held.ObjectReference, held.Source
	if source := c.source(held.Source); source != nil {
		repository = source.Source
	}
	c.findings.add(finding{
		ID: v1alpha1.FindingFieldIgnored, Severity: v1alpha1.SeverityCaution, Object: &ref,
		Clusters: []string{c.clusters[cluster].Name}, Repository: repository,
		Message: fmt.Sprintf("%s: %s %s and is not honoured", ref, v1alpha1.AnnotationPausedUntil, why),
	})
	return false
}

func (c *computation) reportForeignHolder(it *item, cluster int, why string) {
	ref := it.ref
	c.findings.add(finding{
		ID: ClaimedTwice, Message: fmt.Sprintf("%s stays as it is: %s", ref, why),
		Source: it.Origin.Source, Object: &ref, Repository: it.source.Source,
		Clusters: []string{c.clusters[cluster].Name},
	})
}

// difference says why a held object is not as desired; "" means that it is. The second result tells
// that Git did not change: someone else changed the live object.
func (c *computation) difference(it *item, t *target, held Held) (why string, drifted bool) {
	switch {
	case held.Source != "" && !sameSource(held.Source, it.source.Source):
		return fmt.Sprintf("moves here from source %q", held.Source), false
	case !c.sameDigest(it, t, held):
		return "differs from what was applied", false
	case len(held.Detail().Drift) > 0:
		return "changed by someone else: " + strings.Join(firstFew(held.Detail().Drift, 3), ", "), true
	case held.OwnedFields != "" && !c.covered(it, t, held.OwnedFields):
		return "changed by someone else: " + strings.Join(firstFew(lostPointers(parseFields(held.OwnedFields), c.manifest(it, t)), 3), ", "), true
	}
	return "", false
}

// sameDigest tells whether the manifest that was applied last is the desired one. What a fleet file
// does not say of an object counts as different; of Secrets it never says it, so there the fields
// that we own must do.
func (c *computation) sameDigest(it *item, t *target, held Held) bool {
	if held.Detail().content != "" {
		return held.Detail().content == t.rendered.digest
	}
	if !t.rendered.secret {
		return held.Digest == t.rendered.digest
	}
	if c.planner.options.SecretDigest == nil {
		c.secretsUnchecked[t.cluster] = true
		return true
	}
	return held.Digest == t.rendered.secretDigest
}

// reportUncheckedSecrets says on which clusters Secrets could not be compared.
func (c *computation) reportUncheckedSecrets() {
	f := finding{ID: NotChecked, Message: "whether the values of held Secrets change is not known from this fleet"}
	for i, cl := range c.clusters {
		if c.secretsUnchecked[i] {
			f.Clusters = append(f.Clusters, cl.Name)
		}
	}
	if len(f.Clusters) > 0 {
		c.findings.add(f)
	}
}

// letGo returns the fields that were ours on the held object and are not ours any more: their live
// values are handed over, since a field that its last owner drops is reset.
func (c *computation) letGo(it *item, t *target, held Held) []string {
	if held.OwnedFields == "" {
		return nil
	}
	var pointers []string
	for _, f := range t.lent {
		if c.planner.cache.owned(held.OwnedFields, f, t.rendered.digest, func() map[string]any { return c.whole(it, t) }) {
			pointers = append(pointers, f.pointer)
		}
	}
	return pointers
}

func pointers(fields []lentField) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.pointer)
	}
	return all
}

// covered tells, from memory where it can, whether our fields cover the desired manifest.
func (c *computation) covered(it *item, t *target, ownedFields string) bool {
	return c.planner.cache.covered(t.rendered, ownedFields, func() map[string]any { return c.manifest(it, t) })
}

// holdSummary names objects that are held back for one reason.
type holdSummary struct {
	source, detail string
}

// reportHeld says once for each source and reason what stays as it is, unless another finding
// already does.
func (c *computation) reportHeld() {
	type held struct {
		refs     map[v1alpha1.ObjectReference]bool
		clusters map[string]bool
		reasons  map[string]bool
	}
	groups := map[holdSummary]*held{}
	for i := range c.changes {
		for _, ch := range c.changes[i] {
			if ch.Action != v1alpha1.ActionSkip || ch.Gate.Kind() != v1alpha1.GateHeld {
				continue
			}
			_, detail, _ := strings.Cut(string(ch.Gate), ":")
			if _, reported := reportedElsewhere[detail]; reported {
				continue
			}
			key := holdSummary{ch.Source, detail}
			g := groups[key]
			if g == nil {
				g = &held{refs: map[v1alpha1.ObjectReference]bool{}, clusters: map[string]bool{}, reasons: map[string]bool{}}
				groups[key] = g
			}
			g.refs[ch.ObjectReference] = true
			g.clusters[c.clusters[i].Name] = true
			g.reasons[ch.Reason] = true
		}
	}
	for key, g := range groups {
		f := finding{
			ID: HeldBack, Severity: holdSeverity[key.detail], Repository: key.source, Clusters: keys(g.clusters),
			Message: fmt.Sprintf("%s stay as they are: %s", listReferences(g.refs, 3), commonReason(keys(g.reasons))),
		}
		if len(g.refs) == 1 {
			for r := range g.refs {
				f.Object = &r
			}
			f.Message = fmt.Sprintf("%s stays as it is: %s", listReferences(g.refs, 1), commonReason(keys(g.reasons)))
		}
		c.findings.add(f)
	}
}

// commonReason is the one of several reasons for the same that is true of all: without what follows a colon, as the
// fields that differ, where that is not the same. They are sorted.
func commonReason(reasons []string) string {
	if len(reasons) == 1 {
		return reasons[0]
	}
	first, _, _ := strings.Cut(reasons[0], ": ")
	for _, r := range reasons {
		if head, _, _ := strings.Cut(r, ": "); head != first {
			return reasons[0]
		}
	}
	return first
}

// reportedElsewhere are the details of gate held of which other findings speak.
var reportedElsewhere = map[string]bool{
	Unclaimed: true, ClaimedTwice: true, v1alpha1.FindingOverrideFailed: true, v1alpha1.FindingVariableFailed: true, NoClusterMatches: true, FewerThanMinGroups: true,
	UnassignedReplicas: true, Headroom: true, v1alpha1.FindingInvalidDocument: true,
	v1alpha1.FindingInvalidPolicy: true, TenantNotAllowed: true,
	heldNeedsConfirm: true, heldTerminating: true, heldInUse: true,
}

// holdSeverity are the severities of holds that are as somebody wished.
var holdSeverity = map[string]v1alpha1.Severity{
	heldNoTree: v1alpha1.SeverityInfo, heldDisabled: v1alpha1.SeverityInfo, heldPreserved: v1alpha1.SeverityInfo,
	heldPurgeNever: v1alpha1.SeverityInfo,
}

func sortedReferences(refs map[v1alpha1.ObjectReference]bool) []v1alpha1.ObjectReference {
	sorted := make([]v1alpha1.ObjectReference, 0, len(refs))
	for r := range refs {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, v1alpha1.ObjectReference.Compare)
	return sorted
}

func listReferences(refs map[v1alpha1.ObjectReference]bool, n int) string {
	sorted := sortedReferences(refs)
	texts := make([]string, 0, n)
	for _, r := range sorted[:min(n, len(sorted))] {
		texts = append(texts, r.String())
	}
	list := strings.Join(texts, ", ")
	if rest := len(sorted) - n; rest > 0 {
		list = fmt.Sprintf("%s and %d more", list, rest)
	}
	return cmp.Or(list, "nothing")
}
