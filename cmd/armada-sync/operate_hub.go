package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// hubOperator is the controller in a hub. People ask it by changing objects.
type hubOperator struct {
	client  dynamic.Interface
	context string
}

// operatorManager is the field manager of what people order on a hub.
const operatorManager = "armada-sync-cli"

func newHubOperator(at reach) (*hubOperator, error) {
	client, err := dynamic.NewForConfig(at.config)
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", at.context, err)
	}
	return &hubOperator{client, at.context}, nil
}

func (o *hubOperator) close() {}

func (o *hubOperator) of(resource string) dynamic.NamespaceableResourceInterface {
	return o.client.Resource(schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: resource})
}

func (o *hubOperator) fail(what string, err error) error {
	if apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource") {
		return fmt.Errorf("the hub of context %q does not know %s: is armada-sync installed there?", o.context, v1alpha1.APIVersion)
	}
	return fmt.Errorf("hub of context %q: %s: %w", o.context, what, err)
}

// listAll lists the objects of a kind.
func listAll[T any](ctx context.Context, o *hubOperator, resource string) ([]T, error) {
	var all []T
	next := metav1.ListOptions{Limit: 500}
	for {
		list, err := o.of(resource).List(ctx, next)
		if err != nil {
			return nil, o.fail("list "+resource, err)
		}
		for i := range list.Items {
			var v T
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &v); err != nil {
				return nil, o.fail("read "+resource, err)
			}
			all = append(all, v)
		}
		if next.Continue = list.GetContinue(); next.Continue == "" {
			return all, nil
		}
	}
}

func (o *hubOperator) view(ctx context.Context) (v fleetView, err error) {
	v.Late = true
	if v.Clusters, err = listAll[v1alpha1.Cluster](ctx, o, "clusters"); err != nil {
		return v, err
	}
	if v.Placements, err = listAll[v1alpha1.Placement](ctx, o, "placements"); err != nil {
		return v, err
	}
	for i := range v.Clusters {
		c := &v.Clusters[i]
		if ev := c.Status.Evictions; ev != nil && ev.Stopped != "" {
			v.Stopped = ev.Stopped
		}
		// Only what the controller says that it has seen is in force.
		if s := c.Status.Summary; s == nil || !strings.Contains(s.Taints, v1alpha1.TaintDrain+":NoExecute") {
			c.Spec.Taints = slices.DeleteFunc(slices.Clone(c.Spec.Taints), taintSelector{Key: v1alpha1.TaintDrain}.matches)
		}
	}
	return v, nil
}

// attempts is how often a change is tried that others get ahead of.
const attempts = 5

func (o *hubOperator) taint(ctx context.Context, c taintChange) error {
	for attempt := 1; ; attempt++ {
		live, err := o.of("clusters").Get(ctx, c.Cluster, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			view, listErr := o.view(ctx)
			if listErr != nil {
				return listErr
			}
			_, err := view.cluster(c.Cluster)
			return err
		}
		if err != nil {
			return o.fail(fmt.Sprintf("read cluster %q", c.Cluster), err)
		}
		var cluster v1alpha1.Cluster
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &cluster); err != nil {
			return o.fail(fmt.Sprintf("read cluster %q", c.Cluster), err)
		}
		taints, err := c.apply(cluster.Spec.Taints, time.Now())
		if err != nil {
			return err
		}
		err = o.patch(ctx, o.of("clusters"), c.Cluster, map[string]any{
			"metadata": map[string]any{"resourceVersion": live.GetResourceVersion()}, "spec": map[string]any{"taints": taints},
		})
		if !apierrors.IsConflict(err) || attempt == attempts {
			if err != nil {
				return o.fail(fmt.Sprintf("taint cluster %q", c.Cluster), err)
			}
			return nil
		}
	}
}

func (o *hubOperator) patch(ctx context.Context, r dynamic.ResourceInterface, name string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = r.Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: operatorManager})
	return err
}

// configName is the Config that counts on a hub.
const configName = "default"

func (o *hubOperator) pause(ctx context.Context, p *v1alpha1.PauseOrder) error {
	failover := map[string]any{"pausedUntil": nil, "pausedReason": nil}
	if p != nil {
		failover = map[string]any{"pausedUntil": p.Until.UTC().Format(time.RFC3339), "pausedReason": p.Reason}
	}
	err := o.patch(ctx, o.of("configs"), configName, map[string]any{"spec": map[string]any{"failover": failover}})
	if !apierrors.IsNotFound(err) {
		if err != nil {
			return o.fail("change the Config", err)
		}
		return nil
	}
	if p == nil {
		return nil // Without a Config nothing is paused.
	}
	config := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": v1alpha1.KindConfig, "metadata": map[string]any{"name": configName},
		"spec": map[string]any{"failover": failover},
	}}
	if _, err := o.of("configs").Create(ctx, config, metav1.CreateOptions{FieldManager: operatorManager}); err != nil {
		return o.fail("create the Config", err)
	}
	return nil
}

func (o *hubOperator) rebalance(ctx context.Context, list []v1alpha1.ObjectReference) error {
	placements, err := listAll[v1alpha1.Placement](ctx, o, "placements")
	if err != nil {
		return err
	}
	chosen := among(list)
	now := time.Now().UTC().Format(time.RFC3339)
	for i := range placements {
		p := &placements[i]
		if !chosen(p.Spec.Workload) {
			continue
		}
		err := o.patch(ctx, o.of("placements").Namespace(p.Namespace), p.Name, map[string]any{"spec": map[string]any{"rebalanceAt": now}})
		if err != nil {
			return o.fail(fmt.Sprintf("ask for %s to be divided anew", p.Spec.Workload), err)
		}
	}
	return nil
}

// previewOf computes what would move from a fleet and repositories.
func (in *inputs) previewOf(ctx context.Context, s streams, preview func(plan.Trees, plan.Snapshot) (plan.Moves, error)) (plan.Moves, error) {
	trees, snap, err := in.read(ctx, strings.NewReader(""), s.err)
	if err != nil {
		return plan.Moves{}, err
	}
	return preview(trees, snap)
}
