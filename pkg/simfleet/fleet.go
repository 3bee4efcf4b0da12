package simfleet

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"k8s.io/utils/clock"
)

// Options describe a fleet. The zero value has no clusters.
type Options struct {
	// Clusters are the clusters to simulate. Names must be unique.
	Clusters []ClusterSpec
	// N adds that many clusters named sim-0001, sim-0002, … (fewer digits for
	// fewer clusters are not used, so that names sort).
	N int
	// Seed feeds every choice of a fault. The same seed, cluster, request and
	// attempt get the same fault.
	Seed uint64
	// Clock times controllers, latency and deletion. The default is the time
	// package, which testing/synctest replaces by itself.
	Clock clock.WithDelayedExecution
	// ReadyAfter is how long a workload takes from a change of its spec to ready.
	// Default: one second. Negative: at once.
	ReadyAfter time.Duration
	// Latency is added to every request.
	Latency time.Duration
	// Window is how many changes of one kind a cluster keeps for watches and
	// pages. A watch from before that gets 410 Gone. Default 1000.
	Window int
	// TraceLimit is how many of the latest requests a cluster remembers. Default
	// 1000; negative for none. Counters are always kept.
	TraceLimit int
}

// ClusterSpec describes one cluster.
type ClusterSpec struct {
	// Name is unique in the fleet; it is also the host name of its requests.
	Name string
	// Version is what /version says. Default: v1.36.0.
	Version string
	// Nodes are the nodes that stand in it from the start. Default: none.
	Nodes []NodeSpec
}

// NodeSpec describes equal nodes, so that capacity can be read from them.
type NodeSpec struct {
	// Count of such nodes; default 1.
	Count int
	// CPU, Memory and Pods are quantities, "4", "16Gi", "110" by default.
	CPU, Memory, Pods string
	// Zone and Region become the topology labels.
	Zone, Region string
	// Labels are added to the nodes.
	Labels map[string]string
}

// Fleet is a set of simulated clusters.
type Fleet struct {
	clusters map[string]*Cluster
	names    []string
}

// New starts the clusters. They need no goroutine while nobody talks to them.
func New(opts Options) (*Fleet, error) {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.ReadyAfter == 0 {
		opts.ReadyAfter = time.Second
	}
	if opts.Window <= 0 {
		opts.Window = 1000
	}
	if opts.TraceLimit == 0 {
		opts.TraceLimit = 1000
	}
	cat, err := newCatalog()
	if err != nil {
		return nil, fmt.Errorf("build the catalog of kinds: %w", err)
	}
	specs := append([]ClusterSpec(nil), opts.Clusters...)
	for i := range opts.N {
		specs = append(specs, ClusterSpec{Name: fmt.Sprintf("sim-%04d", i+1)})
	}
	f := &Fleet{clusters: map[string]*Cluster{}}
	for _, spec := range specs {
		if spec.Name == "" {
			return nil, errors.New("a cluster has no name")
		}
		if f.clusters[spec.Name] != nil {
			return nil, fmt.Errorf("cluster %q is there twice", spec.Name)
		}
		c, err := newCluster(spec, cat, &opts)
		if err != nil {
			return nil, fmt.Errorf("cluster %q: %w", spec.Name, err)
		}
		f.clusters[spec.Name] = c
		f.names = append(f.names, spec.Name)
	}
	sort.Strings(f.names)
	return f, nil
}

// Cluster returns the cluster of that name, or nil.
func (f *Fleet) Cluster(name string) *Cluster { return f.clusters[name] }

// Clusters returns all clusters in the order of their names.
func (f *Fleet) Clusters() []*Cluster {
	out := make([]*Cluster, 0, len(f.names))
	for _, n := range f.names {
		out = append(out, f.clusters[n])
	}
	return out
}

// Close stops all clusters: connections end, ports close, timers stop.
func (f *Fleet) Close() {
	for _, c := range f.clusters {
		c.close()
	}
}
