package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
)

const (
	// discoverDelay lets changes that come together be looked at together.
	discoverDelay = time.Second
	// discoverInterval is the longest time between two looks. A look at rest reads memory alone.
	discoverInterval = time.Minute
	// discoverConcurrency is how many new clusters are asked at once who they are.
	discoverConcurrency = 8
	// askTimeout bounds one such question.
	askTimeout = 20 * time.Second
	// maxAskPause bounds the pause between two attempts with a cluster that cannot be taken in.
	maxAskPause = 10 * time.Minute
)

// discoverer takes clusters into the fleet that other systems describe on the hub.
//
// A cluster comes in once it has answered and is none that the fleet has already: two names for one cluster
// would have each undo what the other does. It never goes by itself: that a description is gone is no proof
// that the cluster is.
type discoverer struct {
	watcher *watcher
	client  *client
	limiter *rate.Limiter
	connect func(v1alpha1.Cluster) (*rest.Config, error)
	mark    func(map[string]mark)
	log     *slog.Logger

	// The rest belongs to the goroutine of run. tried are the attempts by origin, made the clusters that
	// our cache may not have yet, gone what was seen to be gone and when, gaps the places that cannot be
	// looked into and since when, told the problems that were logged.
	tried map[origin]asked
	made  map[string]*v1alpha1.Cluster
	gone  map[origin]time.Time
	gaps  map[string]time.Time
	told  map[string]bool
}

// asked is what came of trying to take a cluster in.
type asked struct {
	version string
	count   int
	next    time.Time
	problem string
}

func newDiscoverer(w *watcher, c *client, limiter *rate.Limiter, connect func(v1alpha1.Cluster) (*rest.Config, error), report func(map[string]mark), log *slog.Logger) *discoverer {
	return &discoverer{
		watcher: w, client: c, limiter: limiter, connect: connect, mark: report, log: log,
		tried: map[origin]asked{}, made: map[string]*v1alpha1.Cluster{}, gone: map[origin]time.Time{}, told: map[string]bool{},
	}
}

// run discovers until ctx ends.
func (d *discoverer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stirred := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.watcher.stirred:
			if !stirred {
				stirred = true
				timer.Reset(discoverDelay)
			}
			continue
		case <-timer.C:
		}
		stirred = false
		next := d.turn(ctx)
		timer.Reset(min(max(time.Until(next), discoverDelay), discoverInterval))
	}
}

// turn looks once, and returns when to look again.
func (d *discoverer) turn(ctx context.Context) time.Time {
	config := d.watcher.discovering.Load()
	if config == nil {
		return time.Now().Add(discoverInterval)
	}
	all, gaps := d.watcher.find(config)
	fleet := d.fleet()
	byOrigin := map[origin]*v1alpha1.Cluster{}
	for _, name := range slices.Sorted(maps.Keys(fleet)) {
		if from, ok := originOf(fleet[name]); ok && byOrigin[from] == nil {
			byOrigin[from] = fleet[name]
		}
	}
	var fresh []*found
	problems := d.lasting(gaps)
	seen := map[origin]bool{}
	for i := range all {
		f := &all[i]
		seen[f.origin] = true
		live := byOrigin[f.origin]
		if live == nil {
			fresh = append(fresh, f)
			continue
		}
		delete(d.tried, f.origin)
		if err := d.update(ctx, f, live); err != nil {
			problems = append(problems, fmt.Sprintf("%s: Cluster %q was not brought up to date: %v", f.origin, live.Name, err))
		}
	}
	maps.DeleteFunc(d.tried, func(o origin, _ asked) bool { return !seen[o] })
	next := d.takeIn(ctx, fresh, fleet)
	if len(gaps) > 0 {
		next = earlier(next, time.Now().Add(gapGrace))
	}
	if ctx.Err() != nil {
		return next
	}
	for _, f := range fresh {
		if p := d.tried[f.origin].problem; p != "" {
			problems = append(problems, f.String()+": "+p)
		}
	}
	marks := d.orphans(ctx, config, gaps, seen, byOrigin)
	if len(problems) > 0 {
		marks[""] = mark{
			condition: conditionDiscoveryIncomplete, reason: "NotTakenIn",
			message: fmt.Sprintf("%d problems with discovery: %s", len(problems), strings.Join(problems, "; ")),
		}
	}
	d.tell(ctx, problems, marks)
	d.mark(marks)
	return next
}

// fleet are the clusters of the hub by name, with those that our cache does not have yet.
func (d *discoverer) fleet() map[string]*v1alpha1.Cluster {
	fleet := map[string]*v1alpha1.Cluster{}
	for _, c := range list[v1alpha1.Cluster](d.watcher.clusters) {
		fleet[c.Name] = c
		delete(d.made, c.Name)
	}
	maps.Copy(fleet, d.made)
	// By the next look they have arrived, or somebody deleted them at once.
	clear(d.made)
	return fleet
}

// gapGrace is how long a place may take to be listed before that is a problem.
const gapGrace = 10 * time.Second

// lasting returns the gaps that have stood for a while.
func (d *discoverer) lasting(gaps []gap) []string {
	problems := []string{}
	now := time.Now()
	since := map[string]time.Time{}
	for _, g := range gaps {
		key := string(g.by) + "/" + g.namespace
		since[key] = now
		if at, ok := d.gaps[key]; ok {
			since[key] = at
		}
		if now.Sub(since[key]) >= gapGrace {
			problems = append(problems, g.String())
		}
	}
	d.gaps = since
	return problems
}

// update brings a Cluster up to what its source says, where that changed.
func (d *discoverer) update(ctx context.Context, f *found, live *v1alpha1.Cluster) error {
	if live.Annotations[annotationDigest] == f.digest() {
		return nil
	}
	b := f.desired(live.Name, live.Annotations[register.AnnotationClusterUID])
	b.yield(live)
	if err := d.limiter.Wait(ctx); err != nil {
		return err
	}
	err := d.client.applyCluster(ctx, b, false)
	if apierrors.IsForbidden(err) {
		return errors.New("the controller may not patch Clusters; " + allowDiscovery)
	}
	return err
}

// takeIn takes in what is new and can be, and returns when to try again.
func (d *discoverer) takeIn(ctx context.Context, fresh []*found, fleet map[string]*v1alpha1.Cluster) time.Time {
	now := time.Now()
	next := now.Add(discoverInterval)
	var due []*found
	for _, f := range fresh {
		if t, ok := d.tried[f.origin]; ok && t.version == f.version && now.Before(t.next) {
			next = earlier(next, t.next)
			continue
		}
		due = append(due, f)
	}
	type answer struct {
		wish, uid string
		err       error
	}
	answers := make([]answer, len(due))
	var group sync.WaitGroup
	free := make(chan struct{}, discoverConcurrency)
	for i, f := range due {
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			a := &answers[i]
			if a.wish, a.err = d.watcher.inspect(ctx, f); a.err == nil {
				a.uid, a.err = d.ask(ctx, f)
			}
		})
	}
	group.Wait()
	for i, f := range due {
		a := answers[i]
		if a.err == nil {
			a.err = d.admit(ctx, f, a.wish, a.uid, fleet)
		}
		next = earlier(next, d.remember(f, a.err))
	}
	return next
}

// errKnown tells of a cluster that the fleet has already, which is no fault.
var errKnown = errors.New("the fleet has this cluster already")

// remember keeps what came of an attempt, and returns when the next one is due.
func (d *discoverer) remember(f *found, err error) time.Time {
	before := d.tried[f.origin]
	t := asked{version: f.version, count: 1}
	if before.version == f.version {
		t.count = before.count + 1
	}
	pause := min(10*time.Second<<min(t.count-1, 10), maxAskPause)
	switch {
	case errors.Is(err, errKnown):
		pause = maxAskPause
	case err != nil:
		t.problem = err.Error()
	}
	t.next = time.Now().Add(pause)
	d.tried[f.origin] = t
	return t.next
}

// ask asks a cluster who it is. The name under which it is reached meanwhile is seen by nobody.
func (d *discoverer) ask(ctx context.Context, f *found) (uid string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	b := f.desired(f.name, "")
	cluster := v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: b.Metadata.Name}}
	switch f.by {
	case v1alpha1.DiscoveredByClusterProfile:
		cluster.Spec.ClusterProfileRef = &v1alpha1.ClusterProfileReference{Namespace: f.namespace, Name: f.name}
	case v1alpha1.DiscoveredByClusterAPI:
		cluster.Spec.SecretRef = &v1alpha1.SecretReference{Namespace: f.namespace, Name: f.name, Key: capiSecretKey}
	case v1alpha1.DiscoveredByArgoCD:
		cluster.Spec.SecretRef = &v1alpha1.SecretReference{Namespace: f.namespace, Name: f.name}
	}
	cfg, err := d.connect(cluster)
	if err != nil {
		return "", err
	}
	cfg.Timeout = askTimeout
	k, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", errors.New("its kubeconfig cannot be used")
	}
	system, err := k.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", errors.New("its credentials may not read the namespace kube-system, by whose UID clusters are told apart; they need the rights that `armada-sync join --print-rbac` lists")
	case err != nil:
		return "", fmt.Errorf("it does not answer: %w", err)
	}
	return string(system.UID), nil
}

// admit makes the Cluster of one that has answered.
func (d *discoverer) admit(ctx context.Context, f *found, wish, uid string, fleet map[string]*v1alpha1.Cluster) error {
	for name, c := range fleet {
		if c.Annotations[register.AnnotationClusterUID] == uid {
			return fmt.Errorf("%w, as %q", errKnown, name)
		}
	}
	name := nameFor(wish, f.origin, func(name string) bool { return fleet[name] != nil })
	b := f.desired(name, uid)
	if err := d.limiter.Wait(ctx); err != nil {
		return err
	}
	err := d.client.applyCluster(ctx, b, true)
	if apierrors.IsForbidden(err) {
		return errors.New("the controller may not create Clusters; " + allowDiscovery)
	}
	if err != nil {
		return fmt.Errorf("create Cluster %q: %w", name, err)
	}
	made := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: b.Metadata.Annotations}}
	fleet[name], d.made[name] = made, made
	d.log.InfoContext(ctx, "a cluster was discovered and is in the fleet now", "cluster", name, "from", f.String())
	return nil
}

// orphans marks the clusters whose source is gone: those whose place was looked into without finding it, and
// by name neither.
func (d *discoverer) orphans(ctx context.Context, config *v1alpha1.DiscoveryConfig, gaps []gap, seen map[origin]bool, byOrigin map[origin]*v1alpha1.Cluster) map[string]mark {
	marks := map[string]mark{}
	for from, c := range byOrigin {
		if seen[from] || !looksAt(config, from) || slices.ContainsFunc(gaps, func(g gap) bool { return g.by == from.by && (g.namespace == from.namespace || g.namespace == "*") }) {
			delete(d.gone, from)
			continue
		}
		if at, ok := d.gone[from]; !ok || time.Since(at) >= discoverInterval {
			if !d.isGone(ctx, from) {
				delete(d.gone, from)
				continue
			}
			d.gone[from] = time.Now()
		}
		marks[c.Name] = mark{condition: conditionSourceGone, reason: conditionSourceGone, message: goneMessage(from, c.Name), stalled: true}
	}
	return marks
}

// looksAt tells whether discovery looks into the place of an origin.
func looksAt(config *v1alpha1.DiscoveryConfig, from origin) bool {
	var scope *v1alpha1.DiscoveryScope
	switch from.by {
	case v1alpha1.DiscoveredByClusterAPI:
		scope = config.ClusterAPI
	case v1alpha1.DiscoveredByArgoCD:
		scope = config.ArgoCD
	case v1alpha1.DiscoveredByClusterProfile:
		if config.ClusterProfiles != nil {
			scope = &config.ClusterProfiles.DiscoveryScope
		}
	}
	return scope != nil && slices.Contains(scope.Namespaces, from.namespace)
}

// isGone asks the hub for an object by its name: a list may be of yesterday, or cut short.
func (d *discoverer) isGone(ctx context.Context, from origin) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var err error
	if from.by == v1alpha1.DiscoveredByClusterProfile {
		var version string
		if version, err = d.client.preferredVersion(ctx, clusterProfiles.Group); err != nil {
			return false
		}
		_, err = d.client.dynamic.Resource(clusterProfiles.WithVersion(version)).Namespace(from.namespace).Get(ctx, from.name, metav1.GetOptions{})
	} else {
		_, err = d.client.core.Secrets(from.namespace).Get(ctx, from.name, metav1.GetOptions{})
	}
	return apierrors.IsNotFound(err)
}

// tell logs each problem when it appears.
func (d *discoverer) tell(ctx context.Context, problems []string, marks map[string]mark) {
	now := map[string]bool{}
	say := func(key, problem string) {
		now[key] = true
		if !d.told[key] {
			d.log.WarnContext(ctx, "discovery", "problem", problem)
		}
	}
	for _, p := range problems {
		// The words of errors change with each attempt; who has the problem does not.
		key, _, _ := strings.Cut(p, ": ")
		say(key, p)
	}
	for cluster, m := range marks {
		if cluster != "" {
			say(cluster, m.message)
		}
	}
	d.told = now
}
