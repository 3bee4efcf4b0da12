package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
)

// operator is the controller whose fleet a person operates: in a hub, or on its own.
type operator interface {
	// view returns the clusters and decisions as the controller sees them.
	view(context.Context) (fleetView, error)
	// taint changes the taints of a cluster.
	taint(context.Context, taintChange) error
	// pause stops evictions; nil lets them go on.
	pause(context.Context, *v1alpha1.PauseOrder) error
	// rebalance asks for some workloads to be divided anew.
	rebalance(context.Context, []v1alpha1.ObjectReference) error
	close()
}

// fleetView is the fleet as a controller sees it.
type fleetView struct {
	// Clusters have the taints that are in force.
	Clusters []v1alpha1.Cluster `json:"clusters"`
	// Placements are the decisions, with what they wait for.
	Placements []v1alpha1.Placement `json:"placements"`
	// Stopped is why nothing is evicted; empty: evictions go on.
	Stopped string `json:"stopped"`
	// Late tells that the words of Placements may be some seconds older than the clusters.
	Late bool `json:"late"`
}

// cluster returns a cluster, or an error that names those that there are.
func (v fleetView) cluster(name string) (v1alpha1.Cluster, error) {
	names := make([]string, 0, len(v.Clusters))
	for _, c := range v.Clusters {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return v1alpha1.Cluster{}, unknownCluster(name, names)
}

// listedNames is how many names an error spells out.
const listedNames = 20

func unknownCluster(name string, names []string) error {
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return fmt.Errorf("cluster %q: the fleet has no clusters", name)
	case len(names) > listedNames:
		names = append(names[:listedNames:listedNames], fmt.Sprintf("and %d more", len(names)-listedNames))
	}
	return fmt.Errorf("cluster %q: the fleet has no such cluster; it has %s", name, strings.Join(names, ", "))
}

// taintChange is a change of the taints of a cluster: of one key and effect there is one.
type taintChange struct {
	Cluster string          `json:"cluster"`
	Set     []corev1.Taint  `json:"set,omitempty"`
	Remove  []taintSelector `json:"remove,omitempty"`
	// Overwrite lets Set change the value of a taint that is there.
	Overwrite bool `json:"overwrite,omitempty"`
	// Lenient lets Remove name taints that are not there.
	Lenient bool `json:"lenient,omitempty"`
}

// taintSelector names taints to remove: those of a key, or of an effect of it.
type taintSelector struct {
	Key    string             `json:"key"`
	Effect corev1.TaintEffect `json:"effect,omitempty"`
}

func (s taintSelector) matches(t corev1.Taint) bool {
	return s.Key == t.Key && (s.Effect == "" || s.Effect == t.Effect)
}

func (s taintSelector) String() string {
	if s.Effect == "" {
		return s.Key
	}
	return s.Key + ":" + string(s.Effect)
}

// apply returns taints after a change at a time. A taint that is set again as it is keeps its time, so that
// tolerations do not start anew.
func (c taintChange) apply(taints []corev1.Taint, now time.Time) ([]corev1.Taint, error) {
	next := slices.Clone(taints)
	for _, s := range c.Remove {
		before := len(next)
		if next = slices.DeleteFunc(next, s.matches); len(next) == before && !c.Lenient {
			return nil, fmt.Errorf("cluster %q has no taint %s", c.Cluster, s)
		}
	}
	for _, t := range c.Set {
		same := func(o corev1.Taint) bool { return o.MatchTaint(&t) }
		if i := slices.IndexFunc(next, same); i >= 0 {
			if next[i].Value == t.Value {
				continue
			}
			if !c.Overwrite {
				return nil, fmt.Errorf("cluster %q has a taint %s with another value, %q: --overwrite replaces it", c.Cluster, taintText(t), next[i].Value)
			}
			next = slices.DeleteFunc(next, same)
		}
		at := metav1.NewTime(now.UTC().Truncate(time.Second))
		t.TimeAdded = &at
		next = append(next, t)
	}
	slices.SortStableFunc(next, func(a, b corev1.Taint) int {
		return strings.Compare(a.Key+":"+string(a.Effect), b.Key+":"+string(b.Effect))
	})
	return next, nil
}

func taintText(t corev1.Taint) string {
	if t.Value == "" {
		return t.Key + ":" + string(t.Effect)
	}
	return t.Key + "=" + t.Value + ":" + string(t.Effect)
}

// operateFlags say which controller a command speaks to.
type operateFlags struct {
	control controlFlags
	hub     contextFlags
}

func (f *operateFlags) register(cmd *cobra.Command) {
	f.control.register(cmd)
	f.hub.addHub(cmd, "hub-context")
	for _, own := range []string{"state", "config"} {
		for _, hub := range []string{"kubeconfig", "hub-context"} {
			cmd.MarkFlagsMutuallyExclusive(own, hub)
		}
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.viewSoon(cmd.Context()).clusterNames(), cobra.ShellCompDirectiveNoFileComp
	}
}

// open connects to the controller that the flags name. Without any that is the one which runs here on the
// default configuration, and where none does, the hub of the current context.
func (f *operateFlags) open(ctx context.Context, s streams) (operator, error) {
	if f.hub.kubeconfig == "" && f.hub.hub == "" {
		c, err := f.control.dial(ctx, s)
		switch {
		case err == nil:
			return &standalone{client: c}, nil
		case f.control.given() || !errors.Is(err, control.ErrNotRunning):
			return nil, err
		}
	}
	at, err := reachContext(f.hub.kubeconfig, f.hub.hub)
	if err != nil {
		return nil, fmt.Errorf("%w; for a controller on its own give --state or --config", err)
	}
	return newHubOperator(at)
}
