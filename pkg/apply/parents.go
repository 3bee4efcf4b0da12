package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// ErrForeignApplySet tells that the Secret which should be the parent of one of our ApplySets belongs
// to another hub or tool, so that nothing of the source is written.
var ErrForeignApplySet = errors.New("the ApplySet is not ours")

var (
	secretResource = resource{
		GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, kind: "Secret", namespaced: true, listable: true,
	}
	secretKind = kindID{GroupKind: schema.GroupKind{Kind: "Secret"}, apiVersion: "v1"}
)

// parent is what is known of the Secret at the head of one ApplySet.
type parent struct {
	uid, resourceVersion string
	hub, tooling         string
	// id is the label by which the set is found.
	id, source string
	groupKinds []string
	namespaces []string
}

// parents knows the heads of all ApplySets on a member, those of others included.
type parents struct {
	mu     sync.Mutex
	byName map[string]parent
	synced bool
	// seen is the resource version up to which the watch has told.
	seen    string
	changed signal
}

func newParents() *parents { return &parents{byName: map[string]parent{}} }

// parentOf reads a parent's metadata.
func parentOf(o *observed) parent {
	a := o.annotations
	return parent{
		uid: string(o.uid), resourceVersion: o.resourceVersion, hub: a[v1alpha1.AnnotationHub], tooling: a[annotationTooling],
		id: o.labels[labelSetID], source: a[v1alpha1.AnnotationSource], groupKinds: splitList(a[annotationGroupKinds]), namespaces: splitList(a[annotationNamespaces]),
	}
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// ours tells whether a parent belongs to this hub.
func (p parent) ours(hubID string) bool { return p.hub == hubID && p.tooling == Tooling }

func (p *parents) get(name string) (parent, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	got, ok := p.byName[name]
	return got, ok
}

// put takes in a parent unless something newer is known of it, and tells whether it did.
func (p *parents) put(name string, got parent) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.byName[name]
	if ok && old.uid == got.uid && !newer(got.resourceVersion, old.resourceVersion) {
		return false
	}
	p.byName[name] = got
	return true
}

func (p *parents) remove(name, uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName[name].uid == uid {
		delete(p.byName, name)
	}
}

// otherHubs tells whether another hub has an ApplySet on the member.
func (p *parents) otherHubs(hubID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.byName {
		if known.tooling == Tooling && known.hub != hubID {
			return true
		}
	}
	return false
}

func (p *parents) isSynced() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.synced
}

func (p *parents) setSynced(synced bool) {
	p.mu.Lock()
	p.synced = synced
	p.mu.Unlock()
	p.changed.fire()
}

// parentStore takes in what the watch of the parents says.
type parentStore struct{ m *Member }

// Add takes in a parent and begins to watch the kinds that it lists.
func (s parentStore) Add(obj any) error {
	meta, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("watch ApplySets: unexpected %T", obj)
	}
	o := fromMetadata(secretKind, meta)
	got := parentOf(o)
	if s.m.parents.put(meta.Name, got) && got.ours(s.m.opts.HubID) {
		s.m.adoptParent(meta.Name, got)
		s.m.mendSoon()
	}
	return nil
}

// Update takes in a parent.
func (s parentStore) Update(obj any) error { return s.Add(obj) }

// Delete forgets a parent. Its objects stay ours, and it comes back where there are any.
func (s parentStore) Delete(obj any) error {
	if meta, ok := obj.(*metav1.PartialObjectMetadata); ok {
		s.m.parents.remove(meta.Name, string(meta.UID))
		s.m.mendSoon()
	}
	return nil
}

// heard takes in how far the watch is, and tells whether that is before what was told already.
func (s parentStore) heard(resourceVersion string) (rewound bool) {
	p := s.m.parents
	p.mu.Lock()
	defer p.mu.Unlock()
	if older(resourceVersion, p.seen) {
		return true
	}
	p.seen = resourceVersion
	return false
}

// relisted forgets everything when a list is older than what was told already: the cluster was restored
// from a backup.
func (p *parents) relisted(listVersion string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if older(listVersion, p.seen) {
		clear(p.byName)
	}
	p.seen = listVersion
}

// Replace takes in the whole list. A parent that it lacks is looked for by name before it is written again.
func (s parentStore) Replace(items []any, listVersion string) error {
	s.m.parents.relisted(listVersion)
	listed := map[string]bool{}
	for _, item := range items {
		if err := s.Add(item); err != nil {
			return err
		}
		if meta, ok := item.(*metav1.PartialObjectMetadata); ok {
			listed[meta.Name] = true
		}
	}
	s.m.parents.mu.Lock()
	maps.DeleteFunc(s.m.parents.byName, func(name string, _ parent) bool { return !listed[name] })
	s.m.parents.mu.Unlock()
	s.m.parents.setSynced(true)
	s.m.mendSoon()
	s.m.changed()
	return nil
}

// Resync does nothing.
func (parentStore) Resync() error { return nil }

// adoptParent begins to watch what a parent of this hub lists.
func (m *Member) adoptParent(name string, p parent) {
	source := m.sourceName(p.source)
	if source == "" {
		source = strings.TrimSuffix(strings.TrimPrefix(name, "armada-"), "-"+m.opts.HubID)
	}
	m.state.know(SetID(name), source)
	for _, gk := range p.groupKinds {
		m.state.require(groupKind(gk), false)
		m.want(groupKind(gk))
	}
}

// writeParent makes the parent of a set list exactly these kinds and namespaces (sorted, unique), and
// sends nothing where it already does. Nothing at all removes the parent.
func (m *Member) writeParent(ctx context.Context, r *run, set plan.ApplySet) error {
	name := m.parentName(set.Source)
	for attempt := 0; ; attempt++ {
		known, exists := m.parents.get(name)
		if exists && !known.ours(m.opts.HubID) {
			return fmt.Errorf("%w: Secret %s/%s belongs to hub %q and tool %q; remove it if that hub is gone",
				ErrForeignApplySet, SystemNamespace, name, known.hub, known.tooling)
		}
		namespaces := slices.DeleteFunc(slices.Clone(set.Namespaces), func(ns string) bool { return ns == SystemNamespace })
		asWritten := known.id == SetID(name) && known.source == m.sourceRef(set.Source)
		if exists && asWritten && slices.Equal(known.groupKinds, set.GroupKinds) && slices.Equal(known.namespaces, namespaces) ||
			!exists && len(set.GroupKinds) == 0 {
			return nil
		}
		err := m.sendParent(ctx, r, name, known, plan.ApplySet{Source: set.Source, GroupKinds: set.GroupKinds, Namespaces: namespaces})
		switch {
		case err == nil:
			return nil
		case attempt >= maxAttempts:
			return fmt.Errorf("write ApplySet %q: %w", name, err)
		case missingNamespace(err) != "":
			err = m.ensureNamespace(ctx, r, SystemNamespace, "")
		case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
			err = m.readParent(ctx, name)
		}
		if err != nil {
			return fmt.Errorf("write ApplySet %q: %w", name, err)
		}
	}
}

// sendParent writes or removes a parent, on condition that it is as known.
func (m *Member) sendParent(ctx context.Context, r *run, name string, known parent, set plan.ApplySet) error {
	if len(set.GroupKinds) == 0 {
		body, err := deleteOptions(known.uid, known.resourceVersion, metav1.DeletePropagationBackground)
		if err != nil {
			return err
		}
		_, err = r.write(ctx, call{
			verb: "delete", method: http.MethodDelete, path: secretResource.path(SystemNamespace, name),
			accept: acceptMetadata, contentType: acceptJSON, body: body,
		})
		if err == nil || apierrors.IsNotFound(err) {
			m.parents.remove(name, known.uid)
			return nil
		}
		return err
	}
	version := known.resourceVersion
	if version == "" {
		version = absentVersion
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{
			"namespace": SystemNamespace, "name": name, "resourceVersion": version,
			"labels": map[string]string{labelSetID: SetID(name)},
			"annotations": map[string]string{
				annotationTooling:         Tooling,
				annotationGroupKinds:      strings.Join(set.GroupKinds, ","),
				annotationNamespaces:      strings.Join(set.Namespaces, ","),
				v1alpha1.AnnotationHub:    m.opts.HubID,
				v1alpha1.AnnotationSource: m.sourceRef(set.Source),
			},
		},
	})
	if err != nil {
		return err
	}
	ans, err := r.write(ctx, call{
		verb: "apply", method: http.MethodPatch, path: secretResource.path(SystemNamespace, name),
		query:  url.Values{"fieldManager": {FieldManager}, "force": {"true"}},
		accept: acceptMetadata, contentType: contentApply, body: body,
	})
	if err != nil {
		return err
	}
	o, err := fromAnswer(secretKind, ans.body)
	if err != nil || o == nil {
		return err
	}
	m.parents.put(name, parentOf(o))
	return nil
}

// readParent looks at a parent by name after a write was refused because it is not as known.
func (m *Member) readParent(ctx context.Context, name string) error {
	ans, err := m.client.do(ctx, call{
		verb: "get", method: http.MethodGet, path: secretResource.path(SystemNamespace, name), accept: acceptMetadata,
	})
	if apierrors.IsNotFound(err) {
		m.parents.mu.Lock()
		delete(m.parents.byName, name)
		m.parents.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	o, err := fromAnswer(secretKind, ans.body)
	if err != nil || o == nil {
		return err
	}
	m.parents.mu.Lock()
	m.parents.byName[name] = parentOf(o)
	m.parents.mu.Unlock()
	return nil
}

// parentName is the name of the parent of a source's set.
func (m *Member) parentName(source string) string {
	return ParentName(m.sourceName(source), m.opts.HubID)
}

// sourceRef is a source's name as the annotation spells it; sourceName is its inverse, the name as
// plans spell it.
func (m *Member) sourceRef(source string) string {
	if strings.Contains(source, "/") {
		return source
	}
	return m.opts.SourceNamespace + "/" + source
}

func (m *Member) sourceName(ref string) string {
	return strings.TrimPrefix(ref, m.opts.SourceNamespace+"/")
}
