package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// AnnotationLeaving on a Cluster, with any value, tells the controller to write nothing to it any
	// more. The condition Ready with ReasonLeft is the answer that nothing is in flight.
	AnnotationLeaving = "armada-sync.io/leaving"
	ReasonLeft        = "Left"
	// LeaseName is the Lease, in Namespace, that the replica holds which writes.
	LeaseName = "armada-sync"
)

// letGoTimeout is how long the controller may take to finish what it has in flight on a cluster.
const letGoTimeout = time.Minute

// errNotLetGo tells that the controller did not answer.
var errNotLetGo = errors.New("the controller still works on the cluster")

// letGo has the controller end what it does to a cluster, and waits until nothing is in flight. Where no
// controller runs there is nothing to wait for: one that starts later leaves the cluster alone.
func (c *Cluster) letGo(ctx context.Context, name string) error {
	switch err := c.setLeaving(ctx, name, true); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	resource, err := c.resource(clusterRef(name))
	if err != nil {
		return err
	}
	err = await(ctx, letGoTimeout, func(ctx context.Context) (bool, error) {
		o, err := resource.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if hasLeft(o) {
			return true, nil
		}
		runs, err := c.controllerRuns(ctx)
		return !runs, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w after %s", errNotLetGo, letGoTimeout)
	}
	return err
}

// setLeaving sets the annotation on a Cluster, or takes it back.
func (c *Cluster) setLeaving(ctx context.Context, name string, leaving bool) error {
	resource, err := c.resource(clusterRef(name))
	if err != nil {
		return err
	}
	annotations := map[string]any{AnnotationLeaving: nil}
	if leaving {
		annotations[AnnotationLeaving] = "true"
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	_, err = resource.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
	return err
}

// hasLeft reads the controller's answer.
func hasLeft(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Ready" && m["reason"] == ReasonLeft {
			return true
		}
	}
	return false
}

// controllerRuns tells whether a replica holds the Lease, or held it a moment ago.
func (c *Cluster) controllerRuns(ctx context.Context) (bool, error) {
	lease, err := c.typed.CoordinationV1().Leases(Namespace).Get(ctx, LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s := lease.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return false, nil
	}
	// Twice the duration: the clocks of two machines are not one.
	return time.Since(s.RenewTime.Time) < 2*time.Duration(*s.LeaseDurationSeconds)*time.Second, nil
}
