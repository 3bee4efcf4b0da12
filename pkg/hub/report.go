package hub

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// reporter says on the hub how everything is doing: in conditions, and in events when something changes.
type reporter struct {
	client  *client
	writer  *writer
	store   *store
	watcher *watcher
	gates   *gates
	log     *slog.Logger
	wake    chan struct{}

	mu      sync.Mutex
	cycle   *engine.Cycle
	refused map[reference]string
	gone    map[string]bool
	// marks by author and cluster.
	marks map[string]map[string]mark

	// The rest belongs to the goroutine of run.
	conditions map[reference][]metav1.Condition
	standing   map[string]engine.Problem
	first      bool
	// made counts events.
	made int
}

func newReporter(c *client, w *writer, s *store, watch *watcher, log *slog.Logger) *reporter {
	return &reporter{
		client: c, writer: w, store: s, watcher: watch, gates: newGates(), log: log, wake: make(chan struct{}, 1),
		gone: map[string]bool{}, conditions: map[reference][]metav1.Condition{}, standing: map[string]engine.Problem{}, first: true,
	}
}

// seed takes up what the hub's objects say already.
func (r *reporter) seed() error {
	for _, c := range list[v1alpha1.Cluster](r.watcher.clusters) {
		ref := clusterRef(c.Name)
		r.conditions[ref] = c.Status.Conditions
		if err := r.writer.known(ref, ourPart(c.Status)); err != nil {
			return err
		}
	}
	for _, s := range list[v1alpha1.GitSource](r.watcher.sources) {
		ref := sourceRef(s.Namespace, s.Name)
		r.conditions[ref] = s.Status.Conditions
		if err := r.writer.known(ref, s.Status); err != nil {
			return err
		}
	}
	for _, c := range list[v1alpha1.Config](r.watcher.configs) {
		ref := configRef(c.Name)
		r.conditions[ref] = c.Status.Conditions
		if err := r.writer.known(ref, c.Status); err != nil {
			return err
		}
	}
	return nil
}

// ourPart is what we write of a Cluster's status: external scores are someone else's.
func ourPart(s v1alpha1.ClusterStatus) v1alpha1.ClusterStatus {
	s.ExternalScores, s.RemedyActions = nil, nil
	return s
}

func (r *reporter) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// observe takes the latest cycle of the engine.
func (r *reporter) observe(c engine.Cycle) {
	r.mu.Lock()
	r.cycle = &c
	for _, s := range c.Sources {
		r.gone[s.ID] = s.Gone
	}
	r.mu.Unlock()
	r.nudge()
}

// refuse takes what is wrong with objects that cannot be used.
func (r *reporter) refuse(problems map[reference]string) {
	r.mu.Lock()
	r.refused = problems
	r.mu.Unlock()
	r.nudge()
}

// reportInterval is the least time between two reports: a plan may follow another within milliseconds.
const reportInterval = time.Second

// run reports until ctx ends.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		if err := r.report(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "the state of the fleet was not reported", "error", err)
		}
		if err := r.finalizers(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "finalizers of GitSources were not set", "error", err)
		}
		timer := time.NewTimer(reportInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// report brings every status up to the latest cycle.
func (r *reporter) report(ctx context.Context) error {
	r.mu.Lock()
	cycle, refused := r.cycle, r.refused
	r.mu.Unlock()
	if err := r.reportConfigs(refused); err != nil {
		return err
	}
	pending, err := r.letGo(ctx)
	if err != nil {
		return err
	}
	if pending {
		r.nudge()
	}
	if cycle == nil {
		return nil
	}
	names := r.store.names()
	changed := driftOf(cycle, func(key v1alpha1.ObjectKey) bool { _, recorded := names[key]; return recorded })
	if err := r.reportSources(cycle, changed, refused); err != nil {
		return err
	}
	if err := r.reportClusters(cycle, refused); err != nil {
		return err
	}
	if err := r.reportPlacements(cycle, changed); err != nil {
		return err
	}
	return r.events(ctx, slices.Concat(r.markedProblems(), r.olderDefinitions(), cycle.Problems))
}

func configRef(name string) reference {
	ref := clusterRef(name)
	ref.resource, ref.kind = configs, v1alpha1.KindConfig
	return ref
}

func (r *reporter) reportConfigs(refused map[reference]string) error {
	for _, c := range list[v1alpha1.Config](r.watcher.configs) {
		ref := configRef(c.Name)
		v := verdict{ready: metav1.ConditionTrue, reason: "InForce", message: "the settings are in force"}
		if why := refused[ref]; why != "" {
			v = invalid(why)
		}
		if c.Name == configName {
			v.marks = r.marksOf("")
		}
		status := v1alpha1.ConfigStatus{ObservedGeneration: c.Generation, Conditions: r.next(ref, v, c.Generation)}
		if err := r.writer.want(ref, status); err != nil {
			return err
		}
	}
	return nil
}

func invalid(why string) verdict {
	return verdict{ready: metav1.ConditionFalse, reason: "Invalid", message: why, stalled: true}
}

// next returns the conditions of an object and remembers them.
func (r *reporter) next(ref reference, v verdict, generation int64) []metav1.Condition {
	r.conditions[ref] = v.conditions(r.conditions[ref], generation)
	return r.conditions[ref]
}

func (r *reporter) reportSources(cycle *engine.Cycle, changed drifted, refused map[reference]string) error {
	known := map[string]engine.SourceStatus{}
	for _, s := range cycle.Sources {
		known[s.ID] = s
	}
	blockers := map[string][]engine.Problem{}
	for _, p := range cycle.Problems {
		if p.Source != "" && p.Severity == v1alpha1.SeverityBlocker {
			blockers[p.Source] = append(blockers[p.Source], p)
		}
	}
	for _, s := range list[v1alpha1.GitSource](r.watcher.sources) {
		ref, id := sourceRef(s.Namespace, s.Name), engine.SourceID(*s)
		seen := known[id]
		v := sourceVerdict(s, seen, blockers[id])
		if why := refused[ref]; why != "" {
			v = invalid(why)
		}
		if why := r.client.older.says(); why != "" && v.ready == metav1.ConditionTrue {
			v.message += "; " + why
		}
		status := v1alpha1.GitSourceStatus{
			ObservedGeneration: s.Generation, Conditions: r.next(ref, v, s.Generation),
			Revision: seen.Revision, AppliedRevision: seen.Applied, History: seen.History, Rollout: seen.Rollout,
			Drift: summary(changed.sources[id], s.Status.Drift),
		}
		if err := r.writer.want(ref, status); err != nil {
			return err
		}
	}
	return nil
}

// sourceVerdict says how a source stands.
func sourceVerdict(s *v1alpha1.GitSource, seen engine.SourceStatus, blockers []engine.Problem) verdict {
	switch {
	case s.DeletionTimestamp != nil:
		return verdict{ready: metav1.ConditionFalse, reason: "Deleting", message: "its objects are being removed from the clusters", reconciling: true}
	case seen.Class == "stalled":
		return verdict{ready: metav1.ConditionFalse, reason: "Unreadable", message: seen.Problem, stalled: true}
	case seen.Problem != "":
		return verdict{ready: metav1.ConditionFalse, reason: "Unreachable", message: seen.Problem, reconciling: true}
	case s.Spec.Suspend && s.Spec.PinnedRevision == "":
		return verdict{ready: metav1.ConditionTrue, reason: "Suspended", message: "the repository is not followed; what is applied stays"}
	case !seen.Tried || seen.Revision == "":
		return verdict{ready: metav1.ConditionUnknown, reason: "Progressing", message: "the repository was not read yet", reconciling: true}
	case len(blockers) > 0:
		p := blockers[0]
		return verdict{
			ready: metav1.ConditionFalse, reason: "Blocked", stalled: true,
			message: fmt.Sprintf("%d problems, the first: %s", len(blockers), strings.TrimSpace(strings.Join([]string{p.Cluster, p.Object, p.At, p.Reason}, " "))),
		}
	case seen.Rollout != nil && seen.Rollout.Phase != v1alpha1.RolloutComplete:
		return verdict{ready: metav1.ConditionUnknown, reason: "RollingOut", message: seen.Rollout.Message, reconciling: true}
	case seen.Revision != seen.Applied:
		return verdict{ready: metav1.ConditionUnknown, reason: "Progressing", message: "applying " + seen.Revision, reconciling: true}
	}
	if s.Spec.PinnedRevision != "" {
		return verdict{ready: metav1.ConditionTrue, reason: "Pinned", message: "applied " + seen.Revision + ", where it is pinned; the repository is not followed"}
	}
	return verdict{ready: metav1.ConditionTrue, reason: "Applied", message: "applied " + seen.Revision}
}

func (r *reporter) reportClusters(cycle *engine.Cycle, refused map[reference]string) error {
	known := map[string]v1alpha1.Cluster{}
	for _, c := range cycle.Snapshot.Clusters {
		known[c.Name] = c
	}
	for _, c := range list[v1alpha1.Cluster](r.watcher.clusters) {
		if isLeaving(c) {
			continue
		}
		ref := clusterRef(c.Name)
		seen, planned := known[c.Name]
		v := verdict{ready: metav1.ConditionUnknown, reason: "NotProbed", message: "the cluster was not asked yet", reconciling: true}
		if ready := meta.FindStatusCondition(seen.Status.Conditions, v1alpha1.ConditionReady); planned && ready != nil {
			v = verdict{ready: ready.Status, reason: ready.Reason, message: ready.Message, since: ready.LastTransitionTime}
		}
		if why := refused[ref]; why != "" {
			v = invalid(why)
		}
		v.marks = r.marksOf(c.Name)
		status := v1alpha1.ClusterStatus{
			ObservedGeneration: c.Generation, KubernetesVersion: seen.Status.KubernetesVersion,
			APIEnablements: seen.Status.APIEnablements, NodeSummary: seen.Status.NodeSummary,
			Region: seen.Status.Region, Zones: seen.Status.Zones,
			ResourceSummary: seen.Status.ResourceSummary, Evictions: seen.Status.Evictions, ReadyHistory: seen.Status.ReadyHistory,
			Conditions: r.next(ref, v, c.Generation),
			Summary: &v1alpha1.ClusterSummary{
				Region: cmp.Or(c.Spec.Region, seen.Status.Region),
				Taints: taintWords(seen.Spec.Taints), Capacity: capacityWords(seen.Status),
			},
		}
		for _, t := range seen.Spec.Taints {
			if engine.WorthRecording(t, c.Spec.Taints) {
				status.Taints = append(status.Taints, t)
			}
		}
		if err := r.writer.want(ref, status); err != nil {
			return err
		}
	}
	return nil
}

func taintWords(taints []corev1.Taint) string {
	words := make([]string, 0, len(taints))
	for _, t := range taints {
		words = append(words, t.Key+":"+string(t.Effect))
	}
	slices.Sort(words)
	return shortened(strings.Join(words, ","), 256)
}

// capacityWords say what is allocated of what can be allocated.
func capacityWords(s v1alpha1.ClusterStatus) string {
	var words []string
	if sum := s.ResourceSummary; sum != nil {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods} {
			all, ok := sum.Allocatable[name]
			if !ok {
				continue
			}
			used := sum.Allocated[name]
			words = append(words, fmt.Sprintf("%s %s/%s", name, used.String(), all.String()))
		}
	}
	if n := s.NodeSummary; n != nil {
		words = append(words, fmt.Sprintf("nodes %d/%d", n.ReadyNum, n.TotalNum))
	}
	return strings.Join(words, ", ")
}

// finalizers puts the finalizer on sources that take their objects along, and takes it off those that have,
// or that leave them behind.
func (r *reporter) finalizers(ctx context.Context) error {
	for _, s := range list[v1alpha1.GitSource](r.watcher.sources) {
		has := slices.Contains(s.Finalizers, finalizer)
		r.mu.Lock()
		gone := r.gone[engine.SourceID(*s)]
		r.mu.Unlock()
		needs := s.Spec.DeletionPolicy == v1alpha1.DeletionPrune && (s.DeletionTimestamp == nil || has && !gone)
		if needs == has {
			continue
		}
		next := slices.DeleteFunc(slices.Clone(s.Finalizers), func(f string) bool { return f == finalizer })
		if needs {
			next = append(next, finalizer)
		}
		if err := r.writer.limiter.Wait(ctx); err != nil {
			return err
		}
		_, err := r.client.patch(ctx, sourceRef(s.Namespace, s.Name), map[string]any{
			"metadata": map[string]any{"finalizers": next, "resourceVersion": s.ResourceVersion},
		})
		if err != nil {
			return fmt.Errorf("GitSource %q: %w", s.Namespace+"/"+s.Name, err)
		}
	}
	return nil
}
