package v1alpha1

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// setTo gives an absent value its default.
func setTo[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// setDuration gives an absent duration its default.
func setDuration(field **metav1.Duration, value time.Duration) {
	setTo(field, metav1.Duration{Duration: value})
}

// defaultEvictionsPerSecond is how many workloads may leave a cluster in a second.
const defaultEvictionsPerSecond = "0.5"

// SetDefaults fills in every timing and limit that the configuration leaves open, HubID apart, which
// follows from the configuration's name.
func (s *ConfigSpec) SetDefaults() {
	setDuration(&s.Health.FailureThreshold, 30*time.Second)
	setDuration(&s.Health.RecoveryThreshold, 30*time.Second)
	setDuration(&s.Health.ProbeInterval, 2*time.Second)
	setDuration(&s.Health.ProbeTimeout, 5*time.Second)

	setTo(&s.Failover.ImplicitTolerationSeconds, 300)
	setTo(&s.Failover.DrainSeconds, 60)
	setTo(&s.Failover.GracePeriodSeconds, 600)
	setTo(&s.Failover.ApplicationTolerationSeconds, 300)
	if s.Failover.EvictionsPerSecond == "" {
		s.Failover.EvictionsPerSecond = defaultEvictionsPerSecond
	}
	setDuration(&s.Failover.VetoWindow, 10*time.Minute)
	setDuration(&s.Failover.VetoReadyFor, 5*time.Minute)
	setDuration(&s.Failover.VetoHistory, time.Hour)
	setTo(&s.Failover.VetoPercent, 50)
	setTo(&s.Failover.VetoMinClusters, 2)
	setDuration(&s.Failover.FailbackAfter, 10*time.Minute)

	setTo(&s.Apply.Concurrency, 32)
	setDuration(&s.Apply.RequestTimeout, 30*time.Second)
	setDuration(&s.Apply.WaitTimeout, time.Minute)
	setDuration(&s.Apply.FullCompareInterval, 24*time.Hour)
	setTo(&s.Apply.DriftFightLimit, 5)
	setTo(&s.Apply.PruneFloor, 10)
	setDuration(&s.Apply.MaxPause, 24*time.Hour)

	setDuration(&s.Plan.RecordInterval, 10*time.Second)
	if s.Metrics.BindAddress == "" {
		s.Metrics.BindAddress = "127.0.0.1:8080"
	}

	// The list may be that of an object which others read.
	s.Plan.Rules = slices.Clone(s.Plan.Rules)
	for i := range s.Plan.Rules {
		s.Plan.Rules[i].Severity = cmp.Or(s.Plan.Rules[i].Severity, SeverityCaution)
	}
}

// DefaultMaxPrunePercent is how large a share of a source's objects may go from a cluster at once where
// the source does not say.
const DefaultMaxPrunePercent = 30

// SetDefaults fills in what a source leaves open. A reference that names nothing is branch main.
func (s *GitSourceSpec) SetDefaults() {
	if s.Ref == (GitRef{}) {
		s.Ref.Branch = "main"
	}
	if s.Path == "" {
		s.Path = "./"
	}
	setDuration(&s.Interval, 30*time.Second)
	setDuration(&s.Timeout, time.Minute)
	if s.TargetNamespace == "" {
		s.TargetNamespace = metav1.NamespaceDefault
	}
	if s.DeletionPolicy == "" {
		s.DeletionPolicy = DeletionOrphan
	}
	setTo(&s.MaxPrunePercent, DefaultMaxPrunePercent)
	if s.Limits == nil {
		s.Limits = &SourceLimits{}
	}
	if s.Decryption != nil && s.Decryption.Provider == "" {
		s.Decryption.Provider = "sops"
	}
	s.Limits.SetDefaults()
	if s.Rollout != nil {
		setTo(&s.Rollout.StopOnUnhealthy, true)
	}
}

// SetDefaults fills in what the limits leave open.
func (l *SourceLimits) SetDefaults() {
	setTo(&l.MaxFileBytes, 10<<20)
	setTo(&l.MaxTotalBytes, 256<<20)
	setTo(&l.MaxFiles, 100_000)
}

// SetDefaults fills in what a policy leaves open and what has one default whatever the configuration
// says. The defaults of failover and of failbackAfter come from the configuration: see FailoverConfig.
func (s *PropagationSpec) SetDefaults() {
	setTo(&s.Priority, 0)
	if s.ConflictResolution == "" {
		s.ConflictResolution = ConflictAbort
	}
	setTo(&s.PreserveResourcesOnDeletion, false)
	s.Placement.SetDefaults()
	if s.Failover == nil {
		return
	}
	if a := s.Failover.Application; a != nil && a.PurgeMode == "" {
		a.PurgeMode = PurgeGracefully
	}
	if c := s.Failover.Cluster; c != nil {
		if c.PurgeMode == "" {
			c.PurgeMode = PurgeGracefully
		}
		if c.Stateful == "" {
			c.Stateful = StatefulNever
		}
	}
}

// SetDefaults fills in what a placement leaves open. An absent replicaScheduling stays absent, which
// means Duplicated.
func (s *PlacementStrategy) SetDefaults() {
	if s.Failback == "" {
		s.Failback = FailbackManual
	}
	if s.WhenUnsatisfiable == "" {
		s.WhenUnsatisfiable = DoNotSchedule
	}
	for i := range s.SpreadConstraints {
		c := &s.SpreadConstraints[i]
		c.SpreadByField, c.MinGroups = c.Field(), max(c.MinGroups, 1)
	}
	if r := s.ReplicaScheduling; r != nil {
		r.ReplicaSchedulingType, r.ReplicaDivisionPreference = r.Type(), r.Preference()
	}
	if len(s.Scorers) == 0 {
		s.Scorers = []Scorer{{Name: "Locality"}}
	}
	for i := range s.Scorers {
		setTo(&s.Scorers[i].Weight, 1)
	}
}

// Type returns the scheduling type: Duplicated where there is no strategy, Divided where the strategy
// does not say.
func (r *ReplicaSchedulingStrategy) Type() ReplicaSchedulingType {
	switch {
	case r == nil:
		return Duplicated
	case r.ReplicaSchedulingType == "":
		return Divided
	}
	return r.ReplicaSchedulingType
}

// Preference returns the division preference: Weighted where the strategy does not say.
func (r *ReplicaSchedulingStrategy) Preference() ReplicaDivisionPreference {
	if r == nil || r.ReplicaDivisionPreference == "" {
		return Weighted
	}
	return r.ReplicaDivisionPreference
}

// Field returns the field that is grouped by: cluster where the constraint names neither a field nor
// a label, and none where it names a label.
func (c *SpreadConstraint) Field() SpreadField {
	if c.SpreadByField == "" && c.SpreadByLabel == "" {
		return SpreadByCluster
	}
	return c.SpreadByField
}

// Operation returns the operation, whichever of its two names the document used.
func (o *JSONPatchOperation) Operation() OverriderOperator {
	if o.Op != "" {
		return o.Op
	}
	return o.Operator
}
