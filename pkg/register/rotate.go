package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// ErrNotOurs tells that a kubeconfig was not written by joining, so that its credentials are somebody
// else's to renew.
var ErrNotOurs = errors.New("the kubeconfig was not written by join")

// Renew gives the cluster of a kubeconfig Secret a new token, with the token that it has, and writes the
// Secret. Nothing is written before the new token is proven to work, and not at all where the Secret
// changed meanwhile (a Conflict). The old token stays valid until it expires. It needs the rights to
// update the Secret on the hub, and nothing else there.
func Renew(ctx context.Context, hub coreclient.SecretsGetter, secret *corev1.Secret, now time.Time) (Token, error) {
	old, ok := TokenOf(secret.Annotations)
	if !ok {
		return Token{}, fmt.Errorf("secret %q: %w", secret.Name, ErrNotOurs)
	}
	cfg, err := secretConfig(secret)
	if err != nil {
		return Token{}, err
	}
	member, err := Connect(cfg)
	if err != nil {
		return Token{}, err
	}
	return renewWith(ctx, hub, secret, member, old.Expires.Sub(old.Issued), now)
}

// renewWith asks the member for a token with the rights of a connection to it.
func renewWith(ctx context.Context, hub coreclient.SecretsGetter, secret *corev1.Secret, member *Cluster, lifetime time.Duration, now time.Time) (Token, error) {
	endpoint, err := endpointOf(secret)
	if err != nil {
		return Token{}, err
	}
	data, token, err := member.newKubeconfig(ctx, endpoint, max(lifetime, MinTokenLifetime), now)
	if err != nil {
		return Token{}, err
	}
	secret = secret.DeepCopy()
	secret.Data[keyOf(secret)] = data
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[AnnotationTokenIssued] = token.Issued.UTC().Format(time.RFC3339)
	secret.Annotations[AnnotationTokenExpires] = token.Expires.UTC().Format(time.RFC3339)
	_, err = hub.Secrets(secret.Namespace).Update(ctx, secret, metav1.UpdateOptions{FieldManager: FieldManager})
	if err != nil {
		return Token{}, fmt.Errorf("hub: write secret %q: %w", secret.Name, err)
	}
	return token, nil
}

// RotateOptions say how the token of a cluster is renewed by hand.
type RotateOptions struct {
	// Name of the cluster. Required.
	Name string
	// Lifetime of the new token. Default: that of the present one.
	Lifetime time.Duration
	// Revoke makes the account anew, so that every token given out before is void at once. It needs a
	// member reached with an administrator's rights.
	Revoke bool
	// Now is recorded as the time of issue. Required.
	Now time.Time
}

// Rotate renews the token of a cluster now. The member is reached with the rights of the caller, which
// also helps when the token has expired, or where that is nil, with the hub's own.
func Rotate(ctx context.Context, hub, member *Cluster, opts RotateOptions) (Token, error) {
	secret, err := hub.typed.CoreV1().Secrets(Namespace).Get(ctx, SecretName(opts.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Token{}, fmt.Errorf("%w: the hub has no kubeconfig of a cluster %q that join wrote", ErrNotJoined, opts.Name)
	}
	if err != nil {
		return Token{}, fmt.Errorf("hub: %w", err)
	}
	old, ok := TokenOf(secret.Annotations)
	if !ok {
		return Token{}, fmt.Errorf("cluster %q: %w", opts.Name, ErrNotOurs)
	}
	if opts.Lifetime == 0 {
		opts.Lifetime = old.Expires.Sub(old.Issued)
	}
	if member == nil {
		if opts.Revoke {
			return Token{}, errors.New("to revoke tokens takes an administrator of the cluster")
		}
		cfg, err := secretConfig(secret)
		if err != nil {
			return Token{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
		}
		if member, err = Connect(cfg); err != nil {
			return Token{}, err
		}
	}
	if opts.Revoke {
		if err := member.remakeAccount(ctx); err != nil {
			return Token{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
		}
	}
	token, err := renewWith(ctx, hub.typed.CoreV1(), secret, member, opts.Lifetime, opts.Now)
	if err != nil {
		return Token{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
	}
	return token, nil
}

// remakeAccount deletes our account and creates it again. Tokens are bound to its UID.
func (c *Cluster) remakeAccount(ctx context.Context) error {
	manifests, err := Manifests(ModeImpersonate, nil)
	if err != nil {
		return err
	}
	account := manifests[1:2]
	if err := c.remove(ctx, account, func(Written) {}); err != nil {
		return err
	}
	return c.Apply(ctx, account, false, func(Written) {})
}

// secretConfig is how a Secret says to reach a cluster.
func secretConfig(secret *corev1.Secret) (*rest.Config, error) {
	data, err := kubeconfig.FromSecret(secret.Data, "")
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", secret.Name, err)
	}
	cfg, err := kubeconfig.Load(data, kubeconfig.Options{})
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", secret.Name, err)
	}
	return cfg, nil
}

// endpointOf is the address in a Secret that join wrote.
func endpointOf(secret *corev1.Secret) (clientcmdapi.Cluster, error) {
	cfg, err := clientcmd.Load(secret.Data[keyOf(secret)])
	if err != nil {
		return clientcmdapi.Cluster{}, fmt.Errorf("secret %q: its kubeconfig cannot be read", secret.Name)
	}
	context := cfg.Contexts[cfg.CurrentContext]
	if context == nil || cfg.Clusters[context.Cluster] == nil {
		return clientcmdapi.Cluster{}, fmt.Errorf("secret %q: its kubeconfig names no cluster", secret.Name)
	}
	return *cfg.Clusters[context.Cluster], nil
}

// keyOf is the entry that holds the kubeconfig.
func keyOf(secret *corev1.Secret) string {
	if _, ok := secret.Data["kubeconfig"]; ok || len(secret.Data) == 0 {
		return "kubeconfig"
	}
	return "value"
}
