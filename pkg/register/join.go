package register

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// grantTimeout is how long an API server may take to act on new roles.
const grantTimeout = 15 * time.Second

// maxClusterName keeps the name usable as the value of a label.
const maxClusterName = 63

// Options say what a cluster is to be known as and how it is to be reached.
type Options struct {
	// Name of the cluster in the fleet. Required, a DNS name of at most 63 characters.
	Name string
	// Labels, Provider, Region and Zones describe it to policies. What is empty stays as it is on a
	// cluster that has joined before.
	Labels           map[string]string
	Provider, Region string
	Zones            []string
	// Mode says who writes to the member. Default ModeApply.
	Mode Mode
	// Impersonate are accounts of the member, as namespace/name, that sources may act as.
	Impersonate []string
	// TokenLifetime of the account's token. Default DefaultTokenLifetime; the member may shorten it.
	TokenLifetime time.Duration
	// Endpoint is how the hub reaches the member: address, authority, proxy. Required.
	Endpoint clientcmdapi.Cluster
	// DryRun asks both API servers what would happen and writes nothing.
	DryRun bool
	// Now is the time at which the token is recorded as issued. Required.
	Now time.Time
	// Tell is called for each object written. Required.
	Tell func(where string, w Written)
}

// Joined tells what joining found and did.
type Joined struct {
	Facts
	// Token is zero after a dry run.
	Token Token
	// Warnings are for people: what works and may not be what they want.
	Warnings []string
}

func (o *Options) check() error {
	var errs []error
	if problems := validation.IsDNS1123Subdomain(o.Name); len(problems) > 0 || len(o.Name) > maxClusterName {
		errs = append(errs, fmt.Errorf("cluster name %q: want a DNS name of at most %d lower-case letters, digits, '-' and '.'", o.Name, maxClusterName))
	}
	if o.Mode == "" {
		o.Mode = ModeApply
	}
	if !slices.Contains(Modes(), o.Mode) {
		errs = append(errs, fmt.Errorf("mode %q: want one of %v", o.Mode, Modes()))
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = DefaultTokenLifetime
	}
	if o.TokenLifetime < MinTokenLifetime {
		errs = append(errs, fmt.Errorf("token lifetime %s: want at least %s", o.TokenLifetime, MinTokenLifetime))
	}
	for k, v := range o.Labels {
		if problems := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("label %q=%q: %s", k, v, strings.Join(problems, "; ")))
		}
	}
	if _, err := byNamespace(o.Impersonate); err != nil {
		errs = append(errs, err)
	}
	// What the hub would refuse later is refused before anything is written.
	if data, err := writeKubeconfig(o.Endpoint, "any"); err != nil {
		errs = append(errs, err)
	} else if _, err := kubeconfig.Load(data, kubeconfig.Options{}); err != nil {
		errs = append(errs, fmt.Errorf("the hub could not use this cluster: %w", err))
	}
	return errors.Join(errs...)
}

// Join makes the member a part of the hub's fleet. Doing it again repairs what is missing, gives the
// account the rights of this version and renews the token. Nothing is written before both sides have
// been looked at.
func Join(ctx context.Context, hub, member *Cluster, opts Options) (Joined, error) {
	if err := opts.check(); err != nil {
		return Joined{}, err
	}
	facts, err := Probe(ctx, member.config)
	if err != nil {
		return Joined{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
	}
	joined := Joined{Facts: facts, Warnings: addressWarnings(opts.Endpoint.Server)}
	if err := hub.checkHub(ctx); err != nil {
		return Joined{}, err
	}
	before, err := hub.checkIdentity(ctx, opts.Name, facts.UID)
	if err != nil {
		return Joined{}, err
	}
	opts.keep(before)
	manifests, err := Manifests(opts.Mode, opts.Impersonate)
	if err != nil {
		return Joined{}, err
	}
	if err := member.Apply(ctx, manifests, opts.DryRun, func(w Written) { opts.Tell(opts.Name, w) }); err != nil {
		return Joined{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
	}
	var data []byte
	if !opts.DryRun {
		if err := member.takeBack(ctx, manifests, func(w Written) { opts.Tell(opts.Name, w) }); err != nil {
			return Joined{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
		}
		if data, joined.Token, err = member.newKubeconfig(ctx, opts.Endpoint, opts.TokenLifetime, opts.Now); err != nil {
			return Joined{}, fmt.Errorf("cluster %q: %w", opts.Name, err)
		}
	}
	objects := []*unstructured.Unstructured{
		kubeconfigSecret(opts.Name, data, joined.Token),
		clusterObject(opts, facts.UID),
	}
	if err := hub.Apply(ctx, objects, opts.DryRun, func(w Written) { opts.Tell("hub", w) }); err != nil {
		return Joined{}, fmt.Errorf("hub: %w", err)
	}
	if before != nil && before.GetAnnotations()[AnnotationLeaving] != "" && !opts.DryRun {
		if err := hub.setLeaving(ctx, opts.Name, false); err != nil {
			return Joined{}, fmt.Errorf("hub: cluster %q stays marked as leaving: %w", opts.Name, err)
		}
	}
	return joined, nil
}

// takeBack removes rights that an earlier join granted and this one does not.
func (c *Cluster) takeBack(ctx context.Context, granted []*unstructured.Unstructured, tell func(Written)) error {
	candidates, err := c.tenantRoles(ctx)
	if err != nil {
		return err
	}
	candidates = append(candidates, applyRole()...)
	return c.remove(ctx, slices.DeleteFunc(candidates, func(o *unstructured.Unstructured) bool {
		return slices.ContainsFunc(granted, func(g *unstructured.Unstructured) bool {
			return g.GetKind() == o.GetKind() && g.GetNamespace() == o.GetNamespace() && g.GetName() == o.GetName()
		})
	}), tell)
}

// addressWarnings tells of addresses that work from where the command runs, and perhaps only there.
func addressWarnings(server string) []string {
	u, err := url.Parse(server)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return []string{fmt.Sprintf("%s is an address of this machine; give the address that the hub reaches the cluster at with --server", u.Host)}
	}
	return nil
}

// checkHub makes sure that the hub was installed.
func (c *Cluster) checkHub(ctx context.Context) error {
	if _, err := Probe(ctx, c.config); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if _, err := c.mapper.RESTMapping(clusterKind.GroupKind(), clusterKind.Version); meta.IsNoMatchError(err) {
		return errors.New("hub: it does not serve Cluster objects of armada-sync.io; install them first with: armada-sync init")
	} else if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if _, err := c.typed.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return fmt.Errorf("hub: it has no namespace %q; install armada-sync first with: armada-sync init", Namespace)
	} else if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

var clusterKind = schema.GroupVersionKind{Group: v1alpha1.Group, Version: v1alpha1.Version, Kind: v1alpha1.KindCluster}

// clusterRef is a Cluster object with its name alone.
func clusterRef(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(clusterKind)
	o.SetName(name)
	return o
}

// checkIdentity refuses to give the name of one cluster to another, and a second name to one: either
// would move or double everything that is placed there. It returns what the hub knows by the name, nil
// for nothing.
func (c *Cluster) checkIdentity(ctx context.Context, name, uid string) (*unstructured.Unstructured, error) {
	resource, err := c.resource(clusterRef(name))
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	list, err := resource.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("hub: list clusters: %w", err)
	}
	var before *unstructured.Unstructured
	for i := range list.Items {
		known := list.Items[i].GetAnnotations()[AnnotationClusterUID]
		other := list.Items[i].GetName()
		if other == name {
			before = &list.Items[i]
		}
		switch {
		case known == "" || uid == "":
		case other == name && known != uid:
			return nil, fmt.Errorf("the name %q is taken by another cluster; choose another name, or remove that one first with: armada-sync unjoin %s", name, name)
		case other != name && known == uid:
			return nil, fmt.Errorf("this cluster has joined as %q already; rename it by removing that one first with: armada-sync unjoin %s", other, other)
		}
	}
	return before, nil
}

// keep fills what is not said with what the hub has: an apply takes back what it does not mention.
func (o *Options) keep(before *unstructured.Unstructured) {
	if before == nil {
		return
	}
	labels := before.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, o.Labels)
	o.Labels = labels
	provider, _, _ := unstructured.NestedString(before.Object, "spec", "provider")
	region, _, _ := unstructured.NestedString(before.Object, "spec", "region")
	zones, _, _ := unstructured.NestedStringSlice(before.Object, "spec", "zones")
	o.Provider, o.Region = cmp.Or(o.Provider, provider), cmp.Or(o.Region, region)
	if len(o.Zones) == 0 {
		o.Zones = zones
	}
}

// newKubeconfig asks for a token of our account and proves that what comes out is a kubeconfig that a
// hub may use and that works.
func (c *Cluster) newKubeconfig(ctx context.Context, endpoint clientcmdapi.Cluster, lifetime time.Duration, now time.Time) ([]byte, Token, error) {
	seconds := int64(lifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := c.typed.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, Account, request, metav1.CreateOptions{})
	if err != nil {
		return nil, Token{}, fmt.Errorf("ask for a token of %s/%s: %w", Namespace, Account, explain(c.config.Host, err))
	}
	data, err := writeKubeconfig(endpoint, answer.Status.Token)
	if err != nil {
		return nil, Token{}, err
	}
	if err := proveKubeconfig(ctx, data); err != nil {
		return nil, Token{}, err
	}
	return data, Token{Issued: now, Expires: answer.Status.ExpirationTimestamp.Time}, nil
}

// proveKubeconfig uses a kubeconfig as the hub will.
func proveKubeconfig(ctx context.Context, data []byte) error {
	cfg, err := kubeconfig.Load(data, kubeconfig.Options{})
	if err != nil {
		return err
	}
	facts, err := Probe(ctx, cfg)
	if err != nil {
		return fmt.Errorf("with the new token: %w", err)
	}
	if want := "system:serviceaccount:" + Namespace + ":" + Account; facts.User != want {
		return fmt.Errorf("with the new token: the cluster takes us for %q, want %q", facts.User, want)
	}
	ours, err := Connect(cfg)
	if err != nil {
		return err
	}
	err = await(ctx, grantTimeout, func(ctx context.Context) (bool, error) {
		review, err := ours.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: "*", Resource: "*", Version: "*", Verb: "watch",
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return false, explain(cfg.Host, err)
		}
		return review.Status.Allowed, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &ProbeError{ReasonForbidden, fmt.Sprintf("the account does not have its rights after %s", grantTimeout), "see that the cluster authorizes by RBAC"}
	}
	return err
}

func writeKubeconfig(endpoint clientcmdapi.Cluster, token string) ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	endpoint.LocationOfOrigin, endpoint.Extensions = "", nil
	cfg.Clusters["member"] = &endpoint
	cfg.AuthInfos["armada-sync"] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts["member"] = &clientcmdapi.Context{Cluster: "member", AuthInfo: "armada-sync"}
	cfg.CurrentContext = "member"
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, errors.New("write the kubeconfig: the cluster's entry cannot be encoded")
	}
	return data, nil
}

// SecretName is the name of the Secret on the hub, in Namespace, with the kubeconfig of a cluster.
func SecretName(cluster string) string { return cluster + "-kubeconfig" }

func kubeconfigSecret(cluster string, data []byte, t Token) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeOpaque)}}
	o.SetNamespace(Namespace)
	o.SetName(SecretName(cluster))
	o.SetLabels(map[string]string{LabelCluster: cluster, "app.kubernetes.io/part-of": "armada-sync"})
	if data != nil {
		o.SetAnnotations(map[string]string{
			AnnotationTokenIssued:  t.Issued.UTC().Format(time.RFC3339),
			AnnotationTokenExpires: t.Expires.UTC().Format(time.RFC3339),
		})
		// Not stringData: the API server does not show who owns what came that way.
		o.Object["data"] = map[string]any{"kubeconfig": base64.StdEncoding.EncodeToString(data)}
	}
	return o
}

func clusterObject(opts Options, uid string) *unstructured.Unstructured {
	o := clusterRef(opts.Name)
	if len(opts.Labels) > 0 {
		o.SetLabels(maps.Clone(opts.Labels))
	}
	if uid != "" {
		o.SetAnnotations(map[string]string{AnnotationClusterUID: uid})
	}
	spec := v1alpha1.ClusterSpec{
		Provider: opts.Provider, Region: opts.Region, Zones: opts.Zones,
		SecretRef: &v1alpha1.SecretReference{Namespace: Namespace, Name: SecretName(opts.Name), Key: "kubeconfig"},
	}
	// A spec of strings alone always converts.
	o.Object["spec"], _ = runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	return o
}
