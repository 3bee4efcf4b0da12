package apply

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

var errPending = errors.New("this part of the package is still being written")

var crdKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// Desired tells what the latest plan wants an object to be on the member, without our own metadata;
// false where it wants nothing of it. It must be cheap and safe for concurrent use.
type Desired func(v1alpha1.ObjectKey) (*unstructured.Unstructured, bool)

// Member is one cluster of the fleet.
type Member struct{ opts Options }

// New checks the options. It does not talk to the cluster.
func New(opts Options) (*Member, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Member{opts: opts}, nil
}

// Start begins to watch and returns at once; the cluster need not answer yet. Watching ends with ctx;
// Wait tells when it has.
func (m *Member) Start(ctx context.Context) {}

// Wait returns when everything that Start began has ended.
func (m *Member) Wait() {}

// WaitSynced returns when the inventory is Known, or with the error of ctx.
func (m *Member) WaitSynced(ctx context.Context) error { return errPending }

// SetDesired is told with every plan what the member shall hold; groupKinds ("Deployment.apps") are
// watched from now on.
func (m *Member) SetDesired(desired Desired, groupKinds []string) {}

// Inventory returns what the member holds of ours, from memory. The maps and bytes in it are shared
// and read-only.
func (m *Member) Inventory() plan.Member { return plan.Member{} }

// Problems are what keeps the member from being known or watched, one line each, sorted; empty when
// all is well.
func (m *Member) Problems() []string { return nil }

// Probe asks the API server whether it is ready. Its success ends all waiting for the cluster.
func (m *Member) Probe(ctx context.Context) error { return errPending }

// Facts are what is known of the cluster itself: its version, the kinds it serves and, with
// Options.Capacity and the right to list nodes and pods, what it can hold. Conditions are not among
// them.
func (m *Member) Facts(ctx context.Context) (v1alpha1.ClusterStatus, error) {
	return v1alpha1.ClusterStatus{}, errPending
}

// Execute carries the plan out as far as possible and says what came of each operation. The error is
// ErrStalePlan, ErrUnreachable or that of an ApplySet which is not ours, and then nothing was written;
// failures of single objects are in the result. When ctx is done no new request starts, and those in
// flight get Options.StopGrace to finish. One Execute runs at a time.
func (m *Member) Execute(ctx context.Context, p plan.ClusterPlan) (Result, error) {
	return Result{}, errPending
}
