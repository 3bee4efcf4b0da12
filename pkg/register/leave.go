package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// ErrNotJoined tells that the hub knows no cluster of that name.
var ErrNotJoined = errors.New("no such cluster")

// syncTimeout is how long listing what a member holds may take.
const syncTimeout = time.Minute

// LeaveOptions say how a cluster leaves.
type LeaveOptions struct {
	// Name of the cluster. Required.
	Name string
	// Prune removes from the member what this hub applied there. Without it everything stays, with its
	// labels, so that a later join takes it up again.
	Prune bool
	// HubID is by which the member knows this hub's objects. Required with Prune.
	HubID string
	// Tell is called for each object removed. Required.
	Tell func(where string, w Written)
	// Warn is called with what was left behind, and why. Required.
	Warn func(string)
}

// Leave takes a cluster out of the hub's fleet. The member is reached with the rights of the caller, or
// where that is nil, with the hub's own. First the hub stops touching the member, last it forgets how to
// reach it: whatever fails in between can be done again. Credentials that joining did not make are
// somebody else's and stay. A cluster that would be discovered again does not leave: ErrComesBack.
func Leave(ctx context.Context, hub, member *Cluster, opts LeaveOptions) error {
	own := member == nil
	m, err := hub.membership(ctx, opts.Name)
	if err != nil {
		return err
	}
	if err := hub.comesBack(ctx, m); err != nil {
		return err
	}
	var cfg *rest.Config
	if own {
		if cfg, err = m.config(); err == nil {
			_, err = Probe(ctx, cfg)
		}
	} else {
		cfg = member.config
	}
	if err != nil && opts.Prune {
		return fmt.Errorf("cluster %q: nothing was changed: %w", opts.Name, err)
	}
	reachable := err == nil
	if !reachable {
		opts.Warn(fmt.Sprintf("cluster %q is not reached, so its account and roles stay there: %v", opts.Name, err))
	}
	if opts.Prune {
		// What is under way would put back what is removed.
		if err := hub.letGo(ctx, opts.Name); err != nil {
			return fmt.Errorf("cluster %q: nothing was removed: %w", opts.Name, err)
		}
		if err := pruneMember(ctx, cfg, opts); err != nil {
			return fmt.Errorf("cluster %q: %w; the hub does not touch it any more, do the same again to finish", opts.Name, err)
		}
	}
	if err := hub.remove(ctx, []*unstructured.Unstructured{clusterRef(opts.Name)}, func(w Written) { opts.Tell("hub", w) }); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if reachable && m.accountIsOurs(own) {
		if member == nil {
			if member, err = Connect(cfg); err != nil {
				return err
			}
		}
		member.removeAccount(ctx, own, opts)
	}
	return hub.forget(ctx, m, opts)
}

// removeAccount removes what joining created, apart from the namespace: others may have put things
// there. With our own token the roles that allow this go last, and their shells stay.
func (c *Cluster) removeAccount(ctx context.Context, own bool, opts LeaveOptions) {
	tell := func(w Written) { opts.Tell(opts.Name, w) }
	manifests, err := Manifests(ModeApply, nil)
	if err != nil {
		opts.Warn(err.Error())
		return
	}
	manifests = manifests[1:] // The namespace.
	tenants, err := c.tenantRoles(ctx)
	if err != nil {
		opts.Warn(fmt.Sprintf("cluster %q: %v", opts.Name, err))
	}
	manifests = append(manifests, tenants...)
	if own {
		needed := applyRole()
		manifests = append(needed, slices.DeleteFunc(manifests, func(o *unstructured.Unstructured) bool {
			return o.GetName() == RoleApply || o.GetKind() == "ServiceAccount"
		})...)
		// Of the rights that do it, the binding goes last.
		manifests = slices.DeleteFunc(manifests, func(o *unstructured.Unstructured) bool {
			return o.GetName() == RoleApply && o.GetKind() == "ClusterRole"
		})
	}
	if err := c.remove(ctx, manifests, tell); err != nil {
		opts.Warn(fmt.Sprintf("cluster %q: %v; remove it with an administrator's context: armada-sync unjoin %s --cluster-context CONTEXT", opts.Name, err, opts.Name))
		return
	}
	if own {
		opts.Warn(fmt.Sprintf("cluster %q keeps the account %s/%s, without rights, and the unused role %s: an account cannot remove itself", opts.Name, Namespace, Account, RoleApply))
	}
}

// applyRole are the role and the binding that allow our account to write.
func applyRole() []*unstructured.Unstructured {
	binding, role := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	for kind, o := range map[string]*unstructured.Unstructured{"ClusterRoleBinding": binding, "ClusterRole": role} {
		o.SetAPIVersion("rbac.authorization.k8s.io/v1")
		o.SetKind(kind)
		o.SetName(RoleApply)
	}
	return []*unstructured.Unstructured{binding, role}
}

// tenantRoles are the roles and bindings in namespaces of tenants that allow our account to act as others.
func (c *Cluster) tenantRoles(ctx context.Context) ([]*unstructured.Unstructured, error) {
	named := metav1.ListOptions{FieldSelector: "metadata.name=" + RoleTenant}
	roles, err := c.typed.RbacV1().Roles("").List(ctx, named)
	if err != nil {
		return nil, fmt.Errorf("list roles %q: %w", RoleTenant, err)
	}
	bindings, err := c.typed.RbacV1().RoleBindings("").List(ctx, named)
	if err != nil {
		return nil, fmt.Errorf("list role bindings %q: %w", RoleTenant, err)
	}
	var out []*unstructured.Unstructured
	add := func(kind, namespace string) {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("rbac.authorization.k8s.io/v1")
		o.SetKind(kind)
		o.SetNamespace(namespace)
		o.SetName(RoleTenant)
		out = append(out, o)
	}
	for i := range roles.Items {
		add("Role", roles.Items[i].Namespace)
	}
	for i := range bindings.Items {
		add("RoleBinding", bindings.Items[i].Namespace)
	}
	return out, nil
}

// pruneMember removes everything that the hub applied to a member, through the same code and with the
// same cautions as the controller: what holds data goes only with its annotation, and nothing that is not
// ours is touched.
func pruneMember(ctx context.Context, cfg *rest.Config, opts LeaveOptions) error {
	if opts.HubID == "" {
		return errors.New("the hub's id is not known, and so which objects are this hub's")
	}
	member, err := apply.New(apply.Options{Name: opts.Name, RESTConfig: cfg, HubID: opts.HubID})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer member.Wait()
	defer stop()
	member.Start(running)
	syncing, done := context.WithTimeout(ctx, syncTimeout)
	defer done()
	if err := member.WaitSynced(syncing); err != nil {
		return err
	}
	result, err := member.Execute(ctx, removal(opts, member.Inventory().Objects))
	if err != nil {
		return err
	}
	return report(result, opts)
}

// removal is the plan that removes everything held, the opposite of the order in which it came.
func removal(opts LeaveOptions, held plan.Inventory) plan.ClusterPlan {
	p := plan.ClusterPlan{
		APIVersion: v1alpha1.APIVersion, Kind: "ClusterPlan", Cluster: opts.Name, HubID: opts.HubID,
		Revisions: map[string]string{}, Operations: []plan.Operation{}, Sets: []plan.ApplySet{},
	}
	kinds, namespaces := map[string][]string{}, map[string][]string{}
	for h := range held.All() {
		p.Operations = append(p.Operations, plan.Operation{
			ObjectReference: h.ObjectReference, Action: v1alpha1.ActionPrune, Source: h.Source,
			Digest: h.Digest, ExpectedUID: h.UID, ExpectedDigest: h.Digest, Reason: "the cluster leaves the fleet",
		})
		if _, ok := kinds[h.Source]; !ok {
			kinds[h.Source] = nil
		}
		// What the executor refuses to remove stays listed, as it stays ours.
		if prune := h.Detail().Prune; prune == "disabled" || prune != "confirm" && holdsData(h) {
			kinds[h.Source] = append(kinds[h.Source], h.GroupKind())
			if h.Namespace != "" {
				namespaces[h.Source] = append(namespaces[h.Source], h.Namespace)
			}
		}
	}
	slices.SortFunc(p.Operations, func(a, b plan.Operation) int {
		return strings.Compare(a.String(), b.String())
	})
	for source := range kinds {
		slices.Sort(kinds[source])
		slices.Sort(namespaces[source])
		p.Sets = append(p.Sets, plan.ApplySet{
			Source: source, GroupKinds: slices.Compact(kinds[source]), Namespaces: slices.Compact(namespaces[source]),
		})
	}
	slices.SortFunc(p.Sets, func(a, b plan.ApplySet) int { return strings.Compare(a.Source, b.Source) })
	return p
}

// holdsData tells whether an object goes only with the annotation prune: confirm.
func holdsData(h *plan.Held) bool {
	switch h.GroupKind() {
	case "Namespace", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition.apiextensions.k8s.io":
		return true
	}
	return false
}

// report tells what became of each object. What failed is an error; what stays on purpose is a warning.
func report(result apply.Result, opts LeaveOptions) error {
	var failed []string
	for _, o := range result.Objects {
		switch {
		case o.Outcome == apply.OutcomePruned:
			opts.Tell(opts.Name, Written{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Outcome: Deleted})
		case o.Outcome == apply.OutcomeSkipped && o.Class == apply.ClassStalled:
			opts.Warn(fmt.Sprintf("cluster %q: %s %s", opts.Name, o.ObjectReference, o.Message))
		default:
			failed = append(failed, fmt.Sprintf("%s: %s", o.ObjectReference, o.Message))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d objects are not removed: %s", len(failed), strings.Join(failed[:min(len(failed), 5)], "; "))
	}
	return nil
}

// HubID reads by which id members know the hub's objects: what Config says, or what the controller made
// up and keeps. Empty before the controller ran for the first time.
func (c *Cluster) HubID(ctx context.Context) (string, error) {
	config, err := c.hubConfig(ctx)
	if err != nil {
		return "", err
	}
	if config != nil {
		if id, _, _ := unstructured.NestedString(config.Object, "spec", "hubID"); id != "" {
			return id, nil
		}
	}
	secret, err := c.typed.CoreV1().Secrets(Namespace).Get(ctx, HubSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	return string(secret.Data[HubSecretID]), nil
}

// hubConfig reads the Config of the hub; nil where there is none.
func (c *Cluster) hubConfig(ctx context.Context) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(v1alpha1.APIVersion)
	o.SetKind(v1alpha1.KindConfig)
	resource, err := c.resource(o)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	config, err := resource.Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	return config, nil
}

// HubSecret is the Secret in which the controller keeps the hub's id, under HubSecretID.
const (
	HubSecret   = "armada-sync-hub"
	HubSecretID = "hubID"
)
