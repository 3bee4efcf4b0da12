package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// completionTime bounds how long a shell waits for names.
const completionTime = 2 * time.Second

// silent is where a completion writes: whatever goes wrong, there is nothing to offer then, and nothing to say.
func silent() streams { return streams{out: io.Discard, err: io.Discard} }

// sourcesPath is where a running controller lists its sources.
const sourcesPath = "/v1/sources"

// followedSource is a source that a controller follows.
type followedSource struct {
	ID string `json:"id"`
	// History are the revisions that were applied, the latest first.
	History []v1alpha1.AppliedRevision `json:"history,omitempty"`
}

// serveSources lets commands ask a running controller what it follows.
func serveSources(server *control.Server, e *engine.Engine) {
	control.Handle(server, "GET "+sourcesPath, func(context.Context, struct{}) ([]followedSource, error) {
		cycle, ok := e.Latest()
		if !ok {
			return nil, errNotPlanned
		}
		known := make([]followedSource, 0, len(cycle.Sources))
		for _, s := range cycle.Sources {
			known = append(known, followedSource{s.ID, s.History})
		}
		return known, nil
	})
}

func (l localFollower) list(ctx context.Context) (known []followedSource, err error) {
	err = l.client.Get(ctx, sourcesPath, &known)
	return known, err
}

// soon are the sources, as far as they can be had while a shell waits.
func (f *followFlags) soon(ctx context.Context) []followedSource {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	at, err := f.open(ctx, silent())
	if err != nil {
		return nil
	}
	defer at.close()
	known, err := at.list(ctx)
	if err != nil {
		return nil
	}
	return known
}

// shortSource is how a source is called on a command line.
func shortSource(id string) string { return strings.TrimPrefix(id, engine.DefaultNamespace+"/") }

// completeSource offers the names of sources for the one argument.
func (f *followFlags) completeSource(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, s := range f.soon(cmd.Context()) {
		names = append(names, shortSource(s.ID))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRevision offers the commits that a source was at.
func (f *followFlags) completeRevision(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, s := range f.soon(cmd.Context()) {
		if len(args) == 1 && args[0] != s.ID && args[0] != shortSource(s.ID) {
			continue
		}
		for _, r := range s.History {
			_, hash, _ := strings.Cut(r.Revision, ":")
			ids = append(ids, hash+"\t"+shortSource(s.ID)+" at "+r.Time.UTC().Format(time.RFC3339))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// viewSoon is the fleet of a controller, as far as it can be had while a shell waits.
func (f *operateFlags) viewSoon(ctx context.Context) fleetView {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	op, err := f.open(ctx, silent())
	if err != nil {
		return fleetView{}
	}
	defer op.close()
	view, err := op.view(ctx)
	if err != nil {
		return fleetView{}
	}
	return view
}

// clusterNames are the names of the clusters.
func (v fleetView) clusterNames() []string {
	names := make([]string, 0, len(v.Clusters))
	for _, c := range v.Clusters {
		names = append(names, c.Name)
	}
	return names
}

// workloads are what is placed in a namespace, "": in all, as kind/name.
func (v fleetView) workloads(namespace string) []string {
	var names []string
	for _, p := range v.Placements {
		if w := p.Spec.Workload; namespace == "" || w.Namespace == namespace {
			names = append(names, strings.ToLower(w.Kind)+"/"+w.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// completeWorkload offers workloads of a controller for the one argument.
func completeWorkload(view func(context.Context) fleetView, namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return view(cmd.Context()).workloads(*namespace), cobra.ShellCompDirectiveNoFileComp
	}
}

// viewSoon is what explain is asked about, as far as it can be had while a shell waits: the fleet of a running
// controller or of a hub, or what the fleet file says.
func (f *explainFlags) viewSoon(ctx context.Context) fleetView {
	if f.control.given() || f.fleet == "hub" {
		asked := operateFlags{control: f.control}
		if !f.control.given() {
			asked.hub = f.hub.contextFlags
		}
		return asked.viewSoon(ctx)
	}
	data, err := os.ReadFile(f.fleet)
	if err != nil {
		return fleetView{}
	}
	snap, _ := plan.ReadFleet(f.fleet, data)
	return fleetView{Clusters: snap.Clusters, Placements: snap.Placements}
}
