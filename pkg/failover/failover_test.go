package failover_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/failover"
)

var (
	epoch      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	thresholds = failover.Thresholds{Failure: 30 * time.Second, Recovery: 30 * time.Second, MaxGap: 20 * time.Second}
)

// probe is an answer at a second after the epoch.
type probe struct {
	second int
	answer failover.Answer
}

func observe(probes ...probe) failover.ClusterHealth {
	var h failover.ClusterHealth
	for _, p := range probes {
		h = h.Observe(failover.Observation{Time: at(p.second), Answer: p.answer, Message: string(p.answer)}, thresholds)
	}
	return h
}

func at(second int) time.Time { return epoch.Add(time.Duration(second) * time.Second) }

// every gives one answer every ten seconds in [from, to].
func every(from, to int, a failover.Answer) []probe {
	var ps []probe
	for s := from; s <= to; s += 10 {
		ps = append(ps, probe{s, a})
	}
	return ps
}

func TestObserve(t *testing.T) {
	join := func(parts ...[]probe) (all []probe) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	cases := map[string]struct {
		reason string
		probes []probe
		want   metav1.ConditionStatus
		since  int
	}{
		"first answer": {"a new cluster is usable at once", every(0, 0, failover.Ready), metav1.ConditionTrue, 0},
		"never there":  {"a new cluster that does not answer is not usable", every(0, 0, failover.Unreachable), metav1.ConditionUnknown, 0},
		"short blip": {"less than the threshold changes nothing",
			join(every(0, 50, failover.Ready), every(60, 80, failover.Unreachable)), metav1.ConditionTrue, 0},
		"interrupted": {"one good answer starts the count anew",
			join(every(0, 0, failover.Ready), every(10, 30, failover.Unreachable), every(40, 40, failover.Ready), every(50, 70, failover.Unreachable)),
			metav1.ConditionTrue, 0},
		"gone":        {"thirty seconds without an answer", join(every(0, 0, failover.Ready), every(10, 40, failover.Unreachable)), metav1.ConditionUnknown, 40},
		"unwell":      {"thirty seconds of not ready", join(every(0, 0, failover.Ready), every(10, 40, failover.NotReady)), metav1.ConditionFalse, 40},
		"mixed fault": {"any failure extends the streak", join(every(0, 0, failover.Ready), every(10, 30, failover.NotReady), every(40, 40, failover.Unreachable)), metav1.ConditionUnknown, 40},
		"back": {"thirty seconds of answers", join(every(0, 0, failover.Ready), every(10, 40, failover.Unreachable), every(50, 80, failover.Ready)),
			metav1.ConditionTrue, 80},
		"suspended laptop": {"two failures an hour apart are not an hour of failure",
			join(every(0, 10, failover.Ready), every(20, 20, failover.Unreachable), every(3620, 3620, failover.Unreachable)), metav1.ConditionTrue, 0},
		"clock goes back": {"a streak never spans a jump, and twenty seconds of readiness stay twenty seconds",
			join(every(1000, 1010, failover.Ready), every(1020, 1020, failover.Unreachable), every(0, 20, failover.Unreachable)), metav1.ConditionTrue, -20},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := observe(c.probes...)
			if h.Status != c.want || !h.Since.Equal(at(c.since)) {
				t.Errorf("%s: got %s since %s, want %s since %s", c.reason, h.Status, h.Since, c.want, at(c.since))
			}
		})
	}
}

func TestTaints(t *testing.T) {
	when := func(second int) *metav1.Time { m := metav1.NewTime(at(second)); return &m }
	gone := append(every(0, 0, failover.Ready), every(10, 40, failover.Unreachable)...)
	cases := map[string]struct {
		reason   string
		health   failover.ClusterHealth
		vetoed   bool
		liftedAt time.Time
		want     []corev1.Taint
	}{
		"ready": {"a ready cluster has none", observe(every(0, 0, failover.Ready)...), false, time.Time{}, nil},
		"gone": {"both effects at the same moment", observe(gone...), false, time.Time{}, []corev1.Taint{
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: when(40)},
		}},
		"vetoed": {"a veto evicts nothing", observe(gone...), true, time.Time{}, []corev1.Taint{
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
		}},
		"veto lifted": {"tolerations start anew", observe(gone...), false, at(500), []corev1.Taint{
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: when(500)},
		}},
		"recovering": {"recovery gates only new placements", observe(append(gone, probe{50, failover.Ready})...), false, time.Time{}, []corev1.Taint{
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
		}},
		"starting": {"an API server that starts is not ready for a while; nothing has to leave for that", observe(append(gone, probe{50, failover.NotReady})...), false, time.Time{}, []corev1.Taint{
			{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
		}},
		"turned from unknown to false": {"the toleration goes on counting", observe(append(gone, every(50, 80, failover.NotReady)...)...), false, time.Time{}, []corev1.Taint{
			{Key: v1alpha1.TaintNotReady, Effect: corev1.TaintEffectNoSchedule, TimeAdded: when(40)},
			{Key: v1alpha1.TaintNotReady, Effect: corev1.TaintEffectNoExecute, TimeAdded: when(40)},
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.health.Taints(c.vetoed, c.liftedAt)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", c.reason, diff)
			}
		})
	}
}

// A restart must not start the timers of a failed cluster anew.
func TestRestore(t *testing.T) {
	before := observe(append(every(0, 0, failover.Ready), every(10, 40, failover.Unreachable)...)...)
	after := failover.Restore(before.Condition(), before.FailedSince, nil)
	if diff := cmp.Diff(before.Taints(false, time.Time{}), after.Taints(false, time.Time{})); diff != "" {
		t.Errorf("taints before and after a restart: (-before +after)\n%s", diff)
	}
}

func site(name, region string, probes ...probe) failover.Site {
	return failover.Site{Name: name, Region: region, Provider: "aws", Health: observe(probes...)}
}

func TestVeto(t *testing.T) {
	rule := failover.VetoRule{Window: 10 * time.Minute, ReadyFor: 5 * time.Minute, History: time.Hour, Percent: 50, MinClusters: 2}
	up := every(0, 600, failover.Ready)
	lostAt := func(second int) []probe {
		return append(every(0, second-40, failover.Ready), every(second-30, second, failover.Unreachable)...)
	}
	young := append(every(0, 100, failover.Ready), every(110, 140, failover.Unreachable)...)
	cases := map[string]struct {
		reason string
		sites  []failover.Site
		now    int
		want   bool
	}{
		"one of three":       {"one lost cluster is its own fault", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "eu", up...), site("c", "us", up...)}, 600, false},
		"two of three":       {"more than half, in two regions", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "us", lostAt(600)...), site("c", "us", up...)}, 600, true},
		"half is not more":   {"two of four is not more than half", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "us", lostAt(600)...), site("c", "us", up...), site("d", "eu", up...)}, 600, false},
		"a region went down": {"all lost in one region, another is up", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "eu", lostAt(600)...), site("c", "us", up...)}, 600, false},
		"everything is gone": {"nobody elsewhere is Ready", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "eu", lostAt(600)...)}, 600, true},
		"an hour later":      {"the veto does not fade while the fault lasts", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "us", lostAt(600)...)}, 9000, true},
		"one after another":  {"losses half an hour apart are two events", []failover.Site{site("a", "eu", lostAt(600)...), site("b", "us", lostAt(2400)...), site("c", "us", up...)}, 2400, false},
		"dead long before": {"what was not ready in the last hour does not count: three of three that are left", []failover.Site{
			site("old-1", "ap", lostAt(600)...), site("old-2", "sa", lostAt(3000)...), site("old-3", "me", lostAt(5400)...), site("old-4", "af", lostAt(7800)...),
			site("a", "eu", lostAt(20000)...), site("b", "us", lostAt(20000)...), site("c", "ap", lostAt(20000)...)}, 20000, true},
		"dead long before, one lost": {"one that is lost is no event, whatever died before", []failover.Site{
			site("old-1", "ap", lostAt(600)...), site("a", "eu", lostAt(20000)...), site("b", "us", every(0, 20000, failover.Ready)...)}, 20000, false},
		"a second event": {"half of the fleet was lost and moved long ago; of the rest most are lost at once", []failover.Site{
			site("old-1", "ap", lostAt(600)...), site("old-2", "sa", lostAt(600)...), site("d", "me", every(0, 20000, failover.Ready)...),
			site("a", "eu", lostAt(20000)...), site("b", "us", lostAt(20000)...)}, 20000, true},
		"lost within the hour": {"a cluster that died half an hour before still counts: two of four is not more than half", []failover.Site{
			site("old", "ap", lostAt(18200)...), site("a", "eu", lostAt(20000)...), site("b", "us", lostAt(20000)...), site("c", "me", every(0, 20000, failover.Ready)...)}, 20000, false},
		"never ready": {"a cluster that was never ready does not count: two of two", []failover.Site{
			site("a", "eu", lostAt(600)...), site("b", "us", lostAt(600)...), site("c", "me", every(0, 600, failover.Unreachable)...), site("d", "ap", every(0, 600, failover.NotReady)...)}, 600, true},
		"not ready is not unknown": {"clusters that answer have not been lost", []failover.Site{
			site("a", "eu", append(every(0, 560, failover.Ready), every(570, 600, failover.NotReady)...)...), site("b", "us", append(every(0, 560, failover.Ready), every(570, 600, failover.NotReady)...)...)}, 600, false},
		"a newcomer during the fault": {"a cluster that joins and is ready for long enough counts", []failover.Site{
			site("a", "eu", lostAt(600)...), site("b", "us", lostAt(600)...), site("c", "us", up...), site("d", "us", every(700, 1300, failover.Ready)...)}, 1300, false},
		"too young": {"clusters that were hardly up do not count", []failover.Site{site("a", "eu", young...), site("b", "us", young...), site("c", "us", up...)}, 600, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := failover.Veto(c.sites, rule, at(c.now)); (got != "") != c.want {
				t.Errorf("%s: got %q", c.reason, got)
			}
		})
	}
}

func TestVetoIgnoresCordonedClusters(t *testing.T) {
	rule := failover.VetoRule{Window: 10 * time.Minute, ReadyFor: 5 * time.Minute, History: time.Hour, Percent: 50, MinClusters: 2}
	lost := append(every(0, 560, failover.Ready), every(570, 600, failover.Unreachable)...)
	sites := []failover.Site{site("a", "eu", lost...), site("b", "us", lost...), site("c", "ap", every(0, 600, failover.Ready)...)}
	sites[0].Cordoned = true
	if got := failover.Veto(sites, rule, at(600)); got != "" {
		t.Errorf("one lost cluster and a cordoned one stopped evictions: %s", got)
	}
}

// The verdict turns from Ready only after a whole threshold of answers that were all failures.
func TestNoVerdictWithoutAStreak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := rapid.SliceOfN(rapid.SampledFrom([]failover.Answer{failover.Ready, failover.NotReady, failover.Unreachable}), 2, 60).Draw(t, "answers")
		var h failover.ClusterHealth
		h = h.Observe(failover.Observation{Time: at(0), Answer: failover.Ready}, thresholds)
		failingSince := -1
		for i, a := range answers {
			now := (i + 1) * 7
			before := h.Status
			h = h.Observe(failover.Observation{Time: at(now), Answer: a}, thresholds)
			if a == failover.Ready {
				failingSince = -1
			} else if failingSince < 0 {
				failingSince = now
			}
			if before == metav1.ConditionTrue && h.Status != metav1.ConditionTrue && now-failingSince < 30 {
				t.Fatalf("turned %s after %d s of failures", h.Status, now-failingSince)
			}
		}
	})
}

// A clock that is set back must not make clusters that were well for an hour look like newcomers: then a
// fault of our own network would no longer be taken for one.
func TestAClockThatIsSetBackKeepsWhatWasSeen(t *testing.T) {
	const back = 90
	rule := failover.VetoRule{Window: 10 * time.Minute, ReadyFor: 5 * time.Minute, History: time.Hour, Percent: 50, MinClusters: 2}
	var sites []failover.Site
	for _, name := range []string{"a", "b", "c"} {
		probes := every(0, 600, failover.Ready)
		probes = append(probes, every(610-back, 620-back, failover.Ready)...)
		probes = append(probes, every(630-back, 700-back, failover.Unreachable)...)
		sites = append(sites, failover.Site{Name: name, Region: name, Health: observe(probes...)})
	}
	for _, s := range sites {
		if s.Health.Status != metav1.ConditionUnknown {
			t.Fatalf("%s is %q, want Unknown", s.Name, s.Health.Status)
		}
		if s.Health.Since.After(at(700 - back)) {
			t.Errorf("%s failed at %s, which has not come yet", s.Name, s.Health.Since)
		}
	}
	if failover.Veto(sites, rule, at(700-back)) == "" {
		t.Error("no veto though three clusters that were well for ten minutes were lost together")
	}
}

func TestARecordFromTheFutureCounts(t *testing.T) {
	h := failover.Restore(metav1.Condition{Status: metav1.ConditionUnknown, LastTransitionTime: metav1.NewTime(at(500))}, at(400), nil)
	h = h.Observe(failover.Observation{Time: at(100), Answer: failover.Unreachable}, thresholds)
	if !h.Since.Equal(at(100)) || !h.FailedSince.Equal(at(0)) {
		t.Errorf("since %s, failed since %s, want %s and %s", h.Since, h.FailedSince, at(100), at(0))
	}
}
