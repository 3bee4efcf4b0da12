package hub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/register"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// Options say what a controller in a hub runs with. All but Connect, ConnectProfile, Renew and Observe are
// required.
type Options struct {
	// RESTConfig reaches the hub.
	RESTConfig *rest.Config
	// Namespace is the controller's own: the Lease, its key and kubeconfigs without a namespace are there.
	Namespace string
	// Identity tells this replica apart from others.
	Identity string
	// Open opens the repository of a GitSource with the credentials of its Secret.
	Open func(v1alpha1.GitSource, source.Credentials) (source.Source, error)
	// Builder reads trees. One that has WithSecrets is given the Secrets of the hub, of which a source may
	// name one of its own namespace that holds the keys to its encrypted files.
	Builder engine.Builder
	// Connect reaches a cluster by the kubeconfig of its Secret. Default: ParseKubeconfig.
	Connect func(v1alpha1.Cluster, []byte) (*rest.Config, error)
	// ConnectProfile reaches a cluster by its ClusterProfile. Default: PluginConnector, with no plug-in.
	ConnectProfile func(v1alpha1.Cluster, Access) (*rest.Config, error)
	// Renew renews the token in a kubeconfig that join wrote. Default: register.Renew.
	Renew    Renew
	Log      *slog.Logger
	Registry prometheus.Registerer
	// Observe is called after each plan of a leader. It must return soon.
	Observe func(engine.Cycle)
}

// Controller is one replica.
type Controller struct {
	options Options
	client  *client
	watcher *watcher
	log     *slog.Logger

	synced atomic.Bool
	engine atomic.Pointer[engine.Engine]
}

// New prepares a controller. It does not talk to the hub.
func New(o Options) (*Controller, error) {
	if o.Connect == nil {
		o.Connect = ParseKubeconfig
	}
	if o.ConnectProfile == nil {
		o.ConnectProfile = PluginConnector("")
	}
	if o.Renew == nil {
		o.Renew = register.Renew
	}
	if o.Observe == nil {
		o.Observe = func(engine.Cycle) {}
	}
	c, err := newClient(o.RESTConfig)
	if err != nil {
		return nil, err
	}
	return &Controller{options: o, client: c, watcher: newWatcher(c, o.Namespace), log: o.Log}, nil
}

// Ready tells that a standby has the hub's objects at hand, and that a leader has planned.
func (c *Controller) Ready() bool {
	if e := c.engine.Load(); e != nil {
		return e.Ready()
	}
	return c.synced.Load()
}

// Leading tells that this replica runs the engine.
func (c *Controller) Leading() bool { return c.engine.Load() != nil }

// Run watches the hub and, while this replica leads, runs the engine. When ctx ends, a leader finishes what
// is in flight and gives the lease free. It also returns, with an error, when the lease was lost; whoever
// called it starts a new process then, since nothing of the old one's work may go on.
func (c *Controller) Run(ctx context.Context) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer c.watcher.wait()
	defer stop()
	undo := context.AfterFunc(ctx, stop)
	if err := c.watcher.start(watching); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if !undo() {
		return nil
	}
	c.synced.Store(true)
	c.log.Info("standing by", "identity", c.options.Identity, "namespace", c.options.Namespace)
	err := c.lead(ctx, c.work)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// work is what a leader does.
func (c *Controller) work(ctx context.Context, f *fence) error {
	cfg := rest.CopyConfig(c.options.RESTConfig)
	cfg.Wrap(f.wrap)
	writing, err := newClient(cfg)
	if err != nil {
		return err
	}
	configuration, problems, err := c.watcher.configuration(ctx)
	if err != nil {
		return err
	}
	identity, err := writing.identity(ctx, c.options.Namespace)
	if err != nil {
		return err
	}
	if configuration.Config.HubID == "" {
		configuration.Config.HubID = identity.hubID
	}
	// The engine ends before what it reports to.
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	w := newWriter(writing, c.log, configuration.Config.Plan.RecordInterval.Duration)
	s := newStore(writing, w, c.log, c.options.Namespace, c.watcher.recordedClusters)
	s.sources = c.watcher.recordedSources
	r := newReporter(writing, w, s, c.watcher, c.log)
	if err := r.seed(); err != nil {
		return err
	}
	r.refuse(problems)
	e := engine.New(engine.Options{ //nolint:contextcheck // New starts nothing; Run gets the context
		Configuration: configuration, Store: s, Builder: c.builder(), SecretKey: identity.key,
		Log: c.log, Registry: c.options.Registry,
		Open: func(g v1alpha1.GitSource) (source.Source, error) {
			credentials, err := c.watcher.credentials(ctx, g)
			if err != nil {
				return nil, err
			}
			return c.options.Open(g, credentials)
		},
		Connect: func(cluster v1alpha1.Cluster) (*rest.Config, error) { return c.connect(ctx, f, r.gates, cluster) },
		Observe: func(cycle engine.Cycle) {
			r.observe(cycle)
			c.options.Observe(cycle)
		},
	})
	c.engine.Store(e)
	defer c.engine.Store(nil)
	c.log.Info("leading", "identity", c.options.Identity, "sources", len(configuration.Sources), "clusters", len(configuration.Clusters))
	group.Go(func() { w.run(recording) })
	group.Go(func() { s.run(recording) })
	group.Go(func() {
		if err := s.watch(recording, e.RecordChanged); err != nil {
			c.log.ErrorContext(ctx, "Placements are not watched: what others do to them is seen by the next leader", "error", err)
		}
	})
	group.Go(func() { r.run(recording) })
	group.Go(func() { c.maintain(ctx, f, writing, w, r) })
	group.Go(func() { c.follow(ctx, e, r, configuration, identity.hubID) })
	err = e.Run(ctx)
	c.log.Info("nothing is in flight any more", "identity", c.options.Identity)
	return err
}

// maintain looks after the members themselves, beside what is placed on them, until ctx ends: it renews
// tokens and takes in clusters that are discovered.
func (c *Controller) maintain(ctx context.Context, f *fence, writing *client, w *writer, r *reporter) {
	renewing := newRenewer(c.watcher, writing, w.limiter, c.options.Renew, func(m map[string]mark) { r.mark("renewal", m) }, c.log)
	discovering := newDiscoverer(c.watcher, writing, w.limiter,
		func(cluster v1alpha1.Cluster) (*rest.Config, error) { return c.look(ctx, f, cluster) },
		func(m map[string]mark) { r.mark("discovery", m) }, c.log)
	var group sync.WaitGroup
	group.Go(func() { renewing.run(ctx) })
	group.Go(func() { discovering.run(ctx) })
	group.Wait()
}

func (c *Controller) connect(ctx context.Context, f *fence, g *gates, cluster v1alpha1.Cluster) (*rest.Config, error) {
	cfg, err := c.reach(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if err := register.Reach(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.Wrap(g.wrap(cluster.Name))
	cfg.Wrap(f.wrap)
	return cfg, nil
}

// look reaches a cluster that is not a member yet.
func (c *Controller) look(ctx context.Context, f *fence, cluster v1alpha1.Cluster) (*rest.Config, error) {
	cfg, err := c.reach(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if err := register.Reach(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.Wrap(f.wrap)
	return cfg, nil
}

// reach says how to reach a cluster: by its Secret, or by a ClusterProfile and a plug-in.
func (c *Controller) reach(ctx context.Context, cluster v1alpha1.Cluster) (*rest.Config, error) {
	if ref := cluster.Spec.ClusterProfileRef; ref != nil {
		access, err := c.watcher.access(*ref)
		if err != nil {
			return nil, err
		}
		return c.options.ConnectProfile(cluster, access)
	}
	data, err := c.watcher.kubeconfig(ctx, cluster)
	if err != nil {
		return nil, err
	}
	cfg, err := c.options.Connect(cluster, data)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig in the Secret of cluster %q: %w; write another there, or join it again with: armada-sync join %s", cluster.Name, err, cluster.Name)
	}
	return cfg, nil
}

// settleDelay lets changes that come together be taken up together.
const settleDelay = 100 * time.Millisecond

// follow tells the engine what changes on the hub until ctx ends.
func (c *Controller) follow(ctx context.Context, e *engine.Engine, r *reporter, before engine.Configuration, hubID string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.watcher.changed:
		}
		timer := time.NewTimer(settleDelay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		now, problems, err := c.watcher.configuration(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "the hub's objects cannot be read", "error", err)
			}
			continue
		}
		if now.Config.HubID == "" {
			now.Config.HubID = hubID
		}
		r.refuse(problems)
		if !sameConfiguration(before, now) {
			e.Reconfigure(now)
			before = now
		}
	}
}

// recordedClusters are the clusters with the status that the hub has.
func (w *watcher) recordedClusters() []v1alpha1.Cluster {
	var all []v1alpha1.Cluster
	for _, c := range list[v1alpha1.Cluster](w.clusters) {
		all = append(all, *c.DeepCopy())
	}
	slices.SortFunc(all, func(a, b v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// identitySecret keeps what makes a hub this hub.
const identitySecret = "armada-sync-hub"

// identity is the id by which members know our objects, and the key for digests of Secrets.
type identity struct {
	hubID string
	key   []byte
}

// keySize is that of SHA-256, whose HMAC the key is for.
const keySize = 32

// identity reads the hub's identity, and makes one for a new hub.
func (c *client) identity(ctx context.Context, namespace string) (identity, error) {
	s, err := c.core.Secrets(namespace).Get(ctx, identitySecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		id, key := make([]byte, 4), make([]byte, keySize)
		if _, err := rand.Read(id); err != nil {
			return identity{}, fmt.Errorf("make an identity for the hub: %w", err)
		}
		if _, err := rand.Read(key); err != nil {
			return identity{}, fmt.Errorf("make an identity for the hub: %w", err)
		}
		s, err = c.core.Secrets(namespace).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: identitySecret, Namespace: namespace},
			Data:       map[string][]byte{"hubID": []byte("hub-" + hex.EncodeToString(id)), "key": key},
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if err != nil {
			return identity{}, fmt.Errorf("keep the identity of the hub: %w", err)
		}
	} else if err != nil {
		return identity{}, fmt.Errorf("read the identity of the hub: %w", err)
	}
	if len(s.Data["key"]) != keySize || len(s.Data["hubID"]) == 0 {
		return identity{}, fmt.Errorf("the Secret %q is damaged: want hubID and a key of %d bytes; restore it from a backup, or delete it for a new one",
			namespace+"/"+identitySecret, keySize)
	}
	return identity{hubID: string(s.Data["hubID"]), key: s.Data["key"]}, nil
}
