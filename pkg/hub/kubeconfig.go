package hub

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// kubeconfig reads the kubeconfig of a cluster from its Secret.
func (w *watcher) kubeconfig(ctx context.Context, c v1alpha1.Cluster) ([]byte, error) {
	r := c.Spec.SecretRef
	switch {
	case r == nil && c.Spec.ClusterProfileRef != nil:
		return nil, errors.New("the cluster is reached by a credential plug-in of the controller, which is not here (spec.clusterProfileRef)")
	case r == nil:
		return nil, errors.New("spec.secretRef is missing: it names the Secret with the cluster's kubeconfig")
	}
	namespace := w.namespaceOf(r)
	data, err := w.secret(ctx, namespace, r.Name)
	if err != nil {
		return nil, fmt.Errorf("%w; write the cluster's kubeconfig there, or join it again with: armada-sync join %s", err, c.Name)
	}
	content, err := kubeconfig.FromSecret(data, r.Key)
	if err != nil {
		return nil, fmt.Errorf("the Secret %q: %w; write the cluster's kubeconfig there, or join it again with: armada-sync join %s", namespace+"/"+r.Name, err, c.Name)
	}
	return content, nil
}

// credentials reads those of a source; none has no credentials.
func (w *watcher) credentials(ctx context.Context, s v1alpha1.GitSource) (source.Credentials, error) {
	if s.Spec.SecretRef == nil {
		return source.Credentials{}, nil
	}
	data, err := w.secret(ctx, s.Namespace, s.Spec.SecretRef.Name)
	if err != nil {
		return source.Credentials{}, err
	}
	c, err := source.ParseCredentials(data)
	if err != nil {
		return c, fmt.Errorf("the Secret %q: %w", s.Namespace+"/"+s.Spec.SecretRef.Name, err)
	}
	return c, nil
}

// decrypting is a builder that opens encrypted files.
type decrypting interface {
	WithSecrets(read func(ctx context.Context, namespace, name string) (map[string][]byte, error)) engine.Builder
}

// builder returns the builder with the Secrets of the hub, where it can use them.
func (c *Controller) builder() engine.Builder {
	if b, ok := c.options.Builder.(decrypting); ok {
		return b.WithSecrets(c.watcher.secret)
	}
	return c.options.Builder
}

// ParseKubeconfig reads the kubeconfig of a cluster that comes out of a Secret, by the rules of package
// kubeconfig: whoever may write such a Secret must not run programs or read files where the controller
// runs.
func ParseKubeconfig(c v1alpha1.Cluster, data []byte) (*rest.Config, error) {
	return kubeconfig.Load(data, kubeconfig.Options{Context: c.Spec.KubeconfigContext})
}
