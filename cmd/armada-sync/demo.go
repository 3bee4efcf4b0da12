package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/osfs"
	billyutil "github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

//go:embed shop
var shop embed.FS

// demoFlags are the flags of demo.
type demoFlags struct {
	once     bool
	keep     bool
	clusters int
}

func newDemo(s streams) *cobra.Command {
	flags := &demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the whole story on simulated clusters, then leave them to you",
		Long: `Start simulated clusters in three regions and a Git repository with a sample shop, and play: a
push is placed and overridden, one region changes, a hand edit is put back, a cluster dies and its
share moves, it comes back. Then push to the repository yourself and look at the clusters with
kubectl, until Ctrl-C.

Nothing outside of one temporary folder is touched, and no network but the loopback.`,
		Example: `  armada-sync demo
  armada-sync demo --once --clusters 12`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), s, flags) },
	}
	f := cmd.Flags()
	f.BoolVar(&flags.once, "once", false, "play the story through, print a summary and exit; 0 only if every step was seen in the clusters")
	f.BoolVar(&flags.keep, "keep", false, "leave the folder with the repository and the kubeconfigs behind")
	f.IntVar(&flags.clusters, "clusters", 5, "number of simulated clusters, 3 to 200")
	return cmd
}

func runDemo(ctx context.Context, s streams, flags *demoFlags) (err error) {
	if flags.clusters < 3 || flags.clusters > 200 {
		return fmt.Errorf("--clusters %d: want 3 to 200, so that a lost cluster's share has somewhere to go", flags.clusters)
	}
	dir, err := os.MkdirTemp("", "armada-sync-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	if !flags.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	d, err := newStage(dir, flags.clusters) //nolint:contextcheck // The simulated clusters end with Close, not with a context.
	if err != nil {
		return err
	}
	defer d.fleet.Close()

	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.engine.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	if err := d.play(ctx, s.out); err != nil {
		return err
	}
	if flags.once {
		return nil
	}
	d.handOver(s.out)
	d.follow(ctx, s.out)
	return nil
}

// stage is what the demo plays on.
type stage struct {
	dir      string
	repo     *repo
	fleet    *simfleet.Fleet
	clusters []v1alpha1.Cluster
	engine   *engine.Engine
	// cycles are the engine's latest turns; a reader that is slow misses some, never the last.
	cycles chan engine.Cycle
}

// demoConfig has the timings of a demo: what takes minutes in earnest takes a second here.
func demoConfig() v1alpha1.ConfigSpec {
	var c v1alpha1.ConfigSpec
	c.SetDefaults()
	second := int64(1)
	c.Health.FailureThreshold = &metav1.Duration{Duration: time.Second}
	c.Health.RecoveryThreshold = &metav1.Duration{Duration: time.Second}
	c.Health.ProbeInterval = &metav1.Duration{Duration: 200 * time.Millisecond}
	c.Health.ProbeTimeout = &metav1.Duration{Duration: time.Second}
	c.Failover.ImplicitTolerationSeconds = &second
	c.Failover.DrainSeconds = &second
	return c
}

func newStage(dir string, n int) (*stage, error) {
	d := &stage{dir: dir, clusters: demoClusters(n), cycles: make(chan engine.Cycle, 1)}
	var specs []simfleet.ClusterSpec
	for _, c := range d.clusters {
		specs = append(specs, simfleet.ClusterSpec{
			Name:  c.Name,
			Nodes: []simfleet.NodeSpec{{Count: 3, Region: c.Spec.Region, Zone: c.Spec.Zones[0]}},
		})
	}
	var err error
	if d.fleet, err = simfleet.New(simfleet.Options{Clusters: specs, ReadyAfter: 300 * time.Millisecond}); err != nil {
		return nil, fmt.Errorf("start simulated clusters: %w", err)
	}
	for _, c := range d.clusters {
		if err := d.fleet.Cluster(c.Name).WriteKubeconfig(d.kubeconfig(c.Name)); err != nil {
			return nil, fmt.Errorf("serve cluster %q: %w", c.Name, err)
		}
	}
	if d.repo, err = newRepo(filepath.Join(dir, "shop.git")); err != nil {
		return nil, err
	}
	return d, d.prepareEngine()
}

func (d *stage) kubeconfig(cluster string) string {
	return filepath.Join(d.dir, cluster+".kubeconfig")
}

func (d *stage) prepareEngine() error {
	source := v1alpha1.GitSource{}
	source.Name, source.Namespace = "shop", engine.DefaultNamespace
	source.Spec.URL = "file://" + filepath.ToSlash(d.repo.dir)
	source.Spec.Interval = &metav1.Duration{Duration: 250 * time.Millisecond}
	source.Spec.SetDefaults()
	store, err := engine.NewFolderStore(filepath.Join(d.dir, "state"))
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	d.engine = engine.New(engine.Options{
		Configuration: engine.Configuration{
			Name: "demo", Config: demoConfig(), Sources: []v1alpha1.GitSource{source}, Clusters: d.clusters,
		},
		Store: store, Open: opener(d.dir, filepath.Join(d.dir, "git")), Builder: treeBuilder{build.New(), fileKeys(d.dir)},
		Connect: func(c v1alpha1.Cluster) (*rest.Config, error) {
			return d.fleet.Cluster(c.Name).RESTConfig(), nil
		},
		SecretKey: make([]byte, secretKeySize), Log: log, Registry: prometheus.NewRegistry(), Observe: d.observe,
	})
	return nil
}

// observe keeps the latest cycle for whoever reads next.
func (d *stage) observe(c engine.Cycle) {
	for {
		select {
		case d.cycles <- c:
			return
		default:
		}
		select {
		case <-d.cycles:
		default:
		}
	}
}

// demoClusters are n clusters in turn in three regions; every other one is gold.
func demoClusters(n int) []v1alpha1.Cluster {
	regions := []struct{ name, provider string }{{"eu", "aws"}, {"us", "gcp"}, {"ap", "azure"}}
	clusters := make([]v1alpha1.Cluster, 0, n)
	for i := range n {
		r := regions[i%len(regions)]
		c := v1alpha1.Cluster{}
		c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.KindCluster
		c.Name = fmt.Sprintf("%s-%d", r.name, i/len(regions)+1)
		c.Labels = map[string]string{"tier": "silver"}
		if i%2 == 0 {
			c.Labels["tier"] = "gold"
		}
		c.Spec.Provider, c.Spec.Region, c.Spec.Zones = r.provider, r.name, []string{r.name + "-a"}
		clusters = append(clusters, c)
	}
	return clusters
}

// repo is a bare repository that the demo commits to without a work tree on disk, as a push would.
type repo struct {
	dir  string
	git  *git.Repository
	tree *git.Worktree
}

func newRepo(dir string) (*repo, error) {
	storage := filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())
	g, err := git.InitWithOptions(storage, memfs.New(), git.InitOptions{DefaultBranch: plumbing.Main})
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	cfg, err := g.Config()
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	cfg.Core.IsBare = true
	if err := g.SetConfig(cfg); err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	tree, err := g.Worktree()
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	return &repo{dir: dir, git: g, tree: tree}, nil
}

// fill writes the sample shop into the work tree.
func (r *repo) fill() error {
	return fs.WalkDir(shop, "shop", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := shop.ReadFile(name)
		if err != nil {
			return err
		}
		return r.write(name[len("shop/"):], data)
	})
}

func (r *repo) write(name string, data []byte) error {
	return billyutil.WriteFile(r.tree.Filesystem, name, data, 0o644)
}

// commit commits everything and moves main, which is what a push does to a bare repository.
func (r *repo) commit(message string) (string, error) {
	if err := r.tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	hash, err := r.tree.Commit(message, &git.CommitOptions{
		Author: &object.Signature{Name: "armada-sync demo", Email: "demo@example.com", When: time.Now()},
	})
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	return hash.String()[:7], nil
}

// handOver tells the reader what is there to play with.
func (d *stage) handOver(w io.Writer) {
	fmt.Fprintf(w, `Now it is yours, until Ctrl-C.

  git clone %s shop && cd shop     # change something, commit, git push
  kubectl --kubeconfig %s -n shop get deploy,svc,cm
  ls %s/*.kubeconfig               # one for each cluster

`, d.repo.dir, d.kubeconfig(d.clusters[0].Name), d.dir)
}
