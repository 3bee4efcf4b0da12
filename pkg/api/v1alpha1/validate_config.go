package v1alpha1

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (t *typing) config(s *ConfigSpec) {
	for _, d := range []struct {
		field string
		value *metav1.Duration
	}{
		{"spec.health.failureThreshold", s.Health.FailureThreshold},
		{"spec.health.recoveryThreshold", s.Health.RecoveryThreshold},
		{"spec.health.probeInterval", s.Health.ProbeInterval},
		{"spec.health.probeTimeout", s.Health.ProbeTimeout},
		{"spec.failover.vetoWindow", s.Failover.VetoWindow},
		{"spec.failover.vetoReadyFor", s.Failover.VetoReadyFor},
		{"spec.failover.vetoHistory", s.Failover.VetoHistory},
		{"spec.failover.failbackAfter", s.Failover.FailbackAfter},
		{"spec.apply.requestTimeout", s.Apply.RequestTimeout},
		{"spec.apply.waitTimeout", s.Apply.WaitTimeout},
		{"spec.apply.fullCompareInterval", s.Apply.FullCompareInterval},
		{"spec.apply.maxPause", s.Apply.MaxPause},
		{"spec.plan.recordInterval", s.Plan.RecordInterval},
	} {
		t.positive(d.field, d.value)
	}
	for _, n := range []struct {
		field string
		value *int64
	}{
		{"spec.failover.implicitTolerationSeconds", s.Failover.ImplicitTolerationSeconds},
		{"spec.failover.drainSeconds", s.Failover.DrainSeconds},
		{"spec.failover.gracePeriodSeconds", s.Failover.GracePeriodSeconds},
		{"spec.failover.applicationTolerationSeconds", s.Failover.ApplicationTolerationSeconds},
	} {
		inRange(t, n.field, n.value, 0, math.MaxInt32)
	}
	inRange(t, "spec.failover.vetoPercent", s.Failover.VetoPercent, 1, 100)
	inRange(t, "spec.failover.vetoMinClusters", s.Failover.VetoMinClusters, 1, math.MaxInt32)
	inRange(t, "spec.apply.concurrency", s.Apply.Concurrency, 1, 1000)
	inRange(t, "spec.apply.driftFightLimit", s.Apply.DriftFightLimit, 1, math.MaxInt32)
	inRange(t, "spec.apply.pruneFloor", s.Apply.PruneFloor, 0, math.MaxInt32)
	if r := s.Failover.EvictionsPerSecond; r != "" {
		if rate, err := strconv.ParseFloat(r, 64); err != nil || !(rate > 0) || rate > 1e6 {
			t.problem("spec.failover.evictionsPerSecond", "%q is not a positive decimal number such as \"0.5\"", shorten(r))
		}
	}
	if s.Failover.PausedReason != "" && s.Failover.PausedUntil == nil {
		t.ignored("spec.failover.pausedReason", "the field has no effect without pausedUntil")
	}
	t.withoutEffect("spec.webhook.bindAddress", s.Webhook.BindAddress != "", "sources are polled")
	t.bindAddress("spec.metrics.bindAddress", s.Metrics.BindAddress)
	t.bindAddress("spec.webhook.bindAddress", s.Webhook.BindAddress)
	t.discovery("spec.discovery", &s.Discovery)
	if s.HubID != "" {
		t.named("spec.hubID", s.HubID, validation.IsDNS1123Label)
	}
	for _, id := range slices.Sorted(maps.Keys(s.Plan.Severity)) {
		field := string(segment{key: id}.appendTo([]byte("spec.plan.severity")))
		if t.required(field, s.Plan.Severity[id]) {
			oneOf(t, field, s.Plan.Severity[id], string(SeverityBlocker), string(SeverityCaution), string(SeverityInfo), "off")
		}
	}
	t.planRules("spec.plan.rules", s.Plan.Rules)
	seen := map[string]string{}
	for i, r := range s.Health.Rules {
		p := at("spec.health.rules", i)
		if t.required(p+".kind", r.Kind) {
			t.unique(seen, p, strings.TrimSuffix(r.Kind+"."+r.Group, "."), "kind")
		}
		t.required(p+".healthy", r.Healthy)
	}
}

// The most that a rule of a preview may have, in number, and in bytes of its message.
const (
	maxPlanRules   = 100
	maxRuleMessage = 1024
)

// planRules reports what is wrong with the rules of a preview, but for their expressions: whoever evaluates
// them compiles them.
func (t *typing) planRules(field string, rules []PlanRule) {
	if len(rules) > maxPlanRules {
		t.problem(field, "%d rules, more than %d", len(rules), maxPlanRules)
	}
	seen := map[string]string{}
	for i, r := range rules {
		p := at(field, i)
		if t.named(p+".id", r.ID, validation.IsDNS1123Label) {
			t.unique(seen, p, r.ID, "id")
		}
		oneOf(t, p+".severity", r.Severity, SeverityBlocker, SeverityCaution, SeverityInfo)
		t.required(p+".cel", r.CEL)
		if len(r.Message) > maxRuleMessage {
			t.problem(p+".message", "a message of %d bytes, more than %d", len(r.Message), maxRuleMessage)
		}
		if r.Message != "" && r.MessageExpression != "" {
			t.problem(p+".messageExpression", "there is a message already: a rule has one of both")
		}
	}
}

// bindAddress reports an address that is not host:port; an empty one is off or the default.
func (t *typing) bindAddress(field, address string) {
	if address == "" {
		return
	}
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		t.problem(field, "%q is not of the form host:port", shorten(address))
		return
	}
	host, port := address[:colon], address[colon+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		t.problem(field, "%q is not a port from 0 to 65535", shorten(port))
	}
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if strings.ContainsAny(host, " /@") || strings.Contains(host, ":") && !bracketed {
		t.problem(field, "%q is not a host; an IPv6 address stands in brackets", shorten(host))
	}
}
