package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// finalizer holds a GitSource that takes its objects along until they are gone.
const finalizer = "armada-sync.io/prune"

// configName is the name of the Config that counts.
const configName = "default"

// watcher keeps the hub's objects at hand and makes the engine's configuration of them.
type watcher struct {
	client    *client
	namespace string
	sources   cache.SharedIndexInformer
	clusters  cache.SharedIndexInformer
	configs   cache.SharedIndexInformer
	// changed tells that the configuration may be another one, stirred the same to whoever discovers clusters,
	// and rotated to whoever renews tokens.
	changed, stirred, rotated chan struct{}
	// foreign watches how other systems describe clusters; discovering is what it was last asked to look at.
	foreign     *foreign
	discovering atomic.Pointer[v1alpha1.DiscoveryConfig]

	mu sync.Mutex
	// secrets are informers of metadata, by namespace.
	secrets map[string]cache.SharedIndexInformer
	// last are the last usable forms by "resource/namespace/name".
	last    map[string]any
	running sync.WaitGroup
	// notFollowed is why some kinds are not watched.
	notFollowed map[foreignKey]error
}

func newWatcher(c *client, namespace string) *watcher {
	w := &watcher{
		client: c, namespace: namespace, changed: make(chan struct{}, 1), stirred: make(chan struct{}, 1), rotated: make(chan struct{}, 1),
		sources: c.informer(gitSources, &v1alpha1.GitSource{}), clusters: c.informer(clusters, &v1alpha1.Cluster{}),
		configs: c.informer(configs, &v1alpha1.Config{}),
		secrets: map[string]cache.SharedIndexInformer{}, last: map[string]any{},
	}
	w.foreign = newForeign(c, &w.running, w.nudge)
	return w
}

// start watches until ctx ends, and returns when everything was listed once.
func (w *watcher) start(ctx context.Context) error {
	for _, i := range []cache.SharedIndexInformer{w.sources, w.clusters, w.configs} {
		// Our own writes of statuses are no news.
		_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.nudge() },
			DeleteFunc: func(any) { w.nudge() },
			UpdateFunc: func(before, after any) {
				if !sameWish(before, after) {
					w.nudge()
				}
			},
		})
		if err != nil {
			return err
		}
		w.running.Go(func() { i.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), w.sources.HasSynced, w.clusters.HasSynced, w.configs.HasSynced) {
		return fmt.Errorf("list the hub's objects: %w", context.Cause(ctx))
	}
	return w.followSecrets(ctx)
}

// wait returns when watching has ended.
func (w *watcher) wait() { w.running.Wait() }

func (w *watcher) nudge() {
	for _, c := range []chan struct{}{w.changed, w.stirred, w.rotated} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// sameWish tells that two versions of an object ask for the same.
func sameWish(before, after any) bool {
	a, okA := before.(metav1.Object)
	b, okB := after.(metav1.Object)
	if !okA || !okB || a.GetGeneration() != b.GetGeneration() || !maps.Equal(a.GetLabels(), b.GetLabels()) ||
		!maps.Equal(a.GetAnnotations(), b.GetAnnotations()) || !slices.Equal(a.GetFinalizers(), b.GetFinalizers()) ||
		(a.GetDeletionTimestamp() == nil) != (b.GetDeletionTimestamp() == nil) {
		return false
	}
	c, isCluster := before.(*v1alpha1.Cluster)
	d, _ := after.(*v1alpha1.Cluster)
	return !isCluster || maps.Equal(c.Status.ExternalScores, d.Status.ExternalScores)
}

// followSecrets watches the metadata of the Secrets in every namespace that is referred to.
func (w *watcher) followSecrets(ctx context.Context) error {
	wanted := map[string]bool{w.namespace: true}
	for _, s := range list[v1alpha1.GitSource](w.sources) {
		if s.Spec.SecretRef != nil || s.Spec.Decryption != nil && s.Spec.Decryption.SecretRef != nil {
			wanted[s.Namespace] = true
		}
	}
	for _, c := range list[v1alpha1.Cluster](w.clusters) {
		if r := c.Spec.SecretRef; r != nil && r.Namespace != "" {
			wanted[r.Namespace] = true
		}
	}
	// Whoever discovers clusters looks again when these were listed.
	for _, ns := range w.discoveryNamespaces() {
		if _, awaited := wanted[ns]; !awaited {
			wanted[ns] = false
		}
	}
	for ns, wait := range wanted {
		w.mu.Lock()
		_, known := w.secrets[ns]
		w.mu.Unlock()
		if known {
			continue
		}
		i := metadatainformer.NewFilteredMetadataInformer(w.client.metadata, corev1.SchemeGroupVersion.WithResource("secrets"), ns, 0, cache.Indexers{}, nil).Informer()
		_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: w.secretChanged, UpdateFunc: func(_, after any) { w.secretChanged(after) }, DeleteFunc: w.secretChanged,
		})
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.secrets[ns] = i
		w.mu.Unlock()
		w.running.Go(func() { i.RunWithContext(ctx) })
		if !wait {
			continue
		}
		// A namespace whose Secrets may not be read concerns those that refer to it alone.
		synced, cancel := context.WithTimeout(ctx, secretsTimeout)
		cache.WaitForCacheSync(synced.Done(), i.HasSynced)
		cancel()
	}
	return nil
}

// secretChanged leaves our own journal out, which nobody refers to.
func (w *watcher) secretChanged(o any) {
	if !isJournal(o) {
		w.nudge()
	}
}

// secretsTimeout is how long the first list of a namespace's Secrets is waited for.
const secretsTimeout = 5 * time.Second

// version tells versions of a Secret apart; empty where it is not there.
func (w *watcher) version(namespace, name string) string {
	w.mu.Lock()
	i := w.secrets[namespace]
	w.mu.Unlock()
	if i == nil {
		return ""
	}
	o, exists, err := i.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return ""
	}
	m, ok := o.(metav1.Object)
	if !ok {
		return ""
	}
	return string(m.GetUID()) + "/" + m.GetResourceVersion()
}

// secret reads one Secret from the API server.
func (w *watcher) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s, err := w.client.core.Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", namespace+"/"+name, err)
	}
	return s.Data, nil
}

// list returns what an informer holds.
func list[T any](i cache.SharedIndexInformer) []*T {
	var all []*T
	for _, o := range i.GetStore().List() {
		if t, ok := o.(*T); ok {
			all = append(all, t)
		}
	}
	return all
}

// configuration is what the hub's objects ask for, and what is wrong with those that cannot be used, by
// object. An object that was usable before stays in its last usable form.
func (w *watcher) configuration(ctx context.Context) (engine.Configuration, map[reference]string, error) {
	if err := w.followSecrets(ctx); err != nil {
		return engine.Configuration{}, nil, err
	}
	c := engine.Configuration{Name: configName, SourceCredentials: map[string]string{}, ClusterCredentials: map[string]string{}}
	problems := map[reference]string{}
	c.Config.SetDefaults()
	for _, o := range list[v1alpha1.Config](w.configs) {
		ref := reference{configs, v1alpha1.KindConfig, types.NamespacedName{Name: o.Name}}
		if o.Name != configName {
			problems[ref] = fmt.Sprintf("the Config of a hub is named %q; this one has no effect", configName)
			continue
		}
		if used, ok := usable(w, ref, o, o.ObjectMeta, o.Spec, problems); ok {
			c.Config = used.Spec
			w.keepRules(ref, &c.Config, problems)
		}
	}
	w.followDiscovery(ctx, c.Config.Discovery)
	for _, o := range list[v1alpha1.GitSource](w.sources) {
		w.addSource(&c, o, problems)
	}
	for _, o := range list[v1alpha1.Cluster](w.clusters) {
		ref := clusterRef(o.Name)
		if isLeaving(o) {
			continue
		}
		used, ok := usable(w, ref, o, o.ObjectMeta, o.Spec, problems)
		if !ok {
			continue
		}
		used.DeletionTimestamp = o.DeletionTimestamp
		used.Status = v1alpha1.ClusterStatus{ExternalScores: o.Status.ExternalScores}
		c.Clusters = append(c.Clusters, *used)
		if r := used.Spec.SecretRef; r != nil {
			c.ClusterCredentials[o.Name] = w.version(w.namespaceOf(r), r.Name)
		}
		if r := used.Spec.ClusterProfileRef; r != nil {
			c.ClusterCredentials[o.Name] = w.accessVersion(*r)
		}
	}
	slices.SortFunc(c.Sources, func(a, b v1alpha1.GitSource) int { return strings.Compare(engine.SourceID(a), engine.SourceID(b)) })
	slices.SortFunc(c.Clusters, func(a, b v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(c.Unusable)
	return c, problems, nil
}

// keepRules lets health rules stay as they were while what the Config says does not compile.
func (w *watcher) keepRules(ref reference, c *v1alpha1.ConfigSpec, problems map[reference]string) {
	const key = "health rules"
	// The controller makes no use of a preview's rules; whoever wrote them learns here what is wrong.
	if failed := plan.CheckRules(c.Plan.Rules); len(failed) > 0 {
		problems[ref] = failed[0].Error()
	}
	if err := engine.CheckRules(*c); err != nil {
		problems[ref] = strings.ReplaceAll(err.Error(), "\n", "; ")
		c.Health.Rules, _ = w.last[key].([]v1alpha1.HealthRule)
		return
	}
	w.last[key] = c.Health.Rules
}

func (w *watcher) addSource(c *engine.Configuration, o *v1alpha1.GitSource, problems map[reference]string) {
	if o.DeletionTimestamp != nil && (o.Spec.DeletionPolicy != v1alpha1.DeletionPrune || !slices.Contains(o.Finalizers, finalizer)) {
		return
	}
	ref := sourceRef(o.Namespace, o.Name)
	used, ok := usable(w, ref, o, o.ObjectMeta, o.Spec, problems)
	if !ok {
		c.Unusable = append(c.Unusable, engine.SourceID(*o))
		return
	}
	// An invalid form does not hide that the source is being deleted.
	used.DeletionTimestamp = o.DeletionTimestamp
	c.Sources = append(c.Sources, *used)
	if r := used.Spec.SecretRef; r != nil {
		c.SourceCredentials[engine.SourceID(*o)] = w.version(o.Namespace, r.Name)
	}
	if d := used.Spec.Decryption; d != nil && d.SecretRef != nil {
		c.SourceCredentials[engine.SourceID(*o)] += " " + w.version(o.Namespace, d.SecretRef.Name)
	}
}

func sourceRef(namespace, name string) reference {
	return reference{gitSources, v1alpha1.KindGitSource, types.NamespacedName{Namespace: namespace, Name: name}}
}

func clusterRef(name string) reference {
	return reference{clusters, v1alpha1.KindCluster, types.NamespacedName{Name: name}}
}

// namespaceOf is where the Secret of a cluster is.
func (w *watcher) namespaceOf(r *v1alpha1.SecretReference) string {
	if r.Namespace == "" {
		return w.namespace
	}
	return r.Namespace
}

// errNotOurs cannot happen: a decoder gives back the kind that it was given.
var errNotOurs = errors.New("the object was decoded as another kind")

// usable decodes an object as a document in a file would be, with the same defaults and the same validation.
// Where that fails, the reason is among the problems and the last usable form is returned, if there was one.
func usable[T any](w *watcher, ref reference, o *T, meta metav1.ObjectMeta, spec any, problems map[reference]string) (*T, bool) {
	key := ref.resource + "/" + ref.String()
	found, err := decode(o, ref.kind, meta, spec)
	if err == nil {
		w.last[key] = found
		again := *found
		return &again, true
	}
	problems[ref] = err.Error()
	if last, ok := w.last[key].(*T); ok {
		again := *last
		return &again, true
	}
	return nil, false
}

// keptMeta drops what is server-side bookkeeping from an object's metadata, so that the same wish reads the same.
func keptMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	annotations := maps.Clone(m.Annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	if len(annotations) == 0 {
		annotations = nil
	}
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, Labels: m.Labels, Annotations: annotations}
}

func decode[T any](_ *T, kind string, meta metav1.ObjectMeta, spec any) (*T, error) {
	kept := keptMeta(meta)
	content := map[string]any{"name": kept.Name}
	if kept.Namespace != "" {
		content["namespace"] = kept.Namespace
	}
	if len(kept.Labels) > 0 {
		content["labels"] = kept.Labels
	}
	if len(kept.Annotations) > 0 {
		content["annotations"] = kept.Annotations
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": kind, "metadata": content, "spec": spec,
	})
	if err != nil {
		return nil, err
	}
	docs, found := v1alpha1.DecodeStream("", data)
	var typed any
	if len(docs) == 1 {
		var more []v1alpha1.Problem
		typed, more = docs[0].Typed()
		found = append(found, more...)
	}
	var errs []string
	for _, p := range found {
		if p.Severity == v1alpha1.SeverityBlocker {
			p.Position = v1alpha1.Position{}
			errs = append(errs, p.Error())
		}
	}
	if len(errs) > 0 {
		return nil, errors.New(strings.Join(errs, "; "))
	}
	value, ok := typed.(*T)
	if !ok {
		return nil, errNotOurs
	}
	return value, nil
}

// sameConfiguration tells that an engine need not be told.
func sameConfiguration(a, b engine.Configuration) bool { return equality.Semantic.DeepEqual(a, b) }
