package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Orders are what people asked of a running standalone controller, which keeps them in its state folder.
// On a hub the same is said in the fields of GitSource, Cluster, Config and Placement.
type Orders struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              OrdersSpec `json:"spec,omitempty"`
}

// OrdersSpec lists the orders.
type OrdersSpec struct {
	// Pins are the sources that stay at a commit, by source.
	Pins []PinOrder `json:"pins,omitempty"`
	// Taints come on top of those that the configuration gives a cluster, by cluster.
	Taints []TaintOrder `json:"taints,omitempty"`
	// Rebalance are workloads that are to be divided anew, once.
	Rebalance []RebalanceOrder `json:"rebalance,omitempty"`
	// FailoverPause stops evictions for a while.
	FailoverPause *PauseOrder `json:"failoverPause,omitempty"`
}

// PinOrder keeps a source at a commit until it is resumed.
type PinOrder struct {
	// Source is the id of the source, namespace/name.
	Source string `json:"source"`
	// Revision is a full commit id, alone or as in main@sha1:<id>.
	Revision string `json:"revision"`
	// Since is when it was asked for.
	Since metav1.Time `json:"since"`
}

// TaintOrder taints a cluster.
type TaintOrder struct {
	Cluster string         `json:"cluster"`
	Taints  []corev1.Taint `json:"taints"`
}

// RebalanceOrder asks for fresh scheduling of a workload once, at a time.
type RebalanceOrder struct {
	Workload ObjectReference `json:"workload"`
	At       metav1.Time     `json:"at"`
}

// PauseOrder stops evictions until a time.
type PauseOrder struct {
	Until  metav1.Time `json:"until"`
	Reason string      `json:"reason,omitempty"`
}

func (t *typing) orders(s *OrdersSpec) {
	pinned, tainted, rebalanced := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range s.Pins {
		o, p := &s.Pins[i], at("spec.pins", i)
		if t.named(p+".source", o.Source, isSourceName) {
			t.unique(pinned, p+".source", o.Source, "pin")
		}
		if t.required(p+".revision", o.Revision) && !revisionPattern().MatchString(o.Revision) {
			t.problem(p+".revision", "%q is not a full commit id, alone or as in main@sha1:<id>", shorten(o.Revision))
		}
	}
	for i := range s.Taints {
		o, p := &s.Taints[i], at("spec.taints", i)
		if t.required(p+".cluster", o.Cluster) {
			t.unique(tainted, p+".cluster", o.Cluster, "cluster")
		}
		t.taints(p+".taints", o.Taints)
	}
	for i := range s.Rebalance {
		o, p := &s.Rebalance[i], at("spec.rebalance", i)
		t.referenceTo(p+".workload", &o.Workload)
		t.unique(rebalanced, p+".workload", o.Workload.String()+" "+o.Workload.Group(), "workload")
		if o.At.IsZero() {
			t.problem(p+".at", "the field is required")
		}
	}
	if s.FailoverPause != nil && s.FailoverPause.Until.IsZero() {
		t.problem("spec.failoverPause.until", "the field is required")
	}
}
