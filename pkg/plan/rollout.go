package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// RolloutEntry says of one source how far its latest revision has spread, and what each step waits for.
type RolloutEntry struct {
	Source string `json:"source"`
	v1alpha1.RolloutStatus
	// Stages are the steps with their clusters, and last the clusters that are in none.
	Stages []RolloutStage `json:"stages"`
}

// RolloutStage is one step.
type RolloutStage struct {
	// Step counts from 1.
	Step     int      `json:"step"`
	Clusters []string `json:"clusters"`
	// Reached is how many of the clusters the revision may go to.
	Reached int `json:"reached"`
	// Soak is how long the step stays healthy before the next begins; empty: not at all.
	Soak string `json:"soak,omitempty"`
}

// rollout is the state of one source's rollout while a plan is made. Clusters are known by their index.
type rollout struct {
	source   string
	revision string
	spec     v1alpha1.Rollout
	// suspended stops it where it is; everywhere sends the revision to all clusters at once.
	suspended, everywhere bool
	clusters              []*v1alpha1.Cluster
	now                   time.Time
	// step is that of each cluster, at the revision that it may have, and state how it does with the new.
	step  []int
	at    []string
	state []rolloutState

	status v1alpha1.RolloutStatus
	// recheck is when time alone goes on with it; zero: never.
	recheck time.Time
}

// rolloutState is how one cluster does with the new revision.
type rolloutState struct {
	// pending tells that the revision brings something that can be done and is not there yet, touched
	// that it changes anything, now or later.
	pending, touched bool
	// unhealthy says what is not healthy of what the revision wants there; failed, what has failed; refused, what
	// the API server does not take.
	unhealthy, failed, refused string
	// away tells that the cluster is not ready, since a time that is zero where it is not known.
	away  bool
	since time.Time
}

// arrange gives every cluster its step: the first that names it, or the one after the last. A percentage
// is one of all clusters in the order of their names, rounded up.
func (r *rollout) arrange() {
	r.step = make([]int, len(r.clusters))
	for i, c := range r.clusters {
		r.step[i] = len(r.spec.Steps) + 1
		for k := range r.spec.Steps {
			if inStep(&r.spec.Steps[k], c, i, len(r.clusters)) {
				r.step[i] = k + 1
				break
			}
		}
	}
}

func inStep(s *v1alpha1.RolloutStep, c *v1alpha1.Cluster, index, all int) bool {
	if s.Percent != nil {
		return index*100 < int(*s.Percent)*all
	}
	matcher, err := affinity.Compile(s.ClusterSelector)
	return err == nil && matcher.Match(c)
}

// begin takes up the record where it is about this revision, and begins anew where it is not: with what
// the last rollout had reached where it had reached it.
func (r *rollout) begin(before *v1alpha1.RolloutStatus, applied string) {
	switch {
	case before == nil:
		r.status = v1alpha1.RolloutStatus{From: applied}
	case before.Phase == v1alpha1.RolloutComplete:
		r.status = v1alpha1.RolloutStatus{From: before.Revision}
		// What a cluster lacks of a revision that has arrived is no matter of steps.
		r.everywhere = r.everywhere || before.Revision == r.revision
	default:
		r.status = *before
	}
	r.at = make([]string, len(r.clusters))
	index := make(map[string]int, len(r.clusters))
	for i, c := range r.clusters {
		index[c.Name], r.at[i] = i, r.status.From
	}
	mark := func(revision string, names []string) {
		for _, name := range names {
			if i, known := index[name]; known {
				r.at[i] = revision
			}
		}
	}
	for _, b := range r.status.Behind {
		mark(b.Revision, b.Clusters)
	}
	mark(r.status.Revision, r.status.Reached)
	if r.status.Revision != r.revision {
		since := metav1.NewTime(r.now)
		r.status = v1alpha1.RolloutStatus{Revision: r.revision, From: r.status.From, Step: 1, StepSince: &since}
	}
	r.status.Steps = int32(len(r.spec.Steps))
	r.status.Step = min(r.status.Step, r.status.Steps+1)
}

// advance works out how far the revision may go now.
func (r *rollout) advance(before *v1alpha1.RolloutStatus, applied string) {
	r.arrange()
	r.begin(before, applied)
	defer r.record()
	switch {
	case r.everywhere || !r.anyWaits():
		r.finish()
		return
	case r.suspended:
		r.say(v1alpha1.RolloutPaused, "the source is suspended or pinned at "+r.stepName())
		return
	}
	for r.takeStep() {
		if r.status.Step > r.status.Steps {
			r.finish()
			return
		}
		since := metav1.NewTime(r.now)
		r.status.Step, r.status.StepSince, r.status.HealthySince = r.status.Step+1, &since, nil
	}
}

// anyWaits tells whether the revision brings anything to a cluster that it has not reached, or has
// reached and not arrived at.
func (r *rollout) anyWaits() bool {
	for i := range r.clusters {
		if r.state[i].pending && (r.at[i] != r.revision || !r.state[i].away) {
			return true
		}
	}
	return false
}

// takeStep opens the present step as far as may be and tells whether it is done.
func (r *rollout) takeStep() bool {
	stop := r.spec.StopOnUnhealthy == nil || *r.spec.StopOnUnhealthy
	if why := r.failure(); stop && why != "" {
		r.status.HealthySince = nil
		r.say(v1alpha1.RolloutStopped, fmt.Sprintf("stopped at %s: %s", r.stepName(), why))
		return false
	}
	quiet := r.open(stop)
	if waits := r.unfinished(stop); waits != "" {
		r.status.HealthySince = nil
		r.say(v1alpha1.RolloutApplying, r.stepName()+": "+waits)
		return false
	}
	soak := r.soak()
	if soak == 0 || quiet {
		return true
	}
	if r.status.HealthySince == nil {
		since := metav1.NewTime(r.now)
		r.status.HealthySince = &since
	}
	until := r.status.HealthySince.Add(soak)
	if r.now.Before(until) {
		r.recheck = until
		r.say(v1alpha1.RolloutSoaking, fmt.Sprintf("%s is healthy and soaks until %s", r.stepName(), until.UTC().Format(time.RFC3339)))
		return false
	}
	return true
}

// soak is that of the present step.
func (r *rollout) soak() time.Duration {
	if r.status.Step > r.status.Steps {
		return 0
	}
	if s := r.spec.Steps[r.status.Step-1].Soak; s != nil {
		return s.Duration
	}
	return 0
}

// failure says what stops the rollout: something that the revision has reached and that failed with it,
// or a cluster of the present step that was lost since it began.
func (r *rollout) failure() string {
	for i, c := range r.clusters {
		s := &r.state[i]
		switch {
		case r.at[i] != r.revision:
		case s.away && r.step[i] == int(r.status.Step) && r.status.StepSince != nil && s.since.After(r.status.StepSince.Time):
			return fmt.Sprintf("cluster %q is not ready since %s", c.Name, s.since.UTC().Format(time.RFC3339))
		case !s.away && s.refused != "":
			return fmt.Sprintf("%s on %q", s.refused, c.Name)
		case !s.away && !s.pending && s.failed != "":
			return fmt.Sprintf("%s on %q", s.failed, c.Name)
		}
	}
	return ""
}

// open lets the revision go to clusters of the present step, in the order of their names and as many as
// may change at a time. Clusters that are away take no place. It tells whether all clusters of the step
// came now and nothing was to do for any.
func (r *rollout) open(stop bool) (quiet bool) {
	busy := 0
	for i := range r.clusters {
		if r.at[i] == r.revision && r.changing(i, stop) {
			busy++
		}
	}
	quiet = true
	for i := range r.clusters {
		if r.step[i] != int(r.status.Step) {
			continue
		}
		if r.at[i] == r.revision {
			quiet = false
			continue
		}
		quiet = quiet && !r.state[i].touched
		if r.changing(i, false) {
			if r.spec.MaxParallel > 0 && busy >= r.spec.MaxParallel {
				continue
			}
			busy++
		}
		r.at[i] = r.revision
	}
	return quiet
}

// changing tells that a cluster has yet to arrive at the revision.
func (r *rollout) changing(cluster int, judged bool) bool {
	s := &r.state[cluster]
	return !s.away && (s.pending || judged && s.unhealthy != "")
}

// unfinished says what the present step waits for; "" where it is done.
func (r *rollout) unfinished(stop bool) string {
	var waiting, writing, unhealthy []string
	why, refused := "", ""
	for i, c := range r.clusters {
		s := &r.state[i]
		switch {
		case r.step[i] != int(r.status.Step) || s.away && r.at[i] == r.revision:
		case r.at[i] != r.revision:
			waiting = append(waiting, c.Name)
		case s.pending:
			writing, refused = append(writing, c.Name), cmp.Or(refused, s.refused)
		case stop && s.unhealthy != "":
			unhealthy = append(unhealthy, c.Name)
			why = s.unhealthy
		}
	}
	switch {
	case refused != "":
		return "changes " + namesOf(writing) + ": " + refused
	case len(writing) > 0:
		return "changes " + namesOf(writing)
	case len(unhealthy) > 0:
		return fmt.Sprintf("waits for health on %s: %s", namesOf(unhealthy), why)
	case len(waiting) > 0:
		return "waits to change " + namesOf(waiting)
	}
	return ""
}

// namesOf names some clusters.
func namesOf(names []string) string {
	const most = 5
	words := fmt.Sprintf("%q", names[0])
	for _, name := range names[1:min(len(names), most)] {
		words += fmt.Sprintf(", %q", name)
	}
	if len(names) > most {
		words += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return words
}

func (r *rollout) stepName() string {
	return stepName(int(r.status.Step), int(r.status.Steps))
}

func stepName(step, steps int) string {
	if step > steps {
		return "the rest, after the last step"
	}
	return fmt.Sprintf("step %d of %d", step, steps)
}

// finish sends the revision everywhere.
func (r *rollout) finish() {
	for i := range r.at {
		r.at[i] = r.revision
	}
	r.status = v1alpha1.RolloutStatus{Revision: r.revision, Steps: r.status.Steps, Step: r.status.Steps + 1}
	r.say(v1alpha1.RolloutComplete, "every cluster has the revision or may have it")
}

func (r *rollout) say(phase v1alpha1.RolloutPhase, message string) {
	r.status.Phase, r.status.Message = phase, message
}

// record writes the clusters of each revision into the status.
func (r *rollout) record() {
	r.status.Reached, r.status.Behind = nil, nil
	if r.status.Phase == v1alpha1.RolloutComplete {
		return
	}
	behind := map[string][]string{}
	for i, c := range r.clusters {
		switch r.at[i] {
		case r.revision:
			r.status.Reached = append(r.status.Reached, c.Name)
		case r.status.From:
		default:
			behind[r.at[i]] = append(behind[r.at[i]], c.Name)
		}
	}
	for _, revision := range keys(behind) {
		r.status.Behind = append(r.status.Behind, v1alpha1.RevisionClusters{Revision: revision, Clusters: behind[revision]})
	}
}

// entry is what a plan shows of it.
func (r *rollout) entry() RolloutEntry {
	e := RolloutEntry{Source: r.source, RolloutStatus: r.status, Stages: []RolloutStage{}}
	for k := 1; k <= len(r.spec.Steps)+1; k++ {
		stage := RolloutStage{Step: k, Clusters: []string{}}
		for i, c := range r.clusters {
			if r.step[i] != k {
				continue
			}
			stage.Clusters = append(stage.Clusters, c.Name)
			if r.at[i] == r.revision {
				stage.Reached++
			}
		}
		if k <= len(r.spec.Steps) {
			if s := r.spec.Steps[k-1].Soak; s != nil && s.Duration > 0 {
				stage.Soak = s.Duration.String()
			}
		} else if len(stage.Clusters) == 0 {
			continue
		}
		e.Stages = append(e.Stages, stage)
	}
	return e
}

// statesOf judges how every cluster does with what a plan for the new revision wants there of a source.
func statesOf(p *Plan, source string) []rolloutState {
	states := make([]rolloutState, len(p.Clusters))
	for i := range p.Clusters {
		s := &states[i]
		ready := meta.FindStatusCondition(p.at.clusters[i].Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status != metav1.ConditionTrue {
			s.away, s.since = true, ready.LastTransitionTime.Time
		}
		for j := range p.Clusters[i].Objects {
			if ch := &p.Clusters[i].Objects[j]; ch.Source == source {
				s.judge(p.at, i, ch)
			}
		}
		if !s.away && !p.at.reachable(i) {
			s.unhealthy = "it does not answer"
		}
	}
	return states
}

// judge takes one object into account. What someone else changed is put back whatever the revision, and
// what is held or waits for a move does not wait for the rollout.
func (s *rolloutState) judge(c *computation, cluster int, ch *ObjectChange) {
	switch ch.Action {
	case v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionPrune:
		if !ch.pair.more().drifted {
			s.touched, s.pending = true, s.pending || !ch.Gate.NeedsReplan()
			if why, is := c.snap.Members[c.clusters[cluster].Name].Refused[ch.Key()]; is && ch.Action != v1alpha1.ActionPrune && why.Digest == ch.Digest && s.refused == "" {
				s.refused = fmt.Sprintf("%s is refused (%s)", ch.ObjectReference, why.Message)
			}
		}
	case v1alpha1.ActionUnchanged:
		held, _ := c.held(cluster, ch.Key())
		if isHealthy(held) {
			return
		}
		what := string(held.Health)
		if what == "" {
			what = "not known to be healthy"
		}
		s.unhealthy = fmt.Sprintf("%s is %s", ch.ObjectReference, what)
		if held.Detail().HealthMessage != "" {
			s.unhealthy += " (" + held.Detail().HealthMessage + ")"
		}
		if held.Health == v1alpha1.HealthDegraded && s.failed == "" {
			s.failed = s.unhealthy
		}
	case v1alpha1.ActionSkip:
	}
}

// rolloutStopped is the finding of a rollout that does not go on by itself.
func (r *rollout) finding() (finding, bool) {
	if r.status.Phase != v1alpha1.RolloutStopped {
		return finding{}, false
	}
	waiting := []string{}
	for i, c := range r.clusters {
		if r.at[i] != r.revision {
			waiting = append(waiting, c.Name)
		}
	}
	slices.Sort(waiting)
	return finding{
		ID: RolloutStopped, Repository: r.source, Clusters: waiting,
		Message: fmt.Sprintf("%s does not spread: %s", r.revision, r.status.Message),
	}, true
}
