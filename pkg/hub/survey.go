package hub

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// SurveyOptions say how a fleet is looked at from outside the controller.
type SurveyOptions struct {
	// RESTConfig reaches the hub with the rights of whoever asks.
	RESTConfig *rest.Config
	// Namespace is the controller's own.
	Namespace string
	// Members asks each cluster what it holds, by the kubeconfigs in the hub's Secrets. Without, the
	// snapshot says of clusters what their objects on the hub say, and has no inventories.
	Members bool
	// Connect reaches a cluster by the kubeconfig of its Secret. Default: ParseKubeconfig.
	Connect func(v1alpha1.Cluster, []byte) (*rest.Config, error)
	Log     *slog.Logger
}

// Surveyed is what a survey of a hub found.
type Surveyed struct {
	Snapshot plan.Snapshot
	// Sources are the usable GitSources, by id.
	Sources []v1alpha1.GitSource
	// Unusable says of objects on the hub that could not be used why, one line each, sorted.
	Unusable []string
	// Silent are the clusters that were asked what they hold and did not tell, by name.
	Silent []string
}

// Survey reads the hub's objects and, if asked, what every member holds, and returns the snapshot on which
// a controller would plan. It writes nothing. An error is one of the hub; members that do not answer are
// named in the result. It waits for them until ctx ends.
func Survey(ctx context.Context, o SurveyOptions) (Surveyed, error) {
	if o.Connect == nil {
		o.Connect = ParseKubeconfig
	}
	c, err := newClient(o.RESTConfig)
	if err != nil {
		return Surveyed{}, err
	}
	if err := c.mayList(ctx); err != nil {
		return Surveyed{}, err
	}
	w := newWatcher(c, o.Namespace)
	watching, stop := context.WithCancel(ctx)
	defer w.wait()
	defer stop()
	if err := w.start(watching); err != nil {
		return Surveyed{}, err
	}
	configuration, problems, err := w.configuration(ctx)
	if err != nil {
		return Surveyed{}, err
	}
	state, err := surveyed(c, o, w, o.Namespace).Load(ctx)
	if apierrors.IsForbidden(err) {
		// Whoever may not read the journal, which is in Secrets, sees what Placements say already.
		state, err = surveyed(c, o, w, noJournal).Load(ctx)
	}
	if err != nil {
		return Surveyed{}, err
	}
	found := Surveyed{Sources: configuration.Sources, Unusable: words(problems)}
	if o.Members {
		err = found.askMembers(ctx, c, w, configuration, state, o)
	} else {
		found.Snapshot = recorded(configuration, state, w.recordedClusters())
	}
	found.Snapshot.AppliedRevisions = appliedRevisions(w)
	return found, err
}

// mayList tells at once what a watch would try again and again: that the hub has no such kinds, or that
// whoever asks may not list them.
func (c *client) mayList(ctx context.Context) error {
	for _, resource := range []string{clusters, gitSources, configs} {
		err := c.ours.Get().Resource(resource).Param("limit", "1").Timeout(writeTimeout).Do(ctx).Error()
		switch {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("the hub does not know %s of %s: is armada-sync installed there?", resource, v1alpha1.APIVersion)
		case err != nil:
			return fmt.Errorf("list %s on the hub: %w", resource, err)
		}
	}
	return nil
}

// askMembers takes the snapshot from the members themselves.
func (s *Surveyed) askMembers(ctx context.Context, c *client, w *watcher, cfg engine.Configuration, state engine.State, o SurveyOptions) error {
	configured := cfg.Config.HubID
	if configured == "" {
		id, err := c.existingIdentity(ctx, o.Namespace)
		if err != nil {
			return err
		}
		cfg.Config.HubID = id.hubID
	}
	s.Snapshot = engine.Survey(ctx, engine.Options{
		Configuration: cfg, Log: o.Log, Registry: prometheus.NewRegistry(),
		Connect: func(cluster v1alpha1.Cluster) (*rest.Config, error) {
			data, err := w.kubeconfig(ctx, cluster)
			if err != nil {
				return nil, err
			}
			return o.Connect(cluster, data)
		},
	}, state)
	s.Snapshot.Config.HubID = configured
	for name, m := range s.Snapshot.Members {
		if !m.Known {
			s.Silent = append(s.Silent, name)
		}
	}
	slices.Sort(s.Silent)
	return nil
}

// existingIdentity reads the hub's identity; unlike a controller, who looks makes none.
func (c *client) existingIdentity(ctx context.Context, namespace string) (identity, error) {
	_, err := c.core.Secrets(namespace).Get(ctx, identitySecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return identity{}, fmt.Errorf("the hub has no Secret %q, which tells our objects on members: no controller has run here yet", namespace+"/"+identitySecret)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read the identity of the hub: %w", err)
	}
	return c.identity(ctx, namespace)
}

// recorded is the snapshot that the hub's objects alone tell.
func recorded(cfg engine.Configuration, state engine.State, clusters []v1alpha1.Cluster) plan.Snapshot {
	now := time.Now()
	snap := plan.Snapshot{
		Now: now, TakenAt: now, Placements: state.Placements, Config: cfg.Config,
		Members: map[string]plan.Member{}, Facts: map[string]v1alpha1.ClusterFactsSpec{},
		Sources: engine.Declared(state.Sources, cfg.Sources),
	}
	status := map[string]v1alpha1.ClusterStatus{}
	for _, c := range clusters {
		status[c.Name] = c.Status
	}
	for _, c := range cfg.Clusters {
		c.Status = status[c.Name]
		c.Spec.Taints = engine.WithRecordedTaints(c.Spec.Taints, c.Status.Taints)
		if c.Status.KubernetesVersion != "" {
			snap.Facts[c.Name] = v1alpha1.ClusterFactsSpec{Cluster: c.Name, Version: c.Status.KubernetesVersion}
		}
		snap.Clusters = append(snap.Clusters, engine.Located(c))
	}
	snap.FleetDigest = snap.Digest()
	return snap
}

// appliedRevisions are those that the sources' statuses tell, by source.
func appliedRevisions(w *watcher) map[string]string {
	applied := map[string]string{}
	for _, s := range list[v1alpha1.GitSource](w.sources) {
		if s.Status.AppliedRevision != "" {
			applied[engine.SourceID(*s)] = s.Status.AppliedRevision
		}
	}
	return applied
}

// words say what is wrong with which object.
func words(problems map[reference]string) []string {
	lines := make([]string, 0, len(problems))
	for ref := range maps.Keys(problems) {
		lines = append(lines, ref.kind+" "+ref.String()+": "+problems[ref])
	}
	slices.Sort(lines)
	return lines
}

// surveyed is a store that is only read.
func surveyed(c *client, o SurveyOptions, w *watcher, namespace string) *store {
	s := newStore(c, newWriter(c, o.Log, 0), o.Log, namespace, w.recordedClusters)
	s.sources = w.recordedSources
	return s
}
