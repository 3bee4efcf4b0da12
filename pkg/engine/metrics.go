package engine

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Metrics are the engine's. Labels are bounded: clusters and sources of the configuration, and the
// values that a help text lists.
type Metrics struct {
	commitToApplied *prometheus.HistogramVec
	planSeconds     prometheus.Histogram
	requests        *prometheus.CounterVec
	objects         *prometheus.GaugeVec
	driftRepaired   *prometheus.CounterVec
	drift           *prometheus.GaugeVec
	fights          *prometheus.CounterVec
	health          *prometheus.GaugeVec
	failovers       *prometheus.CounterVec
	vetoes          prometheus.Counter
	failoverStopped *prometheus.GaugeVec
	evictionsWait   *prometheus.GaugeVec
	clusterReady    *prometheus.GaugeVec
	sourceSuccess   *prometheus.GaugeVec
	sourceFailures  *prometheus.CounterVec
	findings        *prometheus.GaugeVec
	problems        *prometheus.GaugeVec
}

// NewMetrics registers the engine's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		commitToApplied: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "armada_sync_commit_to_applied_seconds",
			Help:    "Time from seeing a commit to having it applied on every cluster that can be reached, by source.",
			Buckets: prometheus.ExponentialBuckets(0.125, 2, 14),
		}, []string{"source"}),
		planSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "armada_sync_plan_seconds",
			Help:    "Time to compute one plan.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "armada_sync_apply_requests_total",
			Help: "Objects written, by cluster and result: applied, pruned, unchanged, failed or skipped.",
		}, []string{"cluster", "result"}),
		objects: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_objects",
			Help: "Objects of the last plan, by cluster and state: create, configure, unchanged, prune or skip.",
		}, []string{"cluster", "state"}),
		driftRepaired: f.NewCounterVec(prometheus.CounterOpts{
			Name: "armada_sync_drift_repaired_total",
			Help: "Objects that someone else changed and that were put back, by cluster.",
		}, []string{"cluster"}),
		drift: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_drift",
			Help: "Objects that someone else changed, by cluster and what is done about it: fought, reported, paused, repaired or ignored.",
		}, []string{"cluster", "handling"}),
		fights: f.NewCounterVec(prometheus.CounterOpts{
			Name: "armada_sync_drift_fights_total",
			Help: "Times that an object was left alone for a while since someone changed it again and again, by cluster.",
		}, []string{"cluster"}),
		health: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_object_health",
			Help: "Objects of ours by cluster and health: healthy, progressing or degraded.",
		}, []string{"cluster", "health"}),
		failovers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "armada_sync_failovers_total",
			Help: "Workloads that were moved away, by the cluster that they left.",
		}, []string{"cluster"}),
		vetoes: f.NewCounter(prometheus.CounterOpts{
			Name: "armada_sync_failover_vetoes_total",
			Help: "Times that evictions were stopped because too many clusters were lost at once.",
		}),
		failoverStopped: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_failover_stopped",
			Help: "1 while nothing is evicted, by reason: veto or pause.",
		}, []string{"reason"}),
		evictionsWait: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_evictions_waiting",
			Help: "Workloads that stay for now where they would have to leave, by what holds them: rate or stop.",
		}, []string{"reason"}),
		clusterReady: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_cluster_ready",
			Help: "1 when the cluster is ready, else 0, by cluster.",
		}, []string{"cluster"}),
		sourceSuccess: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_source_last_success_timestamp_seconds",
			Help: "When the source was last read with success, in seconds since the epoch, by source.",
		}, []string{"source"}),
		sourceFailures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "armada_sync_source_failures_total",
			Help: "Failed attempts to read the source, by source.",
		}, []string{"source"}),
		findings: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_findings",
			Help: "Findings of the last plan, by severity: blocker, caution or info.",
		}, []string{"severity"}),
		problems: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "armada_sync_problems",
			Help: "Problems that stand, by the id that the log gives them.",
		}, []string{"id"}),
	}
}

// standing counts the problems that stand. An id that was there once stays at 0, so that an alert ends.
func (m *Metrics) standing(before, now map[string]Problem) {
	count := map[string]int{}
	for _, p := range before {
		count[p.ID] = 0
	}
	for _, p := range now {
		count[p.ID] = 0
	}
	for _, p := range now {
		count[p.ID]++
	}
	for id, n := range count {
		m.problems.WithLabelValues(id).Set(float64(n))
	}
}

// forgetSource drops the series of a source that is gone.
func (m *Metrics) forgetSource(id string) {
	gone := prometheus.Labels{"source": id}
	m.commitToApplied.DeletePartialMatch(gone)
	m.sourceSuccess.DeletePartialMatch(gone)
	m.sourceFailures.DeletePartialMatch(gone)
}

// forgetCluster drops the series of a cluster that is gone.
func (m *Metrics) forgetCluster(name string) {
	gone := prometheus.Labels{"cluster": name}
	m.requests.DeletePartialMatch(gone)
	m.objects.DeletePartialMatch(gone)
	m.driftRepaired.DeletePartialMatch(gone)
	m.drift.DeletePartialMatch(gone)
	m.fights.DeletePartialMatch(gone)
	m.health.DeletePartialMatch(gone)
	m.failovers.DeletePartialMatch(gone)
	m.clusterReady.DeletePartialMatch(gone)
}

// stopped tells whether evictions are stopped, and by what.
func (m *Metrics) stopped(s stop) {
	veto, pause := 0.0, 0.0
	switch {
	case s.paused:
		pause = 1
	case s.reason != "":
		veto = 1
	}
	m.failoverStopped.WithLabelValues("veto").Set(veto)
	m.failoverStopped.WithLabelValues("pause").Set(pause)
}

// waiting counts the workloads that a plan lets stay for now.
func (m *Metrics) waiting(p *plan.Plan) {
	rate, stopped := 0.0, 0.0
	for i := range p.Placements {
		switch {
		case p.Placements[i].Stay == "":
		case p.EvictionsStopped() != "":
			stopped++
		default:
			rate++
		}
	}
	m.evictionsWait.WithLabelValues("rate").Set(rate)
	m.evictionsWait.WithLabelValues("stop").Set(stopped)
}
