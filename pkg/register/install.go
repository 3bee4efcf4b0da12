package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrNotReady tells that what was installed did not become ready in time. What is installed stays.
var ErrNotReady = errors.New("not ready in time")

// establishTimeout is how long an API server may take to serve a new kind.
const establishTimeout = 30 * time.Second

// Install applies the manifests of a hub in order. After the definitions it waits until their kinds are
// served.
func (c *Cluster) Install(ctx context.Context, objects []*unstructured.Unstructured, tell func(Written)) error {
	var definitions, rest []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			definitions = append(definitions, o)
		} else {
			rest = append(rest, o)
		}
	}
	if err := c.Apply(ctx, definitions, false, tell); err != nil {
		return err
	}
	for _, d := range definitions {
		if err := c.awaitEstablished(ctx, d); err != nil {
			return err
		}
	}
	return c.Apply(ctx, rest, false, tell)
}

func (c *Cluster) awaitEstablished(ctx context.Context, definition *unstructured.Unstructured) error {
	resource, err := c.resource(definition)
	if err != nil {
		return err
	}
	err = await(ctx, establishTimeout, func(ctx context.Context) (bool, error) {
		live, err := resource.Get(ctx, definition.GetName(), metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return conditionIs(live, "Established", "True"), nil
	})
	if err != nil {
		return fmt.Errorf("wait for the kind of %q to be served: %w", definition.GetName(), err)
	}
	return nil
}

// AwaitDeployments waits until every Deployment among the objects runs as its manifest says, and calls
// progress with one line whenever that changes. The error wraps ErrNotReady when the time is over.
func (c *Cluster) AwaitDeployments(ctx context.Context, objects []*unstructured.Unstructured, limit time.Duration, progress func(string)) error {
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		resource, err := c.resource(o)
		if err != nil {
			return err
		}
		said := ""
		err = await(ctx, limit, func(ctx context.Context) (bool, error) {
			live, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
				return false, err
			}
			if err != nil {
				return false, nil //nolint:nilerr // An API server that restarts is no reason to give up: the deadline bounds it.
			}
			state, ready := rollout(live)
			if state != said {
				said = state
				progress(fmt.Sprintf("Deployment %s/%s: %s", o.GetNamespace(), o.GetName(), state))
			}
			return ready, nil
		})
		if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the Deployment %q is %w within %s: %s", o.GetName(), ErrNotReady, limit, said)
		}
		if err != nil {
			return fmt.Errorf("wait for Deployment %q: %w", o.GetName(), err)
		}
	}
	return nil
}

// rollout says how far a Deployment is, in words, and whether it is done.
func rollout(d *unstructured.Unstructured) (string, bool) {
	number := func(fields ...string) int64 {
		n, _, _ := unstructured.NestedInt64(d.Object, fields...)
		return n
	}
	want, updated, available := number("spec", "replicas"), number("status", "updatedReplicas"), number("status", "availableReplicas")
	if number("status", "observedGeneration") < d.GetGeneration() {
		return "waiting for the Deployment controller", false
	}
	all := number("status", "replicas")
	return fmt.Sprintf("%d of %d replicas available", min(updated, available), want), updated >= want && available >= want && all <= want
}

// conditionIs looks a condition up in an object's status.
func conditionIs(o *unstructured.Unstructured, name, status string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == name {
			return condition["status"] == status
		}
	}
	return false
}
