package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// removalCause says what proves that a held object may go.
type removalCause uint8

const (
	causeNone removalCause = iota
	// causeGone: every unit of its source loaded and the object is in none of them.
	causeGone
	// causeMoved: a decision that succeeded names other clusters.
	causeMoved
)

// removeRest decides about everything that a cluster holds and that does not belong there.
func (c *computation) removeRest() {
	for i := range c.clusters {
		for held := range c.member(i).Objects.All() {
			it := c.byKey[held.Key()]
			if it != nil && it.goesTo(i) {
				continue
			}
			c.changes[i] = append(c.changes[i], c.remove(i, it, held))
		}
		// From here on changes stay in their places, so that moves may point at them.
		slices.SortFunc(c.changes[i], func(a, b ObjectChange) int { return a.Compare(b.ObjectReference) })
	}
	c.guardLastObjects()
	c.guardLargePrunes()
}

// remove decides about one held object that does not belong on a cluster.
func (c *computation) remove(cluster int, it *item, held *Held) ObjectChange {
	rest := &pairRest{cause: causeGone}
	ch := ObjectChange{
		ObjectReference: held.ObjectReference, Action: v1alpha1.ActionPrune, Digest: held.Digest,
		Overrides: []string{}, Source: held.Source, Replicas: held.Replicas,
		pair: &pair{item: it, held: held, rest: rest},
	}
	if ch.APIVersion == "v1" && ch.Kind == "Secret" {
		ch.Digest = ""
	}
	source := c.source(held.Source)
	if source != nil {
		ch.Source = source.Source
	}
	if it != nil {
		rest.cause = causeMoved
	}
	var gate v1alpha1.Gate
	var reason string
	if rest.release = source != nil && source.orphans(); !rest.release {
		gate, reason = c.keep(cluster, it, *held, source)
	}
	if gate == "" && !c.reachable(cluster) {
		gate, reason = v1alpha1.GateMove.Of(moveUnreachable), "the cluster cannot be reached; it goes when it can"
	}
	if gate != "" {
		ch.Action, ch.Gate, ch.Reason = v1alpha1.ActionSkip, gate, reason
		if gate != v1alpha1.GateMove.Of(moveUnreachable) {
			rest.cause = causeNone
		}
		return ch
	}
	ch.Reason = "gone from Git"
	if rest.release {
		ch.Reason = "its source is deleted and leaves it behind (deletionPolicy: Orphan); what is ours on it goes"
	} else if it != nil {
		ch.Reason = "its decision names other clusters"
	}
	return ch
}

// orphans tells that a source is deleted and leaves its objects behind.
func (s *Source) orphans() bool { return s.Leaving && s.Spec.DeletionPolicy == v1alpha1.DeletionOrphan }

// reachable tells whether writes can reach a cluster. One of which nothing is known can be.
func (c *computation) reachable(cluster int) bool {
	m, known := c.snap.Members[c.clusters[cluster].Name]
	return !known || m.Reachable
}

// keep returns the gate that keeps a held object which no longer belongs where it is; "" where it is
// proven that it may go.
func (c *computation) keep(cluster int, it *item, held Held, source *Source) (v1alpha1.Gate, string) {
	if it != nil {
		if gate, reason := c.keepDeclared(cluster, it, held); gate != "" {
			return gate, reason
		}
	}
	if gate, reason := keepForSource(held, source); gate != "" {
		return gate, reason
	}
	if gate, reason := c.keepOutside(cluster, held, source); gate != "" {
		return gate, reason
	}
	if it == nil {
		if gate, reason := c.keepGone(cluster, held, source); gate != "" {
			return gate, reason
		}
	}
	return c.keepLive(cluster, held)
}

// keepDeclared: the object is still in Git. It goes only where a decision succeeded and names other
// clusters.
func (c *computation) keepDeclared(cluster int, it *item, held Held) (v1alpha1.Gate, string) {
	switch {
	case it.hold != "":
		return v1alpha1.GateHeld.Of(it.hold), "see finding " + it.hold
	case it.removalHold != "":
		return v1alpha1.GateHeld.Of(it.removalHold), "what needs it is held, see finding " + it.removalHold
	case it.owner != nil && suspended(it.owner, c.clusters[cluster].Name):
		return v1alpha1.GateSuspended, "its policy is suspended there"
	}
	if ok, why := c.mayTakeOver(it, held); !ok {
		c.reportForeignHolder(it, cluster, why)
		return v1alpha1.GateHeld.Of(ClaimedTwice), why
	}
	if c.purge(it, cluster) == v1alpha1.PurgeNever || c.wasLeftOn(it, cluster) {
		it.leftOn = append(it.leftOn, c.clusters[cluster].Name)
		return v1alpha1.GateHeld.Of(heldPurgeNever), "its policy leaves old copies behind (purgeMode: Never)"
	}
	return "", ""
}

// keepForSource: while the source's word is old or partial, nothing of it goes.
func keepForSource(held Held, source *Source) (v1alpha1.Gate, string) {
	switch {
	case source == nil:
		return v1alpha1.GateHeld.Of(heldNoTree), fmt.Sprintf("there is no tree of their source %q", held.Source)
	case source.Stale:
		return v1alpha1.GateHeld.Of(heldStaleSource), "the last fetch of the source failed"
	case !source.Complete():
		return v1alpha1.GateHeld.Of(heldFailedUnit), "part of the source did not load: " + strings.Join(firstFew(source.FailedUnits, 3), ", ")
	}
	return "", ""
}

// keepGone: the object is in no tree, and all of its source loaded.
func (c *computation) keepGone(cluster int, held Held, source *Source) (v1alpha1.Gate, string) {
	if !source.Leaving && len(source.Objects) == 0 && len(source.PropagationPolicies) == 0 && len(source.OverridePolicies) == 0 {
		return v1alpha1.GateHeld.Of(heldEmptyTree), "the source is empty, which is taken for a mistake"
	}
	preserved, isSuspended := c.formerPolicy(cluster, held, source)
	switch {
	case isSuspended:
		return v1alpha1.GateSuspended, "its policy is suspended there"
	case preserved:
		return v1alpha1.GateHeld.Of(heldPreserved), "its policy preserves what Git drops (preserveResourcesOnDeletion)"
	}
	return "", ""
}

// formerPolicy judges an object that Git no longer declares by the policy that would own it. Its
// labels are not known any more, so that of the policies which select by label each counts that would
// keep it. What was recorded while Git declared it counts also when Git dropped the policy along with it.
func (c *computation) formerPolicy(cluster int, held Held, source *Source) (preserved, isSuspended bool) {
	record := c.recorded[held.Key()]
	remembered := record != nil && record.Status.Preserve
	for _, p := range c.policies {
		if !reaches(p.source, source.Source) {
			continue
		}
		selected, certain := mightSelect(p, held.ObjectReference)
		if !selected {
			continue
		}
		preserved = p.preserves() || remembered && !p.letsGo()
		isSuspended = suspended(p, c.clusters[cluster].Name)
		if certain || preserved || isSuspended {
			return preserved, isSuspended
		}
	}
	return remembered, false
}

// preserves tells that a policy leaves what Git drops in the members.
func (p *policy) preserves() bool {
	return p.Spec.PreserveResourcesOnDeletion != nil && *p.Spec.PreserveResourcesOnDeletion
}

// letsGo tells that a policy says in so many words that what Git drops goes, which ends what an earlier
// policy wished.
func (p *policy) letsGo() bool {
	return p.Spec.PreserveResourcesOnDeletion != nil && !*p.Spec.PreserveResourcesOnDeletion
}

// mightSelect tells whether a policy selects an object of unknown labels, and whether that is certain.
func mightSelect(p *policy, ref v1alpha1.ObjectReference) (selected, certain bool) {
	for _, s := range p.Spec.ResourceSelectors {
		namespace := s.Namespace
		if p.Namespace != "" {
			namespace = p.Namespace
		}
		key := v1alpha1.ObjectReference{APIVersion: s.APIVersion, Kind: s.Kind}
		if key.Group() != ref.Group() || s.Kind != ref.Kind || namespace != "" && namespace != ref.Namespace {
			continue
		}
		if s.Name != "" && s.Name != ref.Name {
			continue
		}
		selected = true
		if s.Name != "" || s.LabelSelector == nil {
			return true, true
		}
	}
	return selected, false
}

// suspended tells whether a policy holds everything back on a cluster.
func suspended(p *policy, cluster string) bool {
	s := p.Spec.Suspension
	if s == nil {
		return false
	}
	if s.Dispatching != nil && *s.Dispatching {
		return true
	}
	return s.DispatchingOnClusters != nil && slices.Contains(s.DispatchingOnClusters.ClusterNames, cluster)
}

// dataKinds are the kinds whose removal takes data, or much else, along.
var dataKinds = map[groupKind]bool{
	{"", "Namespace"}:                                    true,
	{"", "PersistentVolume"}:                             true,
	{"", "PersistentVolumeClaim"}:                        true,
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: true,
}

// keepLive: what the live object says of itself.
func (c *computation) keepLive(cluster int, held Held) (v1alpha1.Gate, string) {
	switch {
	case held.Terminating:
		return v1alpha1.GateHeld.Of(heldTerminating), "it is being deleted already"
	case c.paused(cluster, held):
		return v1alpha1.GateHeld.Of(heldPaused), "paused on the live object"
	case held.Detail().Prune == "disabled":
		return v1alpha1.GateHeld.Of(heldDisabled), "the live object says " + v1alpha1.AnnotationPrune + ": disabled"
	case dataKinds[groupKind{held.Group(), held.Kind}] && held.Detail().Prune != "confirm":
		if c.reachable(cluster) && !c.comingBack(cluster) {
			c.reportOrphan(cluster, held)
		}
		return v1alpha1.GateHeld.Of(heldNeedsConfirm), "the live object does not say " + v1alpha1.AnnotationPrune + ": confirm"
	}
	return "", ""
}

// reportOrphan reports an object that stays since it may hold data. One on a cluster that is away
// is no orphan yet: it may be wanted again when the cluster is back.
func (c *computation) reportOrphan(cluster int, held Held) {
	ref, repository := held.ObjectReference, held.Source
	if source := c.source(held.Source); source != nil {
		repository = source.Source
	}
	c.findings.add(finding{
		ID: PruneData, Object: &ref, Clusters: []string{c.clusters[cluster].Name}, Repository: repository,
		Message: fmt.Sprintf("%s stays behind as an orphan: it does not carry %s: confirm", ref, v1alpha1.AnnotationPrune),
	})
}

// guardLastObjects keeps the last objects of a source: that nothing of it is left is more likely a
// mistake than a wish, unless somebody said so for this revision.
func (c *computation) guardLastObjects() {
	left, going := map[string]int{}, map[string]bool{}
	for i := range c.changes {
		for j := range c.changes[i] {
			switch ch := &c.changes[i][j]; {
			case goesFromGit(ch):
				going[ch.Source] = true
			case ch.pair.item != nil:
				// What Git dropped and something else keeps, such as the orphan of a namespace, is
				// nothing that is left of the source.
				left[ch.Source]++
			}
		}
	}
	for i := range c.changes {
		for j := range c.changes[i] {
			ch := &c.changes[i][j]
			if s := c.byName[ch.Source]; goesFromGit(ch) && left[ch.Source] == 0 && !pruneAllowed(s) {
				ch.hold(heldLastObject, fmt.Sprintf("they are the last of the source, which needs %s: %s", v1alpha1.AnnotationAllowPrune, s.Revision))
			}
		}
	}
}

func goesFromGit(ch *ObjectChange) bool {
	return ch.Action == v1alpha1.ActionPrune && !ch.pair.more().release && ch.pair.more().cause == causeGone
}

// pruneAllowed tells whether somebody lifted the limits for exactly this revision, written in full
// or as the commit alone.
func pruneAllowed(s *Source) bool {
	if s == nil || s.AllowPrune == "" {
		return false
	}
	_, commit, _ := strings.Cut(s.Revision, ":")
	return s.AllowPrune == s.Revision || s.AllowPrune == commit
}

// guardLargePrunes keeps what goes from Git where it is more than a share of the source's objects on
// a cluster.
func (c *computation) guardLargePrunes() {
	for i := range c.changes {
		held, going := map[string]int{}, map[string]int{}
		for j := range c.changes[i] {
			ch := &c.changes[i][j]
			if ch.Action != v1alpha1.ActionCreate {
				held[ch.Source]++
			}
			if goesFromGit(ch) {
				going[ch.Source]++
			}
		}
		for j := range c.changes[i] {
			ch := &c.changes[i][j]
			s := c.byName[ch.Source]
			if !goesFromGit(ch) || pruneAllowed(s) {
				continue
			}
			percent := v1alpha1.DefaultMaxPrunePercent
			if s.Spec.MaxPrunePercent != nil {
				percent = int(*s.Spec.MaxPrunePercent)
			}
			if n := going[ch.Source]; n > int(*c.config.Apply.PruneFloor) && n*100 > percent*held[ch.Source] {
				ch.hold(heldMaxPrune, fmt.Sprintf("more than %d %% of the source's objects there would go, which needs %s: %s",
					percent, v1alpha1.AnnotationAllowPrune, s.Revision))
			}
		}
	}
}

// hold turns a change into one that leaves the object as it is.
func (ch *ObjectChange) hold(detail, reason string) {
	ch.Action, ch.Gate, ch.Reason = v1alpha1.ActionSkip, v1alpha1.GateHeld.Of(detail), reason
	ch.pair.note(func(r *pairRest) { r.cause = causeNone })
}

// guardNamespaces keeps a namespace in which something of ours stays or still waits to go.
func (c *computation) guardNamespaces() {
	for i := range c.changes {
		inUse := map[string]bool{}
		for _, ch := range c.changes[i] {
			if ch.Namespace != "" && (ch.Action != v1alpha1.ActionPrune || ch.Gate != "") && ch.Action != v1alpha1.ActionCreate {
				inUse[ch.Namespace] = true
			}
		}
		for j := range c.changes[i] {
			if ch := &c.changes[i][j]; ch.Action == v1alpha1.ActionPrune && !ch.pair.more().release && isNamespace(ch.ObjectReference) && inUse[ch.Name] {
				ch.hold(heldInUse, "something of ours is still in it")
			}
		}
	}
}
