package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RolloutPhase says in one word how a rollout stands.
//
// +kubebuilder:validation:Enum=Applying;Soaking;Stopped;Paused;Complete
type RolloutPhase string

// The values of RolloutPhase.
const (
	// RolloutApplying: clusters of the step are written to, or not all healthy yet.
	RolloutApplying RolloutPhase = "Applying"
	// RolloutSoaking: the step is healthy and has to stay so for a while.
	RolloutSoaking RolloutPhase = "Soaking"
	// RolloutStopped: something that the revision has reached is not healthy.
	RolloutStopped RolloutPhase = "Stopped"
	// RolloutPaused: the source is suspended.
	RolloutPaused RolloutPhase = "Paused"
	// RolloutComplete: the revision is on every cluster that can be reached.
	RolloutComplete RolloutPhase = "Complete"
)

// RolloutStatus is how far a revision has spread.
type RolloutStatus struct {
	// Revision is the one that spreads.
	Revision string `json:"revision"`
	// From is the revision of the clusters that are in neither Reached nor Behind; empty: none is known.
	From  string       `json:"from,omitempty"`
	Phase RolloutPhase `json:"phase"`
	// Step is the present one of Steps, counted from 1; one more than Steps stands for the clusters that
	// are in no step.
	Step  int32 `json:"step,omitempty"`
	Steps int32 `json:"steps,omitempty"`
	// HealthySince is since when the present step has been carried out and healthy.
	HealthySince *metav1.Time `json:"healthySince,omitempty"`
	// StepSince is when the present step began.
	StepSince *metav1.Time `json:"stepSince,omitempty"`
	// Message says in words what the rollout waits for.
	Message string `json:"message,omitempty"`
	// Reached are the clusters that the revision may go to, by name.
	// +listType=atomic
	Reached []string `json:"reached,omitempty"`
	// Behind are clusters that an unfinished rollout before this one had reached, by its revision.
	// +listType=atomic
	Behind []RevisionClusters `json:"behind,omitempty"`
}

// RevisionClusters are the clusters of a revision.
type RevisionClusters struct {
	Revision string `json:"revision"`
	// +listType=atomic
	Clusters []string `json:"clusters"`
}

// AppliedRevision is a revision that was carried out on every cluster.
type AppliedRevision struct {
	Revision string `json:"revision"`
	// Time is when it had arrived everywhere.
	Time metav1.Time `json:"time,omitempty"`
}

// EarlierDecision is the decision about a workload as an earlier revision of its source declares it.
type EarlierDecision struct {
	Revision string `json:"revision"`
	// +listType=atomic
	Clusters      []TargetCluster `json:"clusters,omitempty"`
	AffinityGroup string          `json:"affinityGroup,omitempty"`
	// +listType=atomic
	Evicting []string `json:"evicting,omitempty"`
	Inputs   string   `json:"inputs,omitempty"`
}
