package hub

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// kubeconfigKeys are where a Secret may have a kubeconfig, the first that is there counts.
func kubeconfigKeys() []string { return []string{"kubeconfig", "value"} }

// kubeconfig reads the kubeconfig of a cluster from its Secret.
func (w *watcher) kubeconfig(ctx context.Context, c v1alpha1.Cluster) ([]byte, error) {
	r := c.Spec.SecretRef
	if r == nil {
		return nil, errors.New("spec.secretRef is missing: it names the Secret with the cluster's kubeconfig")
	}
	namespace := w.namespaceOf(r)
	data, err := w.secret(ctx, namespace, r.Name)
	if err != nil {
		return nil, err
	}
	keys := kubeconfigKeys()
	if r.Key != "" {
		keys = []string{r.Key}
	}
	for _, key := range keys {
		if content, ok := data[key]; ok {
			return content, nil
		}
	}
	return nil, fmt.Errorf("the Secret %q has no entry %q", namespace+"/"+r.Name, keys[0])
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

// ParseKubeconfig reads a kubeconfig that comes out of a Secret. Whoever may write such a Secret must not
// run programs or read files where the controller runs, so that exec, auth providers and references to
// files are refused (CVE-2022-24817). Errors do not quote the content.
func ParseKubeconfig(c v1alpha1.Cluster, data []byte) (*rest.Config, error) {
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return nil, errors.New("the kubeconfig cannot be read: it is not of the kind Config of v1")
	}
	for name, user := range cfg.AuthInfos {
		switch {
		case user.Exec != nil:
			return nil, fmt.Errorf("the kubeconfig's user %q runs a program (exec), which is not allowed", name)
		case user.AuthProvider != nil:
			return nil, fmt.Errorf("the kubeconfig's user %q has an auth-provider, which is not allowed", name)
		case user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "":
			return nil, fmt.Errorf("the kubeconfig's user %q refers to a file; put the content into the kubeconfig", name)
		}
	}
	for name, cluster := range cfg.Clusters {
		if cluster.CertificateAuthority != "" {
			return nil, fmt.Errorf("the kubeconfig's cluster %q refers to a file; put the content into the kubeconfig", name)
		}
	}
	out, err := clientcmd.NewNonInteractiveClientConfig(*cfg, contextOf(c, cfg), &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, errors.New("the kubeconfig names no usable context, cluster and user")
	}
	return out, nil
}

func contextOf(c v1alpha1.Cluster, cfg *clientcmdapi.Config) string {
	if c.Spec.KubeconfigContext != "" {
		return c.Spec.KubeconfigContext
	}
	return cfg.CurrentContext
}
