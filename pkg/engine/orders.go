package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Orders are what people asked of a running standalone controller: they are part of its State and lie
// over its Configuration, whatever that becomes. On a hub the same is asked by the fields of objects.
type Orders struct {
	// Pins are the sources that stay at a commit, by id.
	Pins map[string]Pin
	// Taints come on top of those that the configuration gives a cluster, by cluster. One with the key
	// and effect of a configured one replaces it.
	Taints map[string][]corev1.Taint
	// Rebalance are workloads that are to be divided anew, each once.
	Rebalance map[v1alpha1.ObjectKey]Rebalance
	// FailoverPause stops evictions until a time; nil: it does not.
	FailoverPause *Pause
}

// Pin keeps a source at a commit.
type Pin struct {
	// Revision is a full commit id, alone or as in main@sha1:<id>.
	Revision string
	// Since is when it was asked for.
	Since time.Time
}

// Rebalance asks for fresh scheduling of a workload.
type Rebalance struct {
	Workload v1alpha1.ObjectReference
	At       time.Time
}

// Pause stops evictions.
type Pause struct {
	Until  time.Time
	Reason string
}

// Clone returns orders of which nothing is shared.
func (o Orders) Clone() Orders {
	c := Orders{Pins: maps.Clone(o.Pins), Rebalance: maps.Clone(o.Rebalance)}
	for cluster, taints := range o.Taints {
		if c.Taints == nil {
			c.Taints = map[string][]corev1.Taint{}
		}
		for _, t := range taints {
			c.Taints[cluster] = append(c.Taints[cluster], *t.DeepCopy())
		}
	}
	if o.FailoverPause != nil {
		pause := *o.FailoverPause
		c.FailoverPause = &pause
	}
	return c
}

// over returns a configuration with the orders laid over it. The configuration itself stays as it is.
func (o Orders) over(c Configuration) Configuration {
	c.Sources, c.Clusters = slices.Clone(c.Sources), slices.Clone(c.Clusters)
	for i := range c.Sources {
		if pin, ok := o.Pins[SourceID(c.Sources[i])]; ok {
			c.Sources[i].Spec.PinnedRevision = pin.Revision
		}
	}
	for i := range c.Clusters {
		if taints := o.Taints[c.Clusters[i].Name]; len(taints) > 0 {
			c.Clusters[i].Spec.Taints = withTaints(c.Clusters[i].Spec.Taints, taints)
		}
	}
	if o.FailoverPause != nil {
		until := metav1.NewTime(o.FailoverPause.Until)
		c.Config.Failover.PausedUntil, c.Config.Failover.PausedReason = &until, o.FailoverPause.Reason
	}
	return c
}

// withTaints returns taints with others on top.
func withTaints(taints, more []corev1.Taint) []corev1.Taint {
	all := slices.DeleteFunc(slices.Clone(taints), func(t corev1.Taint) bool {
		return slices.ContainsFunc(more, func(m corev1.Taint) bool { return m.MatchTaint(&t) })
	})
	return append(all, more...)
}

// asked returns the recorded decisions with the wishes for fresh scheduling.
func (o Orders) asked(placements []v1alpha1.Placement) []v1alpha1.Placement {
	if len(o.Rebalance) == 0 {
		return placements
	}
	placements = slices.Clone(placements)
	for i := range placements {
		if r, ok := o.Rebalance[placements[i].Spec.Workload.Key()]; ok {
			at := metav1.NewTime(r.At)
			placements[i].Spec.RebalanceAt = &at
		}
	}
	return placements
}

// settled drops the wishes that were fulfilled with a plan: the time has come, and the workload was
// divided anew or is no longer placed.
func (o Orders) settled(p *plan.Plan, now time.Time) Orders {
	if len(o.Rebalance) == 0 {
		return o
	}
	failed := map[v1alpha1.ObjectKey]bool{}
	for i := range p.Placements {
		failed[p.Placements[i].Workload.Key()] = p.Placements[i].Error != ""
	}
	next := o.Clone()
	maps.DeleteFunc(next.Rebalance, func(k v1alpha1.ObjectKey, r Rebalance) bool { return !now.Before(r.At) && !failed[k] })
	if len(next.Rebalance) == 0 {
		next.Rebalance = nil
	}
	return next
}

// document is the form in which orders are kept.
func (o Orders) document() v1alpha1.Orders {
	d := v1alpha1.Orders{}
	d.APIVersion, d.Kind = v1alpha1.APIVersion, v1alpha1.KindOrders
	for _, source := range slices.Sorted(maps.Keys(o.Pins)) {
		pin := o.Pins[source]
		d.Spec.Pins = append(d.Spec.Pins, v1alpha1.PinOrder{Source: source, Revision: pin.Revision, Since: kept(pin.Since)})
	}
	for _, cluster := range slices.Sorted(maps.Keys(o.Taints)) {
		if taints := o.Taints[cluster]; len(taints) > 0 {
			d.Spec.Taints = append(d.Spec.Taints, v1alpha1.TaintOrder{Cluster: cluster, Taints: keptTaints(taints)})
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(o.Rebalance), v1alpha1.ObjectKey.Compare) {
		r := o.Rebalance[key]
		d.Spec.Rebalance = append(d.Spec.Rebalance, v1alpha1.RebalanceOrder{Workload: r.Workload, At: kept(r.At)})
	}
	if p := o.FailoverPause; p != nil {
		d.Spec.FailoverPause = &v1alpha1.PauseOrder{Until: kept(p.Until), Reason: p.Reason}
	}
	return d
}

// kept is a time as it reads after it was kept.
func kept(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }

func keptTaints(taints []corev1.Taint) []corev1.Taint {
	all := slices.Clone(taints)
	for i := range all {
		if all[i].TimeAdded != nil {
			at := kept(all[i].TimeAdded.Time)
			all[i].TimeAdded = &at
		}
	}
	slices.SortFunc(all, func(a, b corev1.Taint) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(string(a.Effect), string(b.Effect)))
	})
	return all
}

// ordersOf reads orders in the form in which they are kept.
func ordersOf(d v1alpha1.OrdersSpec) Orders {
	var o Orders
	for _, pin := range d.Pins {
		if o.Pins == nil {
			o.Pins = map[string]Pin{}
		}
		o.Pins[pin.Source] = Pin{Revision: pin.Revision, Since: pin.Since.UTC()}
	}
	for _, t := range d.Taints {
		if o.Taints == nil {
			o.Taints = map[string][]corev1.Taint{}
		}
		o.Taints[t.Cluster] = keptTaints(t.Taints)
	}
	for _, r := range d.Rebalance {
		if o.Rebalance == nil {
			o.Rebalance = map[v1alpha1.ObjectKey]Rebalance{}
		}
		o.Rebalance[r.Workload.Key()] = Rebalance{Workload: r.Workload, At: r.At.UTC()}
	}
	if d.FailoverPause != nil {
		o.FailoverPause = &Pause{Until: d.FailoverPause.Until.UTC(), Reason: d.FailoverPause.Reason}
	}
	return o
}

// ErrStopped says that the engine ended before it could do what was asked.
var ErrStopped = errors.New("the controller has stopped")

// orderChange is a change of orders that waits for the loop.
type orderChange struct {
	change func(*Orders) error
	// done takes one answer; there is room for it.
	done chan error
}

// Change changes the orders of a running engine. It returns once they are kept and taken up, so that the
// next plan obeys them; with an error of change, or one of the store, nothing has changed. Change is
// called in the loop and must return soon. Times are kept to the second.
func (e *Engine) Change(ctx context.Context, change func(*Orders) error) error {
	c := orderChange{change: change, done: make(chan error, 1)}
	e.inbox.update(func(in *inbox) bool { in.changes = append(in.changes, c); return true })
	e.nudge()
	select {
	case err := <-c.done:
		return err
	case <-e.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Orders returns the orders of a running engine.
func (e *Engine) Orders(ctx context.Context) (Orders, error) {
	var orders Orders
	err := e.Change(ctx, func(o *Orders) error { orders = o.Clone(); return nil })
	return orders, err
}

// begin prepares what runs anew, for the configuration with the orders that were kept. Nothing was started
// before.
func (e *Engine) begin() {
	e.pollers, e.sites, e.current = nil, nil, Configuration{}
	e.configure(e.configured)
	for _, s := range e.leftBehind() {
		p := e.newPoller(s, "")
		p.leaving, p.given = true, s.Spec
		e.pollers = append(e.pollers, p)
	}
	slices.SortFunc(e.pollers, func(a, b *poller) int { return strings.Compare(a.id, b.id) })
}

// obey changes the orders and keeps them.
func (e *Engine) obey(ctx context.Context, changes []orderChange) {
	for _, c := range changes {
		c.done <- e.change(ctx, c.change)
	}
}

func (e *Engine) change(ctx context.Context, change func(*Orders) error) error {
	next := e.state
	next.Orders = e.state.Orders.Clone()
	if err := change(&next.Orders); err != nil {
		return err
	}
	next.Orders = ordersOf(next.Orders.document().Spec)
	if reflect.DeepEqual(next.Orders, e.state.Orders) {
		return nil
	}
	kept, err := e.options.Store.Save(ctx, next)
	if err != nil {
		return fmt.Errorf("keep the order: %w", err)
	}
	e.kept, e.state = kept, next
	e.configure(e.configured) //nolint:contextcheck // what the crew runs lives as long as Run, whichever turn starts it
	return nil
}
