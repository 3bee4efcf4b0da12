package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Where a running controller answers about its fleet and takes orders.
const (
	viewPath      = "/v1/view"
	taintsPath    = "/v1/taints"
	pausePath     = "/v1/failover-pause"
	rebalancePath = "/v1/rebalance"
	drainPlanPath = "/v1/drain-plan"
	balancePath   = "/v1/rebalance-plan"
)

// standalone is a controller on its own.
type standalone struct{ client *control.Client }

func (o *standalone) close() { o.client.Close() }

func (o *standalone) view(ctx context.Context) (v fleetView, err error) {
	return v, o.client.Get(ctx, viewPath, &v)
}

func (o *standalone) taint(ctx context.Context, c taintChange) error {
	return o.client.Post(ctx, taintsPath, c, nil)
}

// pauseRequest asks for a pause; nil: for its end.
type pauseRequest struct {
	Pause *v1alpha1.PauseOrder `json:"pause"`
}

func (o *standalone) pause(ctx context.Context, p *v1alpha1.PauseOrder) error {
	return o.client.Post(ctx, pausePath, pauseRequest{p}, nil)
}

// workloads names workloads.
type workloads struct {
	Workloads []v1alpha1.ObjectReference `json:"workloads"`
}

func (o *standalone) rebalance(ctx context.Context, list []v1alpha1.ObjectReference) error {
	return o.client.Post(ctx, rebalancePath, workloads{list}, nil)
}

// previewDrain asks the controller where everything would go.
func (o *standalone) previewDrain(ctx context.Context, cluster string) (m plan.Moves, err error) {
	return m, o.client.Post(ctx, drainPlanPath, taintChange{Cluster: cluster}, &m)
}

func (o *standalone) previewRebalance(ctx context.Context, list []v1alpha1.ObjectReference) (m plan.Moves, err error) {
	return m, o.client.Post(ctx, balancePath, workloads{list}, &m)
}

// serveOperations answers what people ask who operate the fleet of a controller.
func serveOperations(server *control.Server, e *engine.Engine) {
	o := &operations{engine: e}
	control.Handle(server, "GET "+viewPath, func(context.Context, struct{}) (fleetView, error) { return o.view() })
	control.Handle(server, "POST "+taintsPath, o.taint)
	control.Handle(server, "POST "+pausePath, o.pause)
	control.Handle(server, "POST "+rebalancePath, o.rebalance)
	control.Handle(server, "POST "+drainPlanPath, func(_ context.Context, c taintChange) (plan.Moves, error) { return o.previewDrain(c.Cluster) })
	control.Handle(server, "POST "+balancePath, func(_ context.Context, w workloads) (plan.Moves, error) { return o.previewRebalance(w.Workloads) })
}

// operations are done with a running engine.
type operations struct{ engine *engine.Engine }

// done is the answer to an order.
type done struct{}

var errNotPlanned = errors.New("the controller has not planned yet: try again in a moment")

func (o *operations) view() (fleetView, error) {
	cycle, ok := o.engine.Latest()
	if !ok {
		return fleetView{}, errNotPlanned
	}
	v := fleetView{Placements: plan.NextPlacements(cycle.Plan, cycle.Snapshot), Stopped: cycle.Plan.EvictionsStopped()}
	waiting := map[v1alpha1.ObjectKey][]v1alpha1.ClusterMessage{}
	for i := range cycle.Plan.Placements {
		waiting[cycle.Plan.Placements[i].Workload.Key()] = cycle.Plan.Placements[i].Waiting
	}
	for i := range v.Placements {
		v.Placements[i].Status.Waiting = waiting[v.Placements[i].Spec.Workload.Key()]
	}
	for i := range cycle.Snapshot.Clusters {
		c := &cycle.Snapshot.Clusters[i]
		seen := v1alpha1.Cluster{}
		seen.Name, seen.Spec.Taints, seen.Status.Conditions, seen.Status.Evictions = c.Name, c.Spec.Taints, c.Status.Conditions, c.Status.Evictions
		v.Clusters = append(v.Clusters, seen)
	}
	return v, nil
}

func (o *operations) taint(ctx context.Context, c taintChange) (done, error) {
	v, err := o.view()
	if err != nil {
		return done{}, err
	}
	if _, err := v.cluster(c.Cluster); err != nil {
		return done{}, err
	}
	configured := o.engine.ConfiguredTaints(c.Cluster)
	return done{}, o.engine.Change(ctx, func(orders *engine.Orders) error {
		for _, t := range configured {
			if slices.ContainsFunc(c.Remove, func(s taintSelector) bool { return s.matches(t) }) && !c.Lenient {
				return fmt.Errorf("the configuration gives cluster %q the taint %s: take it away there", c.Cluster, taintText(t))
			}
		}
		next, err := c.apply(orders.Taints[c.Cluster], time.Now())
		if err != nil {
			return err
		}
		if orders.Taints == nil {
			orders.Taints = map[string][]corev1.Taint{}
		}
		orders.Taints[c.Cluster] = next
		return nil
	})
}

func (o *operations) pause(ctx context.Context, r pauseRequest) (done, error) {
	return done{}, o.engine.Change(ctx, func(orders *engine.Orders) error {
		orders.FailoverPause = nil
		if r.Pause != nil {
			orders.FailoverPause = &engine.Pause{Until: r.Pause.Until.Time, Reason: r.Pause.Reason}
		}
		return nil
	})
}

func (o *operations) rebalance(ctx context.Context, w workloads) (done, error) {
	return done{}, o.engine.Change(ctx, func(orders *engine.Orders) error {
		if orders.Rebalance == nil {
			orders.Rebalance = map[v1alpha1.ObjectKey]engine.Rebalance{}
		}
		for _, ref := range w.Workloads {
			orders.Rebalance[ref.Key()] = engine.Rebalance{Workload: ref, At: time.Now()}
		}
		return nil
	})
}

func (o *operations) previewDrain(cluster string) (plan.Moves, error) {
	cycle, ok := o.engine.Latest()
	if !ok {
		return plan.Moves{}, errNotPlanned
	}
	cycle.Snapshot.FleetDigest = cycle.Snapshot.Digest()
	return previewDrain(cycle.Plan.Trees(), cycle.Snapshot, cluster)
}

// previewDrain says where everything of one cluster would go, with an error that names the clusters that
// there are.
func previewDrain(trees plan.Trees, snap plan.Snapshot, cluster string) (plan.Moves, error) {
	if _, err := (fleetView{Clusters: snap.Clusters}).cluster(cluster); err != nil {
		return plan.Moves{}, err
	}
	return plan.PreviewDrain(trees, snap, cluster)
}

func (o *operations) previewRebalance(list []v1alpha1.ObjectReference) (plan.Moves, error) {
	cycle, ok := o.engine.Latest()
	if !ok {
		return plan.Moves{}, errNotPlanned
	}
	cycle.Snapshot.FleetDigest = cycle.Snapshot.Digest()
	return plan.PreviewRebalance(cycle.Plan.Trees(), cycle.Snapshot, among(list)), nil
}

// among tells whether a workload is one of a list.
func among(list []v1alpha1.ObjectReference) func(v1alpha1.ObjectReference) bool {
	keys := make(map[v1alpha1.ObjectKey]bool, len(list))
	for _, ref := range list {
		keys[ref.Key()] = true
	}
	return func(ref v1alpha1.ObjectReference) bool { return keys[ref.Key()] }
}
