package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// The marks of Cluster API's kubeconfig Secrets.
const (
	capiSecretType = "cluster.x-k8s.io/secret"
	capiNameLabel  = "cluster.x-k8s.io/cluster-name"
	capiSecretKey  = "value"
	capiSecretEnd  = "-kubeconfig"
)

// origin names the object that a cluster is discovered from.
type origin struct {
	by              v1alpha1.Discoverer
	namespace, name string
}

// String is the origin as the annotation spells it.
func (o origin) String() string { return string(o.by) + "/" + o.namespace + "/" + o.name }

// words name the origin for people.
func (o origin) words() string {
	switch o.by {
	case v1alpha1.DiscoveredByClusterProfile:
		return fmt.Sprintf("the ClusterProfile %q", o.namespace+"/"+o.name)
	case v1alpha1.DiscoveredByArgoCD:
		return fmt.Sprintf("the cluster Secret %q of Argo CD", o.namespace+"/"+o.name)
	case v1alpha1.DiscoveredByClusterAPI:
	}
	return fmt.Sprintf("the kubeconfig Secret %q of Cluster API", o.namespace+"/"+o.name)
}

// originOf reads the annotation of a Cluster; false where it was not discovered.
func originOf(c *v1alpha1.Cluster) (origin, bool) {
	parts := strings.Split(c.Annotations[v1alpha1.AnnotationDiscoveredFrom], "/")
	if len(parts) != 3 {
		return origin{}, false
	}
	return origin{v1alpha1.Discoverer(parts[0]), parts[1], parts[2]}, true
}

// found is a cluster that another system describes.
type found struct {
	origin
	// version changes with what it is reached by.
	version string
	// wished is the name it would like; empty: the Secret tells.
	wished string
	// labels, provider, region and zones describe it; kubernetes is the version that was said, which the
	// cluster itself corrects.
	labels           map[string]string
	provider, region string
	zones            []string
	kubernetes       string
	// unfit is why it cannot be taken in.
	unfit error
}

// gap is a place that cannot be looked into, and why.
type gap struct {
	by        v1alpha1.Discoverer
	namespace string
	err       error
}

func (g gap) String() string {
	return fmt.Sprintf("%s in namespace %q: %v", g.by, g.namespace, g.err)
}

// find lists what discovery sees now, in a stable order: where a cluster is described twice, the first
// counts.
func (w *watcher) find(d *v1alpha1.DiscoveryConfig) ([]found, []gap) {
	var all []found
	var gaps []gap
	look := func(by v1alpha1.Discoverer, s *v1alpha1.DiscoveryScope, in func(*v1alpha1.DiscoveryScope, labels.Selector, string) ([]found, error)) {
		if s == nil {
			return
		}
		selector := labels.Everything()
		if s.Selector != nil {
			var err error
			if selector, err = metav1.LabelSelectorAsSelector(s.Selector); err != nil {
				gaps = append(gaps, gap{by, "*", err})
				return
			}
		}
		for _, ns := range s.Namespaces {
			list, err := in(s, selector, ns)
			if err != nil {
				gaps = append(gaps, gap{by, ns, err})
				continue
			}
			slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.name, b.name) })
			for _, f := range list {
				f.labels = kept(f.labels)
				maps.Copy(f.labels, s.Labels)
				f.region = cmp.Or(f.region, f.labels[corev1.LabelTopologyRegion])
				if zone := f.labels[corev1.LabelTopologyZone]; len(f.zones) == 0 && zone != "" {
					f.zones = []string{zone}
				}
				f.labels[v1alpha1.LabelDiscoveredBy] = string(by)
				all = append(all, f)
			}
		}
	}
	look(v1alpha1.DiscoveredByClusterAPI, d.ClusterAPI, w.findClusterAPI)
	if d.ClusterProfiles != nil {
		look(v1alpha1.DiscoveredByClusterProfile, &d.ClusterProfiles.DiscoveryScope, w.findProfiles)
	}
	look(v1alpha1.DiscoveredByArgoCD, d.ArgoCD, w.findArgoCD)
	return all, gaps
}

// allowDiscovery says how to give the rights that discovery needs everywhere.
const allowDiscovery = "allow it with: kubectl create clusterrolebinding armada-sync:discovery --clusterrole=armada-sync:discovery --serviceaccount=armada-system:armada-sync-controller"

// secretRights says what is missing where Secrets cannot be listed.
func secretRights(namespace string) error {
	return fmt.Errorf("its Secrets cannot be read; allow it with: kubectl create rolebinding armada-sync:source-secrets -n %s --clusterrole=armada-sync:source-secrets --serviceaccount=armada-system:armada-sync-controller", namespace)
}

func (w *watcher) findClusterAPI(s *v1alpha1.DiscoveryScope, selector labels.Selector, ns string) ([]found, error) {
	secrets := w.secretsIn(ns)
	if secrets == nil {
		return nil, secretRights(ns)
	}
	_, unread := w.foreign.in(capiClusters, ns)
	if s.Selector != nil && unread != nil {
		return nil, fmt.Errorf("the selector needs the Clusters of Cluster API, which cannot be read: %w", cmp.Or(w.whyNot(capiClusters, ns), unread))
	}
	var all []found
	for _, secret := range secrets {
		cluster := secret.Labels[capiNameLabel]
		if cluster == "" || secret.Name != cluster+capiSecretEnd || secret.Labels[v1alpha1.LabelDiscovery] == v1alpha1.DiscoveryIgnore {
			continue
		}
		f := found{origin: origin{v1alpha1.DiscoveredByClusterAPI, ns, secret.Name}, version: string(secret.UID) + "/" + secret.ResourceVersion, wished: cluster}
		o := w.foreign.get(capiClusters, ns, cluster)
		if o != nil {
			if o.GetLabels()[v1alpha1.LabelDiscovery] == v1alpha1.DiscoveryIgnore {
				continue
			}
			f.describeCAPI(o)
		}
		if s.Selector != nil && !selector.Matches(labels.Set(f.labels)) {
			continue
		}
		all = append(all, f)
	}
	return all, nil
}

// describeCAPI takes over what a Cluster of Cluster API says.
func (f *found) describeCAPI(o *unstructured.Unstructured) {
	f.labels = o.GetLabels()
	infrastructure, _, _ := unstructured.NestedString(o.Object, "spec", "infrastructureRef", "kind")
	for _, end := range []string{"ManagedCluster", "ManagedControlPlane", "Cluster"} {
		infrastructure = strings.TrimSuffix(infrastructure, end)
	}
	f.provider = strings.ToLower(infrastructure)
	variables, _, _ := unstructured.NestedSlice(o.Object, "spec", "topology", "variables")
	for _, v := range variables {
		variable, _ := v.(map[string]any)
		if value, ok := variable["value"].(string); ok && variable["name"] == "region" {
			f.region = value
		}
	}
	f.kubernetes, _, _ = unstructured.NestedString(o.Object, "spec", "topology", "version")
	// A map by name up to v1beta1, a list since.
	domains, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", "failureDomains")
	switch d := domains.(type) {
	case map[string]any:
		f.zones = slices.Sorted(maps.Keys(d))
	case []any:
		for _, item := range d {
			domain, _ := item.(map[string]any)
			if name, _ := domain["name"].(string); name != "" && !slices.Contains(f.zones, name) {
				f.zones = append(f.zones, name)
			}
		}
		slices.Sort(f.zones)
	}
	if o.GetDeletionTimestamp() != nil {
		f.unfit = errors.New("it is being deleted by Cluster API")
	}
}

func (w *watcher) findArgoCD(_ *v1alpha1.DiscoveryScope, selector labels.Selector, ns string) ([]found, error) {
	secrets := w.secretsIn(ns)
	if secrets == nil {
		return nil, secretRights(ns)
	}
	var all []found
	for _, s := range secrets {
		if s.Labels[kubeconfig.LabelArgoCD] != kubeconfig.ArgoCDCluster || s.Labels[v1alpha1.LabelDiscovery] == v1alpha1.DiscoveryIgnore || !selector.Matches(labels.Set(s.Labels)) {
			continue
		}
		all = append(all, found{origin: origin{v1alpha1.DiscoveredByArgoCD, ns, s.Name}, version: string(s.UID) + "/" + s.ResourceVersion, labels: s.Labels})
	}
	return all, nil
}

func (w *watcher) findProfiles(_ *v1alpha1.DiscoveryScope, selector labels.Selector, ns string) ([]found, error) {
	profiles, err := w.foreign.in(clusterProfiles, ns)
	if err != nil {
		if why := w.whyNot(clusterProfiles, ns); why != nil {
			return nil, why
		}
		if apierrors.IsForbidden(err) {
			return nil, errors.New("its ClusterProfiles may not be listed; " + allowDiscovery)
		}
		return nil, fmt.Errorf("its ClusterProfiles cannot be read: %w; %s", err, allowDiscovery)
	}
	var all []found
	for _, o := range profiles {
		if o.GetLabels()[v1alpha1.LabelDiscovery] == v1alpha1.DiscoveryIgnore || !selector.Matches(labels.Set(o.GetLabels())) {
			continue
		}
		f := found{origin: origin{v1alpha1.DiscoveredByClusterProfile, ns, o.GetName()}, wished: o.GetName(), labels: maps.Clone(o.GetLabels())}
		f.describeProfile(o)
		a, err := w.accessOf(o)
		f.version, f.unfit = a.version(), err
		all = append(all, f)
	}
	return all, nil
}

// describeProfile takes over the properties of a ClusterProfile that can be labels.
func (f *found) describeProfile(o *unstructured.Unstructured) {
	if f.labels == nil {
		f.labels = map[string]string{}
	}
	f.kubernetes, _, _ = unstructured.NestedString(o.Object, "status", "version", "kubernetes")
	properties, _, _ := unstructured.NestedSlice(o.Object, "status", "properties")
	for _, item := range properties {
		p, _ := item.(map[string]any)
		name, _ := p["name"].(string)
		value, _ := p["value"].(string)
		switch name {
		case "region", corev1.LabelTopologyRegion:
			f.region = value
		case "provider":
			f.provider = value
		}
		if len(validation.IsQualifiedName(name)) == 0 && len(validation.IsValidLabelValue(value)) == 0 {
			f.labels[name] = value
		}
	}
}

// kept are the labels that say something of a cluster. What tools mark their own objects with stays behind,
// and so does what is ours to set.
func kept(all map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		prefix, _, qualified := strings.Cut(k, "/")
		if qualified && foreignMark(prefix) {
			continue
		}
		out[k] = v
	}
	return out
}

// foreignMark tells prefixes of labels by which tools know their own objects.
func foreignMark(prefix string) bool {
	for _, p := range []string{
		v1alpha1.Group, "argocd.argoproj.io", "app.kubernetes.io", "helm.sh", "cluster.x-k8s.io", "applyset.kubernetes.io", "toolkit.fluxcd.io",
	} {
		if prefix == p || strings.HasSuffix(prefix, "."+p) {
			return true
		}
	}
	return false
}

// inspect reads what only the content of a Secret tells, and returns the name that the cluster would like.
func (w *watcher) inspect(ctx context.Context, f *found) (string, error) {
	if f.unfit != nil {
		return "", f.unfit
	}
	if f.by == v1alpha1.DiscoveredByClusterProfile {
		return f.wished, nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	s, err := w.client.core.Secrets(f.namespace).Get(ctx, f.name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if f.by == v1alpha1.DiscoveredByArgoCD {
		if _, err := kubeconfig.FromArgoCD(s.Data); err != nil {
			return "", err
		}
		return cmp.Or(kubeconfig.ArgoCDName(s.Data), f.name), nil
	}
	if s.Type != capiSecretType {
		return "", fmt.Errorf("its type is %q, and Cluster API writes %q", s.Type, capiSecretType)
	}
	if len(s.Data[capiSecretKey]) == 0 {
		return "", fmt.Errorf("it has no entry %q", capiSecretKey)
	}
	return f.wished, nil
}
