package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// ErrComesBack tells that a cluster would be discovered again at once.
var ErrComesBack = errors.New("it would be discovered again at once")

// membership is what the hub knows of a cluster.
type membership struct {
	name string
	// cluster is nil where the Cluster is gone already.
	cluster *v1alpha1.Cluster
	// secret is what the cluster is reached with; nil where there is none.
	secret *corev1.Secret
	// key is the entry of the secret that the Cluster names; empty: the usual ones.
	key string
}

// membership reads what the hub knows of a cluster. The error is ErrNotJoined where there is neither the
// Cluster nor a kubeconfig that joining wrote for it.
func (c *Cluster) membership(ctx context.Context, name string) (membership, error) {
	m := membership{name: name}
	resource, err := c.resource(clusterRef(name))
	if err != nil {
		return m, fmt.Errorf("hub: %w", err)
	}
	o, err := resource.Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return m, fmt.Errorf("hub: %w", err)
	}
	namespace, secret := Namespace, SecretName(name)
	if err == nil {
		m.cluster = &v1alpha1.Cluster{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, m.cluster); err != nil {
			return m, fmt.Errorf("hub: read cluster %q: %w", name, err)
		}
		if r := m.cluster.Spec.SecretRef; r != nil {
			secret, m.key = r.Name, r.Key
			if r.Namespace != "" {
				namespace = r.Namespace
			}
		}
	}
	s, err := c.typed.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
	switch {
	case err == nil:
		m.secret = s
	case !apierrors.IsNotFound(err):
		return m, fmt.Errorf("hub: kubeconfig of cluster %q: %w", name, err)
	}
	if m.cluster == nil && !m.secretIsOurs() {
		return m, fmt.Errorf("%w: the hub knows no cluster %q", ErrNotJoined, name)
	}
	return m, nil
}

// config is how the hub reaches the cluster.
func (m membership) config() (*rest.Config, error) {
	switch {
	case m.cluster != nil && m.cluster.Spec.ClusterProfileRef != nil:
		return nil, errors.New("it is reached by a credential plug-in of the controller, which is not here: name a context with --cluster-context")
	case m.secret == nil:
		return nil, errors.New("the hub has no kubeconfig of it: name a context with --cluster-context")
	}
	data, err := kubeconfig.FromSecret(m.secret.Data, m.key)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", m.secret.Name, err)
	}
	cfg, err := kubeconfig.Load(data, kubeconfig.Options{})
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", m.secret.Name, err)
	}
	return cfg, nil
}

// secretIsOurs tells that joining wrote the Secret, so that it goes with the cluster. A Secret of that name
// which Cluster API or a person wrote stays.
func (m membership) secretIsOurs() bool {
	return m.secret != nil && m.secret.Namespace == Namespace && m.secret.Labels[LabelCluster] == m.name
}

// discovered tells from what the cluster was discovered; false where it was not.
func (m membership) discovered() (v1alpha1.Discoverer, *unstructured.Unstructured, bool) {
	if m.cluster == nil {
		return "", nil, false
	}
	parts := strings.Split(m.cluster.Annotations[v1alpha1.AnnotationDiscoveredFrom], "/")
	if len(parts) != 3 {
		return "", nil, false
	}
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind("Secret")
	if v1alpha1.Discoverer(parts[0]) == v1alpha1.DiscoveredByClusterProfile {
		// The mapper knows which version the hub serves.
		o.SetAPIVersion("multicluster.x-k8s.io/")
		o.SetKind("ClusterProfile")
	}
	o.SetNamespace(parts[1])
	o.SetName(parts[2])
	return v1alpha1.Discoverer(parts[0]), o, true
}

// accountIsOurs tells that the account and the roles in the member are those that joining made. Those of a
// cluster that was discovered are what others gave the hub.
func (m membership) accountIsOurs(own bool) bool {
	if _, _, discovered := m.discovered(); discovered {
		return false
	}
	return !own || m.secretIsOurs()
}

// comesBack is an error where discovery would bring the cluster back as soon as it has left, without what
// people made of it: its labels, its taints.
func (c *Cluster) comesBack(ctx context.Context, m membership) error {
	by, source, ok := m.discovered()
	if !ok {
		return nil
	}
	looked, err := c.looksFor(ctx, by, source.GetNamespace())
	if err != nil || !looked {
		return err
	}
	resource, err := c.resource(source)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	live, err := resource.Get(ctx, source.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hub: cluster %q was discovered from %s %q: %w", m.name, source.GetKind(), source.GetNamespace()+"/"+source.GetName(), err)
	}
	if live.GetLabels()[v1alpha1.LabelDiscovery] == v1alpha1.DiscoveryIgnore {
		return nil
	}
	return fmt.Errorf("cluster %q: nothing was changed: it was discovered from %s %q, which is still there, and %w; to keep it out, first say so there: kubectl label %s %s --namespace %s %s=%s",
		m.name, source.GetKind(), source.GetNamespace()+"/"+source.GetName(), ErrComesBack,
		strings.ToLower(source.GetKind()), source.GetName(), source.GetNamespace(), v1alpha1.LabelDiscovery, v1alpha1.DiscoveryIgnore)
}

// looksFor tells whether the hub's Config has clusters discovered in a namespace.
func (c *Cluster) looksFor(ctx context.Context, by v1alpha1.Discoverer, namespace string) (bool, error) {
	o, err := c.hubConfig(ctx)
	if err != nil || o == nil {
		return false, err
	}
	var config v1alpha1.Config
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &config); err != nil {
		return false, fmt.Errorf("hub: read the Config: %w", err)
	}
	d := config.Spec.Discovery
	var scope *v1alpha1.DiscoveryScope
	switch by {
	case v1alpha1.DiscoveredByClusterAPI:
		scope = d.ClusterAPI
	case v1alpha1.DiscoveredByArgoCD:
		scope = d.ArgoCD
	case v1alpha1.DiscoveredByClusterProfile:
		if d.ClusterProfiles != nil {
			scope = &d.ClusterProfiles.DiscoveryScope
		}
	}
	return scope != nil && slices.Contains(scope.Namespaces, namespace), nil
}

// forget removes the Secret with the kubeconfig where joining wrote it.
func (c *Cluster) forget(ctx context.Context, m membership, opts LeaveOptions) error {
	if m.secret == nil {
		return nil
	}
	if !m.secretIsOurs() {
		opts.Warn(fmt.Sprintf("the kubeconfig of cluster %q in the Secret %q was not written by join, and stays", m.name, m.secret.Namespace+"/"+m.secret.Name))
		return nil
	}
	// Whatever is there under this name by now, only what was looked at goes.
	uid := m.secret.UID
	err := c.typed.CoreV1().Secrets(m.secret.Namespace).Delete(ctx, m.secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("hub: delete Secret %q: %w", m.secret.Name, err)
	default:
		opts.Tell("hub", Written{Kind: "Secret", Namespace: m.secret.Namespace, Name: m.secret.Name, Outcome: Deleted})
	}
	return nil
}
