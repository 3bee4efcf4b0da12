package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Config holds the timings and limits of the whole fleet. On a hub the one named default counts. What
// it leaves open has the default of the release that runs.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=acfg,categories=armada
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="the Config of a hub is named default"
type Config struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ConfigSpec   `json:"spec,omitempty"`
	Status            ConfigStatus `json:"status,omitempty"`

	// Position is where the configuration declares it.
	Position Position `json:"-"`
}

// ConfigStatus tells whether the settings are in force.
type ConfigStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions carry Ready and Stalled.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConfigSpec groups the settings by what they govern. Every field has a default.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.hubID) || has(self.hubID) && self.hubID == oldSelf.hubID",message="the id of a hub stays: members know our objects by it"
type ConfigSpec struct {
	Health   HealthConfig   `json:"health,omitempty"`
	Failover FailoverConfig `json:"failover,omitempty"`
	Apply    ApplyConfig    `json:"apply,omitempty"`
	Plan     PlanConfig     `json:"plan,omitempty"`
	Metrics  ServerConfig   `json:"metrics,omitempty"`
	// Webhook is off while its address is empty.
	Webhook ServerConfig `json:"webhook,omitempty"`
	// Discovery says where clusters are looked for that join by themselves. Default: nowhere.
	Discovery DiscoveryConfig `json:"discovery,omitempty"`
	// HubID tells this hub's ApplySets from another's on the same member. Default: derived from
	// the name of the configuration and kept in the state.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	HubID string `json:"hubID,omitempty"`
}

// HealthConfig governs when a cluster counts as failed and recovered.
type HealthConfig struct {
	// FailureThreshold is how long probes must fail. Default 30s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	FailureThreshold *metav1.Duration `json:"failureThreshold,omitempty"`
	// RecoveryThreshold is how long probes must succeed. Default 30s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	RecoveryThreshold *metav1.Duration `json:"recoveryThreshold,omitempty"`
	// ProbeInterval between two probes of a cluster. Default 2s, which is also the least at rest.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	ProbeInterval *metav1.Duration `json:"probeInterval,omitempty"`
	// ProbeTimeout of one probe. Default 5s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	ProbeTimeout *metav1.Duration `json:"probeTimeout,omitempty"`
	// Rules judge kinds that kstatus cannot, by CEL.
	// +listType=map
	// +listMapKey=group
	// +listMapKey=kind
	Rules []HealthRule `json:"rules,omitempty"`
}

// HealthRule judges the objects of a kind by CEL expressions over object.
type HealthRule struct {
	Group string `json:"group"`
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Healthy and Failed are expressions that yield a boolean; neither: progressing.
	// +kubebuilder:validation:MinLength=1
	Healthy string `json:"healthy"`
	Failed  string `json:"failed,omitempty"`
	// Message is an expression that yields a string.
	Message string `json:"message,omitempty"`
}

// FailoverConfig governs moves.
type FailoverConfig struct {
	// ImplicitTolerationSeconds is the toleration of not-ready and unreachable for workloads that
	// declare none. Default 300.
	// +kubebuilder:validation:Minimum=0
	ImplicitTolerationSeconds *int64 `json:"implicitTolerationSeconds,omitempty"`
	// DrainSeconds between the new copy's health and the removal of the old one. Default 60.
	// +kubebuilder:validation:Minimum=0
	DrainSeconds *int64 `json:"drainSeconds,omitempty"`
	// GracePeriodSeconds before a move without health counts as stuck. Default 600.
	// +kubebuilder:validation:Minimum=0
	GracePeriodSeconds *int64 `json:"gracePeriodSeconds,omitempty"`
	// ApplicationTolerationSeconds is the default of application failover. Default 300.
	// +kubebuilder:validation:Minimum=0
	ApplicationTolerationSeconds *int64 `json:"applicationTolerationSeconds,omitempty"`
	// EvictionsPerSecond for each cluster, as a decimal number. Default "0.5".
	// +kubebuilder:validation:Pattern="^[0-9]*([0-9]|[.][0-9]+)$"
	EvictionsPerSecond string `json:"evictionsPerSecond,omitempty"`
	// VetoWindow is the time within which clusters must turn Unknown to count as one event.
	// Default 10m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	VetoWindow *metav1.Duration `json:"vetoWindow,omitempty"`
	// VetoReadyFor is how long a cluster must have been Ready within VetoHistory to count.
	// Default 5m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	VetoReadyFor *metav1.Duration `json:"vetoReadyFor,omitempty"`
	// VetoHistory is how far back that readiness is looked for. Default 1h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	VetoHistory *metav1.Duration `json:"vetoHistory,omitempty"`
	// VetoPercent is the share of the clusters that count beyond which evictions stop. Default 50.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	VetoPercent *int32 `json:"vetoPercent,omitempty"`
	// VetoMinClusters is the fewest Unknown clusters that stop evictions. Default 2.
	// +kubebuilder:validation:Minimum=1
	VetoMinClusters *int32 `json:"vetoMinClusters,omitempty"`
	// FailbackAfter is the default of failback: Auto. Default 10m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	FailbackAfter *metav1.Duration `json:"failbackAfter,omitempty"`
	// PausedUntil stops all evictions until then, for PausedReason.
	PausedUntil  *metav1.Time `json:"pausedUntil,omitempty"`
	PausedReason string       `json:"pausedReason,omitempty"`
}

// ApplyConfig governs how members are written to.
type ApplyConfig struct {
	// Concurrency is how many requests are in flight for one cluster. Default 32.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrency *int32 `json:"concurrency,omitempty"`
	// RequestTimeout of one request. Default 30s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	RequestTimeout *metav1.Duration `json:"requestTimeout,omitempty"`
	// WaitTimeout of a gate such as crd-established. Default 60s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	WaitTimeout *metav1.Duration `json:"waitTimeout,omitempty"`
	// FullCompareInterval between two full comparisons of an object. Default 24h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	FullCompareInterval *metav1.Duration `json:"fullCompareInterval,omitempty"`
	// DriftFightLimit is how often in a minute a field may be put back before it is only reported.
	// Default 5.
	// +kubebuilder:validation:Minimum=1
	DriftFightLimit *int32 `json:"driftFightLimit,omitempty"`
	// PruneFloor is how many objects of a source may be gone from Git at once on a cluster before the
	// source's maxPrunePercent counts. Default 10.
	// +kubebuilder:validation:Minimum=0
	PruneFloor *int32 `json:"pruneFloor,omitempty"`
	// MaxPause is how far ahead the annotation paused-until of a live object may lie. Default 24h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	MaxPause *metav1.Duration `json:"maxPause,omitempty"`
}

// PlanConfig governs the plan and its findings.
type PlanConfig struct {
	// Severity changes the severity of findings by id: blocker, caution, info or off.
	// +kubebuilder:validation:MaxProperties=200
	// +kubebuilder:validation:XValidation:rule="self.all(id, self[id] in ['blocker', 'caution', 'info', 'off'])",message="a severity is blocker, caution, info or off"
	Severity map[string]string `json:"severity,omitempty"`
	// Rules are a project's own checks of a preview: each gives findings of its id.
	// +kubebuilder:validation:MaxItems=100
	// +listType=map
	// +listMapKey=id
	Rules []PlanRule `json:"rules,omitempty"`
	// RecordInterval is the least time between two writes of one Placement. Default 10s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	RecordInterval *metav1.Duration `json:"recordInterval,omitempty"`
}

// PlanRule looks at the report of a preview with a CEL expression.
type PlanRule struct {
	// ID of its findings. No finding of armada-sync itself has it.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	ID string `json:"id"`
	// Severity of its findings. Default caution.
	// +kubebuilder:validation:Enum=blocker;caution;info
	Severity Severity `json:"severity,omitempty"`
	// CEL is an expression over report, the JSON of the preview, and clusters, the Clusters by name. It
	// yields a boolean, where true is one finding, or a list with one item for each finding: its message,
	// or a map of message, clusters, object, source and repository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	CEL string `json:"cel"`
	// Message of findings that do not bring their own.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// MessageExpression is an expression that sees what CEL sees and yields the message as a string.
	// +kubebuilder:validation:MaxLength=4096
	MessageExpression string `json:"messageExpression,omitempty"`
}

// ServerConfig is an address to serve on.
type ServerConfig struct {
	// BindAddress is host:port. Metrics default to 127.0.0.1:8080; port 0 picks a free one.
	BindAddress string `json:"bindAddress,omitempty"`
}
