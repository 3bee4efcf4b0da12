package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// errNotServed tells that the cluster serves no such kind.
var errNotServed = errors.New("the cluster does not serve this kind")

// resource is how a kind is addressed.
type resource struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
	// listable tells that the kind has objects that can be listed and watched.
	listable bool
	// hasStatus tells that the kind keeps its status apart, in a subresource.
	hasStatus bool
}

// path returns the URL path of an object.
func (r resource) path(namespace, name string) string {
	return r.collection(namespace) + "/" + name
}

// collection returns the URL path of the objects of a namespace, or of all for an empty one.
func (r resource) collection(namespace string) string {
	var b strings.Builder
	if r.Group == "" {
		b.WriteString("/api/" + r.Version)
	} else {
		b.WriteString("/apis/" + r.Group + "/" + r.Version)
	}
	if r.namespaced && namespace != "" {
		b.WriteString("/namespaces/" + namespace)
	}
	b.WriteString("/" + r.Resource)
	return b.String()
}

// mapper knows the kinds that a cluster serves. It asks once and again when told to, keeps what a
// group said last while its discovery fails, and learns the kinds of our own CRDs from their
// definitions, before discovery lists them.
type mapper struct {
	discovery *discovery.DiscoveryClient
	// changed is called without the lock when the served kinds did.
	changed func()

	// refreshing joins those who want a refresh at the same time.
	refreshing singleflight.Group

	mu       sync.RWMutex
	loaded   bool
	served   map[schema.GroupKind][]resource // in the server's order of preference
	failed   map[string]string               // group → why its discovery failed
	learned  map[string]learnedKind          // by the name of the CRD
	enabling []v1alpha1.APIEnablement
}

// learnedKind is what a CRD says about its kind.
type learnedKind struct {
	gk        schema.GroupKind
	resources []resource
}

// lookup returns how to address a kind in the version given, or in the preferred one if it is empty.
// errNotServed is certain; any other error means not known.
func (m *mapper) lookup(gk schema.GroupKind, version string) (resource, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.loaded {
		return resource{}, errors.New("the kinds of the cluster are not known yet")
	}
	candidates := m.served[gk]
	for _, l := range m.learned {
		if l.gk == gk {
			candidates = append(slices.Clone(candidates), l.resources...)
		}
	}
	for _, r := range candidates {
		if version == "" || r.Version == version {
			return r, nil
		}
	}
	if why, failed := m.failed[gk.Group]; failed {
		return resource{}, fmt.Errorf("discovery of group %q fails: %s", gk.Group, why)
	}
	if len(candidates) > 0 {
		return resource{}, fmt.Errorf("%w in version %q", errNotServed, version)
	}
	return resource{}, errNotServed
}

// refresh asks the cluster for its kinds.
func (m *mapper) refresh(ctx context.Context) error {
	_, err, _ := m.refreshing.Do("", func() (any, error) { return nil, m.discover(ctx) })
	return err
}

func (m *mapper) discover(ctx context.Context) error {
	groups, lists, err := m.discovery.ServerGroupsAndResourcesWithContext(ctx)
	failures, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return fmt.Errorf("discover the kinds of the cluster: %w", err)
	}
	served := servedKinds(groups, lists)
	if len(served[schema.GroupKind{Kind: "Namespace"}]) == 0 {
		return errors.New("discover the kinds of the cluster: the answer lacks Namespace, so nothing in it can be believed")
	}
	failed := map[string]string{}
	for gv, e := range failures {
		failed[gv.Group] = e.Error()
	}
	m.mu.Lock()
	for gk, rs := range m.served {
		// A group whose server is down keeps its kinds: what is not known is not gone.
		if _, down := failed[gk.Group]; down && served[gk] == nil {
			served[gk] = rs
		}
	}
	enabling := enablements(served)
	same := m.loaded && slices.EqualFunc(enabling, m.enabling, sameEnablement)
	m.loaded, m.served, m.failed, m.enabling = true, served, failed, enabling
	m.mu.Unlock()
	if !same {
		m.changed()
	}
	return nil
}

// learn takes the kind of a CRD that is established; forget takes it back.
func (m *mapper) learn(crd string, kind learnedKind) {
	m.mu.Lock()
	_, known := m.learned[crd]
	if m.learned == nil {
		m.learned = map[string]learnedKind{}
	}
	m.learned[crd] = kind
	m.mu.Unlock()
	if !known {
		m.changed()
	}
}

func (m *mapper) forget(crd string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.learned, crd)
}

// enablements returns the served kinds, sorted; false while they are not known.
func (m *mapper) enablements() ([]v1alpha1.APIEnablement, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.enabling, m.loaded
}

// failures returns one line for each group whose discovery fails.
func (m *mapper) failures() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []string
	for group, why := range m.failed {
		out = append(out, fmt.Sprintf("discovery of group %q fails: %s", group, why))
	}
	return out
}

// isDown tells that the kind's group is one that an extension API server serves, and that its discovery fails.
// Groups of Kubernetes itself do not fail alone.
func (m *mapper) isDown(gk schema.GroupKind) bool {
	if !strings.Contains(gk.Group, ".") || strings.HasSuffix(gk.Group, ".k8s.io") {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, failed := m.failed[gk.Group]
	return failed
}

// all returns the preferred resource of every kind that can be listed.
func (m *mapper) all() []resource {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []resource
	for _, rs := range m.served {
		if rs[0].listable {
			out = append(out, rs[0])
		}
	}
	slices.SortFunc(out, func(a, b resource) int {
		return strings.Compare(a.String(), b.String())
	})
	return out
}

// servedKinds indexes what discovery says, the preferred version of each group first.
func servedKinds(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) map[schema.GroupKind][]resource {
	preferred := map[string]string{}
	for _, g := range groups {
		preferred[g.Name] = g.PreferredVersion.Version
	}
	served := map[schema.GroupKind][]resource{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		withStatus := map[string]bool{}
		for _, r := range list.APIResources {
			if resource, found := strings.CutSuffix(r.Name, "/status"); found {
				withStatus[resource] = true
			}
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			gk := schema.GroupKind{Group: gv.Group, Kind: r.Kind}
			entry := resource{
				GroupVersionResource: gv.WithResource(r.Name), kind: r.Kind, namespaced: r.Namespaced,
				listable:  slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch"),
				hasStatus: withStatus[r.Name],
			}
			if preferred[gv.Group] == gv.Version {
				served[gk] = slices.Insert(served[gk], 0, entry)
			} else {
				served[gk] = append(served[gk], entry)
			}
		}
	}
	return served
}

// enablements lists served kinds by group and version, as the status of a Cluster does.
func enablements(served map[schema.GroupKind][]resource) []v1alpha1.APIEnablement {
	byVersion := map[string][]v1alpha1.APIResource{}
	for _, rs := range served {
		for _, r := range rs {
			gv := r.GroupVersion().String()
			byVersion[gv] = append(byVersion[gv], v1alpha1.APIResource{Name: r.Resource, Kind: r.kind, Namespaced: &r.namespaced})
		}
	}
	out := make([]v1alpha1.APIEnablement, 0, len(byVersion))
	for gv, resources := range byVersion {
		slices.SortFunc(resources, func(a, b v1alpha1.APIResource) int { return strings.Compare(a.Name, b.Name) })
		out = append(out, v1alpha1.APIEnablement{GroupVersion: gv, Resources: resources})
	}
	slices.SortFunc(out, func(a, b v1alpha1.APIEnablement) int { return strings.Compare(a.GroupVersion, b.GroupVersion) })
	return out
}

func sameEnablement(a, b v1alpha1.APIEnablement) bool {
	return a.GroupVersion == b.GroupVersion && slices.EqualFunc(a.Resources, b.Resources, func(x, y v1alpha1.APIResource) bool {
		return x.Name == y.Name && x.Kind == y.Kind && *x.Namespaced == *y.Namespaced
	})
}

// groupKind parses kubectl's spelling "Kind.group" or "Kind".
func groupKind(s string) schema.GroupKind { return schema.ParseGroupKind(s) }
