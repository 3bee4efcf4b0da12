package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// startTimeout bounds the start of all clusters of a fleet, without the build
// of the binaries.
const startTimeout = 3 * time.Minute

// Options say what fleet to run.
type Options struct {
	// Names are the names of the clusters, DNS labels, each once. Required.
	Names []string
	// Hub, unless empty, names one more cluster, which has no nodes: nothing
	// runs on a hub.
	Hub string
	// WithControllers runs kube-controller-manager and kube-scheduler. Without
	// them a namespace in deletion stays, Deployments make no pods, and the
	// admission plugin ServiceAccount is off.
	WithControllers bool
	// Controllers are the controllers to run, by the names that
	// kube-controller-manager knows. Default: [DefaultControllers].
	Controllers []string
	// WithNodes is the number of fake nodes per cluster, on which pods become
	// Running at once. Needs WithControllers.
	WithNodes int
	// NodeCapacity is what each node can hold. Default: 8 CPUs, 32Gi of
	// memory, 110 pods. A pod that asks for more stays Pending.
	NodeCapacity corev1.ResourceList
	// Users may call the API servers beside the administrator that
	// [Cluster.RESTConfig] is for.
	Users []User
	// APIServerFlags are appended to the flags of every kube-apiserver, and so
	// overrule them.
	APIServerFlags []string
	// ControllerFlags are the same for every kube-controller-manager.
	ControllerFlags []string
	// Dir holds a folder per cluster (data, logs, audit log) and the
	// kubeconfig files. Default: a temporary folder that Close removes.
	Dir string
	// Progress takes lines on what is built and started. Default: stderr.
	Progress io.Writer
}

// DefaultControllers are those whose work users of a cluster see in their
// objects. Endpoints and EndpointSlices are among them because they copy a
// Service's labels, and ReplicaSets because they copy a Deployment's
// annotations: whoever finds objects by label or annotation meets them.
func DefaultControllers() []string {
	return []string{
		"clusterrole-aggregation-controller",
		"cronjob-controller",
		"daemonset-controller",
		"deployment-controller",
		"disruption-controller",
		"endpoints-controller",
		"endpointslice-controller",
		"garbage-collector-controller",
		"job-controller",
		"namespace-controller",
		"node-lifecycle-controller",
		"pod-garbage-collector-controller",
		"replicaset-controller",
		"resourcequota-controller",
		"root-ca-certificate-publisher-controller",
		"serviceaccount-controller",
		"statefulset-controller",
		"taint-eviction-controller",
	}
}

// withDefaults checks the options and returns them with the defaults filled in.
func (o Options) withDefaults() (Options, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	if o.Controllers == nil {
		o.Controllers = DefaultControllers()
	}
	if o.NodeCapacity == nil {
		o.NodeCapacity = corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("8"),
			corev1.ResourceMemory: resource.MustParse("32Gi"),
			corev1.ResourcePods:   resource.MustParse("110"),
		}
	}
	var errs []error
	names := o.clusterNames()
	if len(names) == 0 {
		errs = append(errs, errors.New("no cluster is named"))
	}
	for i, name := range names {
		for _, problem := range validation.IsDNS1123Label(name) {
			errs = append(errs, fmt.Errorf("cluster name %q: %s", name, problem))
		}
		if slices.Contains(names[:i], name) {
			errs = append(errs, fmt.Errorf("cluster name %q is given twice", name))
		}
	}
	if o.WithNodes < 0 {
		errs = append(errs, fmt.Errorf("%d nodes", o.WithNodes))
	}
	if o.WithNodes > 0 && !o.WithControllers {
		errs = append(errs, errors.New("nodes need the controllers: nobody would schedule a pod"))
	}
	users := builtinUsers()
	for _, u := range o.Users {
		if u.Name == "" || slices.ContainsFunc(users, func(other User) bool { return other.Name == u.Name }) {
			errs = append(errs, fmt.Errorf("user name %q is empty, given twice or one of the fleet's own", u.Name))
		}
		users = append(users, u)
	}
	return o, errors.Join(errs...)
}

// clusterNames are all clusters, the hub first.
func (o Options) clusterNames() []string {
	if o.Hub == "" {
		return o.Names
	}
	return append([]string{o.Hub}, o.Names...)
}

// Fleet is a number of running clusters.
type Fleet struct {
	// Clusters are in the order of Options.Names, after the hub if there is one.
	Clusters []*Cluster
	// Dir is Options.Dir or the temporary folder made in its place.
	Dir string

	temporary bool
}

// Start builds the binaries where needed and starts the clusters side by side.
// It returns when every API server is ready and every node takes pods. ctx
// bounds the start, not the life of the fleet: the caller ends it with Close.
func Start(ctx context.Context, opts Options) (*Fleet, error) {
	return start(ctx, opts, nil)
}

// StartT starts a fleet for a test and ends it with the test.
func StartT(t testing.TB, opts Options) *Fleet {
	t.Helper()
	f, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start the fleet: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("end the fleet: %v", err)
		}
	})
	return f
}

// start starts a fleet; with a state its processes outlive this one and are
// recorded there as they come.
func start(ctx context.Context, opts Options, detached *stateFile) (_ *Fleet, err error) {
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	binaries, err := Build(ctx, opts.Progress)
	if err != nil {
		return nil, err
	}
	f := &Fleet{Dir: opts.Dir}
	if f.Dir == "" {
		f.temporary = true
		f.Dir, err = os.MkdirTemp("", "armada-sync-fleet-")
	} else if f.Dir, err = filepath.Abs(f.Dir); err == nil {
		err = os.MkdirAll(f.Dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the fleet's folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, name := range opts.clusterNames() {
		f.Clusters = append(f.Clusters, newCluster(f.Dir, name, opts, binaries, detached))
	}
	return f, f.startClusters(ctx, opts.Progress)
}

// startClusters starts the clusters side by side. The first error ends the
// start of the others and is the one that is returned.
func (f *Fleet) startClusters(ctx context.Context, progress io.Writer) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not up after %s", startTimeout))
	defer cancel()
	var group sync.WaitGroup
	var once sync.Once
	var first error
	for _, c := range f.Clusters {
		group.Go(func() {
			if err := c.start(ctx); err != nil {
				once.Do(func() { first = fmt.Errorf("start cluster %q: %w", c.Name, err) })
				cancel()
				return
			}
			fmt.Fprintf(progress, "fleet: %s is ready after %s\n", c.Name, time.Since(began).Round(100*time.Millisecond))
		})
	}
	group.Wait()
	return first
}

// Cluster returns the cluster of that name, or nil.
func (f *Fleet) Cluster(name string) *Cluster {
	for _, c := range f.Clusters {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Close ends all processes and removes the temporary folder. A folder that the
// caller named is left with its logs.
func (f *Fleet) Close() error {
	var group sync.WaitGroup
	for _, c := range f.Clusters {
		group.Go(c.close)
	}
	group.Wait()
	if !f.temporary {
		return nil
	}
	if err := os.RemoveAll(f.Dir); err != nil {
		return fmt.Errorf("remove the fleet's folder: %w", err)
	}
	return nil
}
