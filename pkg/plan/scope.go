package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// scope says whether objects of a kind live in namespaces.
type scope int

const (
	scopeUnknown scope = iota
	scopeNamespaced
	scopeCluster
)

type groupKind struct{ group, kind string }

// clusterKinds are the built-in kinds that live in no namespace; every other kind of a built-in
// group lives in one. From the discovery of Kubernetes 1.36.
var clusterKinds = map[groupKind]bool{
	{"", "Namespace"}:        true,
	{"", "Node"}:             true,
	{"", "PersistentVolume"}: true,
	{"", "ComponentStatus"}:  true,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicy"}:          true,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"}:   true,
	{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:     true,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"}:        true,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"}: true,
	{"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"}:   true,
	{"apiextensions.k8s.io", "CustomResourceDefinition"}:                 true,
	{"apiregistration.k8s.io", "APIService"}:                             true,
	{"authentication.k8s.io", "SelfSubjectReview"}:                       true,
	{"authentication.k8s.io", "TokenReview"}:                             true,
	{"authorization.k8s.io", "SelfSubjectAccessReview"}:                  true,
	{"authorization.k8s.io", "SelfSubjectRulesReview"}:                   true,
	{"authorization.k8s.io", "SubjectAccessReview"}:                      true,
	{"certificates.k8s.io", "CertificateSigningRequest"}:                 true,
	{"certificates.k8s.io", "ClusterTrustBundle"}:                        true,
	{"flowcontrol.apiserver.k8s.io", "FlowSchema"}:                       true,
	{"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"}:       true,
	{"internal.apiserver.k8s.io", "StorageVersion"}:                      true,
	{"networking.k8s.io", "IngressClass"}:                                true,
	{"networking.k8s.io", "IPAddress"}:                                   true,
	{"networking.k8s.io", "ServiceCIDR"}:                                 true,
	{"node.k8s.io", "RuntimeClass"}:                                      true,
	{"rbac.authorization.k8s.io", "ClusterRole"}:                         true,
	{"rbac.authorization.k8s.io", "ClusterRoleBinding"}:                  true,
	{"resource.k8s.io", "DeviceClass"}:                                   true,
	{"resource.k8s.io", "DeviceTaintRule"}:                               true,
	{"resource.k8s.io", "ResourceSlice"}:                                 true,
	{"scheduling.k8s.io", "PriorityClass"}:                               true,
	{"storage.k8s.io", "CSIDriver"}:                                      true,
	{"storage.k8s.io", "CSINode"}:                                        true,
	{"storage.k8s.io", "StorageClass"}:                                   true,
	{"storage.k8s.io", "VolumeAttachment"}:                               true,
	{"storage.k8s.io", "VolumeAttributesClass"}:                          true,
	{"storagemigration.k8s.io", "StorageVersionMigration"}:               true,
}

// builtInGroups are the API groups that every cluster serves itself.
var builtInGroups = map[string]bool{
	"": true, "apps": true, "autoscaling": true, "batch": true, "policy": true,
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true,
	"authentication.k8s.io": true, "authorization.k8s.io": true, "certificates.k8s.io": true,
	"coordination.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "internal.apiserver.k8s.io": true, "networking.k8s.io": true,
	"node.k8s.io": true, "rbac.authorization.k8s.io": true, "resource.k8s.io": true,
	"scheduling.k8s.io": true, "storage.k8s.io": true, "storagemigration.k8s.io": true,
}

// scopes knows the scope of kinds that are not built in.
type scopes map[groupKind]scope

// of returns the scope of a kind.
func (s scopes) of(group, kind string) scope {
	gk := groupKind{group, kind}
	switch {
	case clusterKinds[gk]:
		return scopeCluster
	case builtInGroups[group]:
		return scopeNamespaced
	}
	return s[gk]
}

// item is one object of Git on its way through the plan.
type item struct {
	render.Object
	ref    v1alpha1.ObjectReference
	key    v1alpha1.ObjectKey
	source *Source
	// owner is the policy that the object belongs to; nil: none claims it.
	owner *policy
	// entry is the decision about it; nil without an owner.
	entry *PlacementEntry
	// hold, where set, is why the object stays as it is wherever it is held: the detail of gate held.
	hold string
	// denied is why its source, a tenant's, may not declare it; empty: it may.
	denied string
	// removalHold is why copies that are not wanted stay.
	removalHold string
	// targets are where it goes, by cluster.
	targets []target
	// stay is why it stays where it would have to leave for now; evicted are the clusters that it leaves
	// with this plan by an eviction.
	stay    string
	evicted []string
	// leftOn are the clusters that keep an old copy since its policy says so.
	leftOn []string
	// awaits says of clusters that its new copy there waits until an old one is gone.
	awaits []v1alpha1.ClusterMessage
	// preserved are values of old copies that copies of it carry.
	preserved []v1alpha1.PreservedState
	// scaler is the autoscaler that owns its replicas, nil without one.
	scaler *item
	facts  placement.Extracted
	// lent are the fields that are sent with a create alone.
	lent []lentField
	// leftTo are the managers that the source leaves fields to, nil for none.
	leftTo map[string]bool
	traits *traits
	// copies are what clusters hold of it, by cluster.
	copies []copyOn
}

// copyOn is what one cluster holds of an item.
type copyOn struct {
	cluster int
	held    *Held
}

// copyOn returns what a cluster holds of the item, nil for nothing.
func (it *item) copyOn(cluster int) *Held {
	at, found := slices.BinarySearchFunc(it.copies, cluster, func(o copyOn, cluster int) int { return o.cluster - cluster })
	if !found {
		return nil
	}
	return it.copies[at].held
}

// held returns what a cluster holds of the item.
func (it *item) held(cluster int) (Held, bool) {
	if h := it.copyOn(cluster); h != nil {
		return *h, true
	}
	return Held{}, false
}

// target is one cluster that an object goes to.
type target struct {
	cluster int
	// replicas is the share; nil where there is none.
	replicas *int64
	// completions is the share of a Job's completions.
	completions *int64
	// suspended: the policy holds everything back there.
	suspended bool
	// adopt: an existing object that is not ours is taken over.
	adopt bool
	// settled: the cluster holds the desired version.
	settled  bool
	rendered *variant
	// lent are the fields that are not ours there: those of the item, and those that someone else has to
	// whom the source leaves them.
	lent []lentField
	// denied is why the version for this cluster must not be applied: the bounds of a tenant.
	denied string
}

// resolveScopes fills in the namespace of every object and sorts the declarations by key.
func (c *computation) resolveScopes() {
	c.scopes = c.knownScopes()
	c.declarations = map[v1alpha1.ObjectKey][]*item{}
	for _, s := range c.sources {
		for _, o := range s.Objects {
			it := c.inScope(s, o)
			c.declarations[it.key] = append(c.declarations[it.key], it)
		}
	}
}

// knownScopes reads scopes from what clusters serve and, since it is what will be served, from the
// CRDs of the trees.
func (c *computation) knownScopes() scopes {
	known := scopes{}
	for _, cl := range c.clusters {
		for _, e := range cl.Status.APIEnablements {
			group, _, found := strings.Cut(e.GroupVersion, "/")
			if !found {
				group = ""
			}
			for _, r := range e.Resources {
				if r.Namespaced == nil {
					continue
				}
				known[groupKind{group, r.Kind}] = scopeOf(*r.Namespaced)
			}
		}
	}
	for _, s := range c.sources {
		for _, o := range s.Objects {
			if !isCRD(o.Reference()) || c.bounds[s].forbids(clusterScoped(o.Reference())) != "" {
				continue
			}
			gk := definedKind(o.Unstructured)
			written, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
			known[gk] = scopeOf(written != "Cluster")
		}
	}
	return known
}

// clusterScoped returns the reference to an object of a kind that lives in no namespace.
func clusterScoped(ref v1alpha1.ObjectReference) v1alpha1.ObjectReference {
	ref.Namespace = ""
	return ref
}

func scopeOf(namespaced bool) scope {
	if namespaced {
		return scopeNamespaced
	}
	return scopeCluster
}

func isCRD(r v1alpha1.ObjectReference) bool {
	return r.Kind == "CustomResourceDefinition" && r.Group() == "apiextensions.k8s.io"
}

// definedKind returns the kind that a CRD defines.
func definedKind(crd *unstructured.Unstructured) groupKind {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return groupKind{group, kind}
}

// inScope returns the object with the namespace that it belongs in: a namespaced one without goes to
// its source's, a cluster-scoped one loses a stray one.
func (c *computation) inScope(s *Source, o render.Object) *item {
	ref := o.Reference()
	namespace := ref.Namespace
	switch c.scopes.of(ref.Group(), ref.Kind) {
	case scopeCluster:
		namespace = ""
	case scopeNamespaced:
		namespace = cmp.Or(namespace, s.Spec.TargetNamespace, "default")
	case scopeUnknown:
		if namespace == "" {
			c.findings.add(finding{
				ID:         NotChecked,
				Message:    fmt.Sprintf("no cluster and no CRD says whether %s is namespaced; taken as cluster-scoped since it names no namespace", ref.GroupKind()),
				Source:     o.Origin.Source,
				Repository: s.Source,
			})
		}
	}
	if namespace != ref.Namespace {
		o = c.planner.cache.moved(o, namespace)
		ref.Namespace = namespace
	}
	return &item{Object: o, ref: ref, key: ref.Key(), source: s, traits: c.planner.cache.traitsOf(o)}
}

// compareDeclarations orders declarations of one key: by source, then by place.
func compareDeclarations(a, b *item) int {
	return cmp.Or(
		strings.Compare(a.source.Source, b.source.Source),
		comparePlaces(a.Origin.Source, b.Origin.Source),
		strings.Compare(a.Unit, b.Unit),
		a.ref.Compare(b.ref),
		strings.Compare(a.ContentDigest, b.ContentDigest),
	)
}

// comparePlaces orders "file:line" by file and then by number.
func comparePlaces(a, b string) int { return parsePosition(a).Compare(parsePosition(b)) }

func sortedKeys[V any](m map[v1alpha1.ObjectKey]V) []v1alpha1.ObjectKey {
	keys := make([]v1alpha1.ObjectKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, v1alpha1.ObjectKey.Compare)
	return keys
}
