package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer makes the decision of an attempt that succeeded. A cluster whose share of a positive number
// is 0 is not among the chosen ones.
func (a *attempt) answer() Decision {
	q := a.query
	kept := make([]*candidate, 0, len(a.chosen))
	known := map[reasonKey]string{}
	for _, c := range a.chosen {
		if q.Replicas != nil && *q.Replicas > 0 && c.share == 0 {
			c.rejectedBy, c.reason = rejectedByShare, a.whyNoShare(c, known)
			continue
		}
		kept = append(kept, c)
	}
	if a.trace != nil {
		a.trace.record(a, nil)
	}
	d := a.decision(kept)
	d.Unassigned = a.unassigned
	d.Inputs = q.digest
	d.Standing = a.same(kept)
	return d
}

// whyNoShare says why a chosen cluster gets nothing. Texts are kept in known, since many clusters
// share theirs.
func (a *attempt) whyNoShare(c *candidate, known map[reasonKey]string) string {
	q := a.query
	switch {
	case q.division.byCapacity() && !c.known:
		return "capacity unknown"
	case q.division.byCapacity() && c.hold == 0:
		return "no room for a replica"
	case q.Indivisible:
		return "the workload is not divided and goes to one other cluster"
	}
	k := reasonKey{tier: c.tier, part: c.part, total: c.total, kept: c.usable}
	reason, ok := known[k]
	if !ok {
		reason = a.whyZero(c)
		known[k] = reason
	}
	return reason
}

func (a *attempt) whyZero(c *candidate) string {
	q := a.query
	switch {
	case !c.usable:
		return fmt.Sprintf("given up: %d replicas are too few for minReplicas %d on every cluster", *q.Replicas, q.least)
	case c.part > 0:
		return fmt.Sprintf("share 0 of %d replicas: weight %d of %s", *q.Replicas, c.part, c.total)
	case c.tier > 0:
		return fmt.Sprintf("overflow tier %d is not needed", c.tier)
	case q.division == aggregated:
		return fmt.Sprintf("share 0 of %d replicas: fewer clusters hold them", *q.Replicas)
	}
	return fmt.Sprintf("share 0 of %d replicas: they stay on clusters that are used", *q.Replicas)
}

// same tells whether the shares are those of the previous decision, made from the same inputs.
func (a *attempt) same(kept []*candidate) bool {
	q := a.query
	if !q.unchanged() || q.Previous.AffinityGroup != a.group.name || q.fresh || !q.complete || len(kept) != len(q.previous) {
		return false
	}
	for _, c := range kept {
		if !c.placed || q.Replicas != nil && c.own != c.share {
			return false
		}
	}
	return true
}

// stand makes the decision that the previous one stands. Clusters that only keep what they have for
// now are among the chosen ones whatever the filters say of them.
func (a *attempt) stand() Decision {
	var kept []*candidate
	for i := range a.candidates {
		c := &a.candidates[i]
		switch {
		case c.placed:
			if c.rejectedBy != "" {
				a.eligible = append(a.eligible, c)
			}
			c.rejectedBy, c.reason, c.share = "", "", c.own
			kept = append(kept, c)
		case c.rejectedBy == "":
			c.rejectedBy, c.reason = a.query.leftOut(), notIncluded
		}
	}
	a.measure()
	a.score()
	a.chosen = kept
	a.remark()
	if a.trace != nil {
		a.trace.record(a, nil)
	}
	d := a.decision(kept)
	d.Standing, d.Inputs = true, a.query.Previous.Inputs
	return d
}

// notIncluded is why a standing decision leaves out a cluster that passes the filters.
const notIncluded = "the standing decision does not include it"

// leftOut is what rejects clusters that pass the filters and are not chosen for no reason of their own.
func (q *query) leftOut() string {
	if len(q.constraints) == 0 && q.Replicas != nil {
		return rejectedByShare
	}
	return rejectedBySpread
}

// keep makes the decision about a workload that cannot be placed: it stays, with what it has, on
// those of its previous clusters that the filters admit. Its recorded decision is unchanged.
func (a *attempt) keep(why failure) Decision {
	if a.query.err == nil {
		a.filter()
		a.weigh()
	}
	var kept []*candidate
	for i := range a.candidates {
		c := &a.candidates[i]
		switch {
		case c.placed && (c.rejectedBy == "" || c.rejectedBy == rejectedByWeight):
			if c.rejectedBy != "" { // a weight of 0 is no filter: it removes nothing while there is nowhere else
				a.eligible = append(a.eligible, c)
			}
			c.rejectedBy, c.reason, c.share = "", "", c.own
			kept = append(kept, c)
		case c.rejectedBy == "":
			c.rejectedBy, c.reason = a.query.leftOut(), why.message
		}
	}
	if a.query.err == nil {
		a.measure()
		a.score()
	}
	d := a.decision(kept)
	d.Error, d.AffinityGroup = why.message, ""
	if p := a.query.Previous; p != nil {
		d.Inputs, d.AffinityGroup = p.Inputs, p.AffinityGroup
	}
	if why.note != "" {
		d.Notes = append(d.Notes, Note{ID: why.note, Message: why.message, Clusters: []string{}})
	}
	return d
}

// decision puts the chosen clusters and the others together.
func (a *attempt) decision(kept []*candidate) Decision {
	q := a.query
	kept = byName(kept)
	d := Decision{
		Workload: q.Workload, Strategy: string(q.division), Replicas: q.Replicas, AffinityGroup: a.group.name,
		Clusters: make([]Assignment, len(kept)), Notes: a.notes,
	}
	numbers := make([]int64, 2*len(kept))
	known := knownReasons{by: map[reasonKey][]string{}}
	for i, c := range kept {
		to := &d.Clusters[i]
		*to = Assignment{Name: c.Name, Score: c.score, Scores: c.scores, Reasons: a.reasonsOnce(c, &known)}
		if to.Scores == nil {
			to.Scores = map[string]int64{}
		}
		if q.Replicas != nil {
			numbers[2*i], numbers[2*i+1] = c.share, c.capacity
			to.Replicas = &numbers[2*i]
			if c.known {
				to.Capacity = &numbers[2*i+1]
			}
		}
		d.RecheckAt = earlier(d.RecheckAt, c.until)
	}
	if p := q.Previous; p != nil && p.RebalanceAt != nil && !q.fresh {
		d.RecheckAt = earlier(d.RecheckAt, *p.RebalanceAt)
	}
	for i := range d.Notes {
		if d.Notes[i].Clusters == nil {
			d.Notes[i].Clusters = []string{}
		}
	}
	d.Rejected = a.rejected()
	return d
}

// reasonKey is what the reasons of a cluster depend on. Many clusters share theirs.
type reasonKey struct {
	tier         int
	part         int64
	total        wide
	placed, kept bool
	full, stays  bool
	pinnedBy     string
	until        time.Time
}

// knownReasons are the reasons of the clusters so far; last and its key are those of the one before.
type knownReasons struct {
	by   map[reasonKey][]string
	key  reasonKey
	last []string
}

func (a *attempt) reasonsOnce(c *candidate, known *knownReasons) []string {
	k := reasonKey{c.tier, c.part, c.total, c.placed, c.share == c.own, c.full, c.stays, c.pinnedBy, c.until}
	if k == known.key && known.last != nil {
		return known.last
	}
	reasons, ok := known.by[k]
	if !ok {
		reasons = a.reasons(c)
		known.by[k] = reasons
	}
	known.key, known.last = k, reasons
	return reasons
}

// reasons say why a cluster is chosen and has its share.
func (a *attempt) reasons(c *candidate) []string {
	q := a.query
	reasons := make([]string, 0, 3)
	if wants := a.group.tiers[c.tier].wants; wants != "" {
		reasons = append(reasons, "ClusterAffinity: "+wants)
	}
	if c.tier > 0 {
		reasons = append(reasons, "overflow tier "+strconv.Itoa(c.tier)+" of group "+a.group.name)
	}
	if c.part > 0 {
		reasons = append(reasons, "weight "+strconv.FormatInt(c.part, 10)+" of "+c.total.String())
	}
	switch {
	case c.placed && (q.Replicas == nil || c.share == c.own):
		reasons = append(reasons, "kept")
	case c.placed:
		reasons = append(reasons, "share re-divided")
	case q.Previous != nil:
		reasons = append(reasons, "joins")
	}
	switch {
	case c.stays:
		reasons = append(reasons, "has to leave, and stays for now: "+q.Stay)
	case c.full && q.division.byCapacity():
		reasons = append(reasons, "takes no new replicas: its NoSchedule taint is not tolerated")
	case c.full:
		reasons = append(reasons, "its NoSchedule taint is not tolerated and does not remove what is there")
	}
	if c.pinnedBy != "" {
		reasons = append(reasons, "pinned in spite of taint "+c.pinnedBy)
	}
	if !c.until.IsZero() {
		reasons = append(reasons, "its NoExecute taint is tolerated until "+c.until.UTC().Format(time.RFC3339))
	}
	return reasons
}

// fewReasons is up to how many reasons are looked through one by one, which is faster than a map since
// clusters share the texts of their reasons.
const fewReasons = 12

// rejected groups the clusters that are not chosen by filter and reason.
func (a *attempt) rejected() []Rejection {
	type key struct{ by, reason string }
	var byKey map[key]int
	list := make([]Rejection, 0, 4)
	find := func(c *candidate) int {
		for i := len(list) - 1; i >= max(0, len(list)-fewReasons); i-- {
			if list[i].Filter == c.rejectedBy && list[i].Reason == c.reason {
				return i
			}
		}
		if len(list) >= fewReasons {
			if byKey == nil {
				byKey = map[key]int{}
				for i := range list {
					byKey[key{list[i].Filter, list[i].Reason}] = i
				}
			}
			if i, ok := byKey[key{c.rejectedBy, c.reason}]; ok {
				return i
			}
			byKey[key{c.rejectedBy, c.reason}] = len(list)
		}
		list = append(list, Rejection{Filter: c.rejectedBy, Reason: c.reason, Clusters: a.fleet.none()})
		return len(list) - 1
	}
	for i := range a.candidates {
		if c := &a.candidates[i]; c.rejectedBy != "" {
			list[find(c)].Clusters.in.add(i)
		}
	}
	slices.SortFunc(list, a.compareRejections)
	return list
}

// listedRooms bounds how many clusters a note about room spells out.
const listedRooms = 3

// remark notes what people should know about a decision that was made.
func (a *attempt) remark() {
	q := a.query
	var tight, pinned, rooms []string
	for _, c := range byName(a.chosen) {
		if c.pinnedBy != "" {
			pinned = append(pinned, c.Name)
		}
		if c.known && !q.division.byCapacity() && c.share > c.capacity {
			tight = append(tight, c.Name)
			if len(tight) <= listedRooms {
				rooms = append(rooms, fmt.Sprintf("%s has room for %d of %d", c.Name, c.capacity, c.share))
			}
		}
	}
	if len(tight) > listedRooms {
		rooms = append(rooms, "…")
	}
	if len(tight) > 0 {
		a.notes = append(a.notes, Note{"headroom", "no room for the whole share on " + plural(len(tight), "cluster") + ": " + strings.Join(rooms, ", "), tight})
	}
	if q.Replicas != nil && *q.Replicas > 0 && q.division != duplicated {
		a.remarkThin()
	}
	if len(pinned) > 0 {
		a.notes = append(a.notes, Note{"failover-blocked", "the workload is pinned and stays in spite of a NoExecute taint", pinned})
	}
}

// remarkThin notes spread constraints that the chosen clusters satisfy and those with a share do not.
func (a *attempt) remarkThin() {
	for i := range a.query.constraints {
		c := &a.query.constraints[i]
		groups := map[string]bool{}
		for _, chosen := range a.chosen {
			if chosen.share > 0 {
				for _, g := range groupsOf(chosen.cluster, c) {
					groups[g] = true
				}
			}
		}
		if len(groups) >= c.MinGroups {
			continue
		}
		by, names := constraintName(c), sortedKeys(groups)
		a.notes = append(a.notes, Note{ID: "thin-spread", Message: fmt.Sprintf(
			"the replicas are on %s by %s (%s) and minGroups is %d", plural(len(names), "group"), by, strings.Join(names, ", "), c.MinGroups)})
	}
}

func byName(members []*candidate) []*candidate {
	order := func(x, y *candidate) int { return cmp.Compare(x.index, y.index) }
	if slices.IsSortedFunc(members, order) {
		return members
	}
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, order)
	return sorted
}
