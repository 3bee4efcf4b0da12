package v1alpha1

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ScorerNames lists the scorers that a policy may name.
func ScorerNames() []string {
	return []string{
		"Locality", "ResourceHeadroom", "ResourceBalance", "TopologySpread", "ClusterPreference", "Cost", "External",
	}
}

func (t *typing) propagation(p *PropagationPolicy) {
	s := &p.Spec
	if len(s.ResourceSelectors) == 0 {
		t.problem("spec.resourceSelectors", "the field is required: a policy without selectors would select nothing")
	}
	t.selectors("spec.resourceSelectors", s.ResourceSelectors, p.Namespace)
	oneOf(t, "spec.conflictResolution", s.ConflictResolution, ConflictAbort, ConflictOverwrite)
	t.ignoredByPropagation(s)
	t.placementStrategy("spec.placement", &s.Placement)
	t.suspension(s.Suspension)
	if s.SchedulePriority != nil {
		if t.required("spec.schedulePriority.priorityClassSource", s.SchedulePriority.PriorityClassSource) {
			oneOf(t, "spec.schedulePriority.priorityClassSource", s.SchedulePriority.PriorityClassSource, "KubePriorityClass")
		}
		t.required("spec.schedulePriority.priorityClassName", s.SchedulePriority.PriorityClassName)
	}
	if s.Failover != nil {
		t.failover(s.Failover)
	}
}

// ignoredByPropagation reports the fields of Karmada that are accepted and have no effect.
func (t *typing) ignoredByPropagation(s *PropagationSpec) {
	oneOf(t, "spec.preemption", s.Preemption, "Always", "Never")
	oneOf(t, "spec.activationPreference", s.ActivationPreference, "Lazy")
	if s.Association != nil {
		t.ignored("spec.association", "the field has no effect; use propagateDeps")
	}
	if s.Preemption != "" {
		t.ignored("spec.preemption", "the field has no effect: which policy owns an object follows from the commits alone")
	}
	if len(s.DependentOverrides) > 0 {
		t.ignored("spec.dependentOverrides", "the field has no effect: a commit's overrides are all there when its policies are read")
	}
	if s.SchedulerName != "" {
		t.ignored("spec.schedulerName", "the field has no effect: there is one scheduler")
	}
	if s.ActivationPreference != "" {
		t.ignored("spec.activationPreference", "the field has no effect: a policy is active once it is merged; see GitSource spec.rollout")
	}
	if s.Suspension != nil && s.Suspension.Scheduling != nil {
		t.ignored("spec.suspension.scheduling", "the field has no effect; use dispatching")
	}
}

func (t *typing) suspension(s *Suspension) {
	if s == nil || s.DispatchingOnClusters == nil {
		return
	}
	if s.Dispatching != nil {
		t.problem("spec.suspension.dispatchingOnClusters", "the field cannot stand beside dispatching, which holds for all clusters")
	}
	t.clusterNames("spec.suspension.dispatchingOnClusters.clusterNames", s.DispatchingOnClusters.ClusterNames)
}

func (t *typing) failover(f *FailoverBehavior) {
	if a := f.Application; a != nil {
		const path = "spec.failover.application"
		oneOf(t, path+".purgeMode", a.PurgeMode, PurgeDirectly, PurgeGracefully, PurgeNever)
		inRange(t, path+".decisionConditions.tolerationSeconds", a.DecisionConditions.TolerationSeconds, 0, maxWeight)
		inRange(t, path+".gracePeriodSeconds", a.GracePeriodSeconds, 1, maxWeight)
		if a.GracePeriodSeconds != nil && a.PurgeMode != "" && a.PurgeMode != PurgeGracefully {
			t.ignored(path+".gracePeriodSeconds", "the field has an effect with purgeMode Gracefully only")
		}
		t.statePreservation(path+".statePreservation", a.StatePreservation)
	}
	if c := f.Cluster; c != nil {
		const path = "spec.failover.cluster"
		oneOf(t, path+".purgeMode", c.PurgeMode, PurgeDirectly, PurgeGracefully, PurgeNever)
		oneOf(t, path+".stateful", c.Stateful, StatefulNever, StatefulRecreate)
		t.statePreservation(path+".statePreservation", c.StatePreservation)
	}
}

func (t *typing) statePreservation(path string, s *StatePreservation) {
	if s == nil {
		return
	}
	if len(s.Rules) == 0 {
		t.problem(path+".rules", "the field is required")
	}
	seen := map[string]string{}
	for i, rule := range s.Rules {
		p := at(path+".rules", i)
		t.qualifiedName(p+".aliasLabelName", rule.AliasLabelName)
		t.unique(seen, p+".aliasLabelName", rule.AliasLabelName, "label")
		t.required(p+".jsonPath", rule.JSONPath)
	}
}

func (t *typing) placementStrategy(path string, s *PlacementStrategy) {
	if s.ClusterAffinity != nil && len(s.ClusterAffinities) > 0 {
		t.problem(path+".clusterAffinities", "the field cannot stand beside clusterAffinity; make that the first group")
	}
	t.affinity(path+".clusterAffinity", s.ClusterAffinity)
	t.affinityGroups(path+".clusterAffinities", s)
	oneOf(t, path+".failback", s.Failback, FailbackManual, FailbackAuto)
	t.positive(path+".failbackAfter", s.FailbackAfter)
	if s.Failback == FailbackAuto && len(s.ClusterAffinities) == 0 {
		t.ignored(path+".failback", "the field has no effect without clusterAffinities")
	}
	if s.FailbackAfter != nil && s.Failback != FailbackAuto {
		t.ignored(path+".failbackAfter", "the field has an effect with failback Auto only")
	}
	for i := range s.ClusterTolerations {
		t.toleration(at(path+".clusterTolerations", i), &s.ClusterTolerations[i])
	}
	t.spread(path+".spreadConstraints", s.SpreadConstraints)
	if s.ReplicaScheduling != nil {
		t.replicaScheduling(path+".replicaScheduling", s.ReplicaScheduling)
	}
	if w := s.WorkloadAffinity; w != nil {
		if w.Affinity != nil {
			t.qualifiedName(path+".workloadAffinity.affinity.groupByLabelKey", w.Affinity.GroupByLabelKey)
		}
		if w.AntiAffinity != nil {
			t.qualifiedName(path+".workloadAffinity.antiAffinity.groupByLabelKey", w.AntiAffinity.GroupByLabelKey)
		}
	}
	oneOf(t, path+".whenUnsatisfiable", s.WhenUnsatisfiable, DoNotSchedule, BestEffort)
	t.scorers(path+".scorers", s.Scorers)
	if r := s.Rebalance; r != nil {
		inRange(t, path+".rebalance.thresholdPercent", &r.ThresholdPercent, 1, 100)
		t.positive(path+".rebalance.after", r.After)
		if !s.ReplicaScheduling.followsCapacity() {
			t.ignored(path+".rebalance", "the field has an effect with replicas that are divided by capacity only: replicaScheduling with Aggregated or dynamicWeight")
		}
	}
}

func (t *typing) affinityGroups(path string, s *PlacementStrategy) {
	const maxName = 32
	seen := map[string]string{}
	name := func(field, name string) {
		if len(name) > maxName {
			t.problem(field, "the name has %d characters, more than %d", len(name), maxName)
		}
		t.unique(seen, field, name, "name")
	}
	for i := range s.ClusterAffinities {
		group, p := &s.ClusterAffinities[i], at(path, i)
		if t.required(p+".affinityName", group.AffinityName) {
			name(p+".affinityName", group.AffinityName)
		}
		t.affinity(p, &group.ClusterAffinity)
		if len(group.OverflowAffinities) > 0 && !s.ReplicaScheduling.followsCapacity() {
			t.problem(p+".overflowAffinities",
				"the field needs replicas that are divided by capacity: replicaScheduling with Aggregated or dynamicWeight")
		}
		for j := range group.OverflowAffinities {
			tier := &group.OverflowAffinities[j]
			if tier.AffinityName != "" {
				name(at(p+".overflowAffinities", j)+".affinityName", tier.AffinityName)
			}
			t.affinity(at(p+".overflowAffinities", j), &tier.ClusterAffinity)
		}
	}
}

// followsCapacity tells that replicas are divided by the capacity of clusters.
func (r *ReplicaSchedulingStrategy) followsCapacity() bool {
	if r.Type() != Divided {
		return false
	}
	return r.Preference() == Aggregated || r.WeightPreference != nil && r.WeightPreference.DynamicWeight != ""
}

func (t *typing) toleration(path string, o *corev1.Toleration) {
	oneOf(t, path+".operator", o.Operator, corev1.TolerationOpExists, corev1.TolerationOpEqual)
	oneOf(t, path+".effect", o.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
	switch {
	case o.Key != "":
		t.qualifiedName(path+".key", o.Key)
	case o.Operator != corev1.TolerationOpExists:
		t.problem(path+".operator", "a toleration without a key tolerates everything and needs operator Exists")
	}
	if o.Operator == corev1.TolerationOpExists && o.Value != "" {
		t.problem(path+".value", "the operator Exists takes no value")
	}
	t.labelValue(path+".value", o.Value)
	if o.TolerationSeconds != nil && o.Effect != corev1.TaintEffectNoExecute {
		t.problem(path+".tolerationSeconds", "the field needs effect NoExecute")
	}
	if o.Effect == corev1.TaintEffectPreferNoSchedule {
		t.ignored(path+".effect", "the toleration has no effect: PreferNoSchedule keeps nothing from a cluster")
	}
}

func (t *typing) spread(path string, constraints []SpreadConstraint) {
	seen := map[string]string{}
	for i := range constraints {
		c, p := &constraints[i], at(path, i)
		switch {
		case c.SpreadByField != "" && c.SpreadByLabel != "":
			t.problem(p+".spreadByLabel", "the field cannot stand beside spreadByField")
		case c.SpreadByLabel != "":
			t.qualifiedName(p+".spreadByLabel", c.SpreadByLabel)
			t.unique(seen, p, "label "+c.SpreadByLabel, "constraint")
		default:
			if oneOf(t, p+".spreadByField", c.SpreadByField, SpreadByCluster, SpreadByRegion, SpreadByZone, SpreadByProvider) {
				t.unique(seen, p, "field "+string(c.Field()), "constraint")
			}
		}
		inRange(t, p+".minGroups", &c.MinGroups, 0, maxWeight)
		inRange(t, p+".maxGroups", &c.MaxGroups, 0, maxWeight)
		if c.MaxGroups > 0 && c.MinGroups > c.MaxGroups {
			t.problem(p+".minGroups", "%d is more than maxGroups, which is %d", c.MinGroups, c.MaxGroups)
		}
	}
}

func (t *typing) replicaScheduling(path string, r *ReplicaSchedulingStrategy) {
	oneOf(t, path+".replicaSchedulingType", r.ReplicaSchedulingType, Duplicated, Divided)
	oneOf(t, path+".replicaDivisionPreference", r.ReplicaDivisionPreference, Aggregated, Weighted)
	inRange(t, path+".minReplicas", r.MinReplicas, 0, maxWeight)
	inRange(t, path+".maxReplicas", r.MaxReplicas, 0, maxWeight)
	if r.MinReplicas != nil && r.MaxReplicas != nil && *r.MinReplicas > *r.MaxReplicas {
		t.problem(path+".minReplicas", "%d is more than maxReplicas, which is %d", *r.MinReplicas, *r.MaxReplicas)
	}
	if r.Type() == Duplicated {
		for _, f := range []struct {
			name    string
			present bool
		}{
			{"replicaDivisionPreference", r.ReplicaDivisionPreference != ""},
			{"weightPreference", r.WeightPreference != nil},
			{"minReplicas", r.MinReplicas != nil},
			{"maxReplicas", r.MaxReplicas != nil},
		} {
			if f.present {
				t.ignored(path+"."+f.name, "the field has an effect with replicaSchedulingType Divided only")
			}
		}
	}
	w := r.WeightPreference
	if w == nil {
		return
	}
	if r.Type() == Divided && r.Preference() == Aggregated {
		t.ignored(path+".weightPreference", "the field has an effect with replicaDivisionPreference Weighted only")
	}
	oneOf(t, path+".weightPreference.dynamicWeight", w.DynamicWeight, AvailableReplicas)
	if w.DynamicWeight != "" && len(w.StaticWeightList) > 0 {
		t.ignored(path+".weightPreference.staticWeightList", "the list has no effect beside dynamicWeight")
	}
	for i := range w.StaticWeightList {
		p := at(path+".weightPreference.staticWeightList", i)
		inRange(t, p+".weight", &w.StaticWeightList[i].Weight, 0, maxWeight)
		t.affinity(p+".targetCluster", &w.StaticWeightList[i].TargetCluster)
	}
}

func (t *typing) scorers(path string, scorers []Scorer) {
	seen := map[string]string{}
	for i := range scorers {
		s, p := &scorers[i], at(path, i)
		if t.required(p+".name", s.Name) && oneOf(t, p+".name", s.Name, ScorerNames()...) {
			t.unique(seen, p+".name", s.Name, "scorer")
		}
		inRange(t, p+".weight", s.Weight, 0, maxWeight)
		if len(s.Preferences) > 0 && s.Name != "ClusterPreference" {
			t.ignored(p+".preferences", "the field belongs to the scorer ClusterPreference, not to %s", shorten(strings.TrimSpace(s.Name)))
		}
		for j := range s.Preferences {
			q := at(p+".preferences", j)
			inRange(t, q+".weight", &s.Preferences[j].Weight, 1, 100)
			t.affinity(q+".affinity", &s.Preferences[j].Affinity)
		}
	}
}
