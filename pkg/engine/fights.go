package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// fightWindow is the time within which writes of one version count as one fight, and without a change
// for so long a fight is over; fightPause is how long the object is left alone.
const (
	fightWindow = time.Minute
	fightPause  = 10 * fightWindow
)

// problemFight is the id of the problem that an object is being fought about.
const problemFight = "drift-fight"

// writeStreak counts how often one version of an object was written since a time.
type writeStreak struct {
	digest string
	since  time.Time
	count  int32
	// until is when the pause of the last fight ends; zero: there was none.
	until time.Time
	// rival says which fields were changed, and by whom, as far as it was seen.
	rival string
}

// mergeWrites counts what was written; another version, or a quiet minute, begins a new count. After the
// pause of a fight one write is a try: if it is undone within a minute, the fight goes on.
func mergeWrites(old map[v1alpha1.ObjectKey]writeStreak, p plan.ClusterPlan, r apply.Result, limit int32, now time.Time) map[v1alpha1.ObjectKey]writeStreak {
	next := recent(old, now)
	if next == nil {
		next = map[v1alpha1.ObjectKey]writeStreak{}
	}
	for i, o := range r.Objects {
		if o.Outcome != apply.OutcomeApplied {
			continue
		}
		w, digest := next[o.Key()], p.Operations[i].Digest
		switch {
		case w.since.IsZero() || w.digest != digest:
			w = writeStreak{digest: digest, since: now}
		case now.Sub(w.since) >= fightWindow:
			w.since, w.count = now, limit-1
		}
		w.count++
		next[o.Key()] = w
	}
	return next
}

// recent are the counts that still matter; nil where none does, since most objects are written once.
func recent(old map[v1alpha1.ObjectKey]writeStreak, now time.Time) (kept map[v1alpha1.ObjectKey]writeStreak) {
	for k, w := range old {
		if now.Sub(w.since) < fightWindow || now.Before(w.until.Add(fightWindow)) {
			if kept == nil {
				kept = map[v1alpha1.ObjectKey]writeStreak{}
			}
			kept[k] = w
		}
	}
	return kept
}

// fights returns, as failures, the objects of a plan that were written more often than the limit within
// the window: whoever undoes it would do so for ever, so it is reported and left for a while. Their counts
// begin anew.
func fights(writes map[v1alpha1.ObjectKey]writeStreak, p plan.ClusterPlan, limit int32, now time.Time) map[v1alpha1.ObjectKey]failure {
	found := map[v1alpha1.ObjectKey]failure{}
	for _, o := range p.Operations {
		w, written := writes[o.Key()]
		if !written || w.count <= limit || w.digest != o.Digest {
			continue
		}
		message := fmt.Sprintf("was put back %d times within %s and changed again each time: another controller or a webhook wants it otherwise", w.count, fightWindow)
		if w.rival != "" {
			message += " (" + w.rival + ")"
		}
		w.until, w.since, w.count = now.Add(fightPause), now, 0
		writes[o.Key()] = w
		found[o.Key()] = failure{
			digest: o.Digest, revision: anyRevision, count: 1, next: w.until, fight: true,
			result: apply.ObjectResult{
				ObjectReference: o.ObjectReference, Source: o.Source, Action: o.Action, Outcome: apply.OutcomeApplied, Class: apply.ClassStalled,
				Message: message + "; it is left alone for " + fightPause.String(),
			},
		}
	}
	return found
}

// watchRivals remembers who changes what we write again and again, while the plan sees it.
func (st *siteState) watchRivals(p *plan.Plan, cluster string) {
	for k, w := range st.writes {
		if w.count < 2 && w.until.IsZero() {
			continue
		}
		if d, found := p.DriftOf(cluster, k); found && len(d.Fields) > 0 {
			w.rival = rivals(d)
			st.writes[k] = w
		}
	}
}

// rivals says in words which fields someone changed; no more than three.
func rivals(d v1alpha1.ObjectDrift) string {
	var words []string
	for i, f := range d.Fields {
		if i == 3 {
			words = append(words, "…")
			break
		}
		if f.Manager == "" {
			words = append(words, f.Path)
			continue
		}
		words = append(words, fmt.Sprintf("%s by %q", f.Path, f.Manager))
	}
	return strings.Join(words, ", ")
}

// rests tells, of a fight, whether it is still to be remembered: until its pause is over, or until nobody
// has changed the object for a while. wanted tells that the plan would put it back.
func (f *failure) rests(wanted bool, now time.Time) bool {
	switch {
	case wanted:
		f.quiet = time.Time{}
	case f.quiet.IsZero():
		f.quiet = now
	}
	return now.Before(f.next) && (f.quiet.IsZero() || now.Before(f.quiet.Add(fightWindow)))
}

// fought returns until when which objects are left alone since someone fights about them.
func (st *siteState) fought() map[v1alpha1.ObjectKey]time.Time {
	var until map[v1alpha1.ObjectKey]time.Time
	for k, f := range st.failures {
		if !f.fight {
			continue
		}
		if until == nil {
			until = map[v1alpha1.ObjectKey]time.Time{}
		}
		until[k] = f.next
	}
	return until
}
