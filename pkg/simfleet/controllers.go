package simfleet

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/ptr"
)

// BehaviourAnnotation says how a workload fares: ok, hang or crash. It counts on
// the object and on its pod template; the object's own wins.
const BehaviourAnnotation = "simfleet.armada-sync.io/behaviour"

// The values of BehaviourAnnotation.
const (
	// BehaviourOK: becomes ready after ReadyAfter.
	BehaviourOK = "ok"
	// BehaviourHang: starts and never becomes ready.
	BehaviourHang = "hang"
	// BehaviourCrash: fails after ReadyAfter, as after the progress deadline.
	BehaviourCrash = "crash"
)

// controllerManager is the field manager of the simulated controllers, as that
// of the real ones.
const controllerManager = "kube-controller-manager"

// changed lets the simulated controllers see a change of the store.
func (c *Cluster) changed(gr schema.GroupResource, ch change) {
	c.collect(gr, ch)
	c.watchNamespaces(gr, ch)
	c.watchDefinitions(gr, ch)
	if ch.after == nil {
		c.tasks.cancel("start/" + gr.String() + "/" + ch.key)
		c.tasks.cancel("ready/" + gr.String() + "/" + ch.key)
		return
	}
	c.watchWorkload(gr, ch)
	c.watchProtection(gr, ch)
	if svc, ok := ch.after.(*corev1.Service); ok && len(svc.Spec.Selector) > 0 {
		c.tasks.schedule("endpoints/"+ch.key, 0, func() { c.reconcileEndpoints(ch.key) })
	}
}

// The finalizers that keep storage while it is in use.
const (
	claimProtection  = "kubernetes.io/pvc-protection"
	volumeProtection = "kubernetes.io/pv-protection"
)

func protect(m metav1.Object, finalizer string) {
	if !slices.Contains(m.GetFinalizers(), finalizer) {
		m.SetFinalizers(append(m.GetFinalizers(), finalizer))
	}
}

// watchProtection lets go of claims and volumes in deletion: no simulated pod
// uses one.
func (c *Cluster) watchProtection(gr schema.GroupResource, ch change) {
	var finalizer string
	switch ch.after.(type) {
	case *corev1.PersistentVolumeClaim:
		finalizer = claimProtection
	case *corev1.PersistentVolume:
		finalizer = volumeProtection
	default:
		return
	}
	if m, err := meta.Accessor(ch.after); err == nil && m.GetDeletionTimestamp() != nil && slices.Contains(m.GetFinalizers(), finalizer) {
		c.tasks.schedule("protection/"+gr.String()+"/"+ch.key, 0, func() { c.dropFinalizer(place{gr, ch.key}, finalizer) })
	}
}

// watchNamespaces runs the namespace and service account controllers.
func (c *Cluster) watchNamespaces(gr schema.GroupResource, ch change) {
	if gr == namespaceResource {
		ns, ok := ch.after.(*corev1.Namespace)
		switch {
		case !ok:
		case !ns.DeletionTimestamp.IsZero():
			c.tasks.schedule("namespace/"+ns.Name, 0, func() { c.emptyNamespace(ns.Name) })
		case ch.before == nil:
			c.tasks.schedule("namespace/"+ns.Name, 0, func() { c.furnishNamespace(ns.Name) })
		}
		return
	}
	if ch.after != nil {
		return
	}
	name, _, namespaced := strings.Cut(ch.key, "/")
	if ns, ok := c.store.get(namespaceResource, name).(*corev1.Namespace); namespaced && ok && !ns.DeletionTimestamp.IsZero() {
		c.tasks.schedule("namespace/"+name, 0, func() { c.emptyNamespace(name) })
	}
}

// furnishNamespace creates what every namespace gets: the default service
// account and the cluster's root certificate.
func (c *Cluster) furnishNamespace(name string) {
	ns, ok := c.store.get(namespaceResource, name).(*corev1.Namespace)
	if !ok || !ns.DeletionTimestamp.IsZero() {
		return
	}
	c.createAs(controllerManager, corev1.SchemeGroupVersion.WithKind("ServiceAccount"), name,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}})
	c.createAs(controllerManager, corev1.SchemeGroupVersion.WithKind("ConfigMap"), name, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt", Namespace: name, Annotations: map[string]string{
			"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
		}},
		Data: map[string]string{"ca.crt": "simulated\n"},
	})
}

func setNamespaceCondition(ns *corev1.Namespace, kind corev1.NamespaceConditionType, reason, message string, now time.Time) {
	for i := range ns.Status.Conditions {
		if cond := &ns.Status.Conditions[i]; cond.Type == kind {
			if cond.Status != corev1.ConditionTrue {
				cond.LastTransitionTime = metav1.NewTime(now)
			}
			cond.Status, cond.Reason, cond.Message = corev1.ConditionTrue, reason, message
			return
		}
	}
	ns.Status.Conditions = append(ns.Status.Conditions, corev1.NamespaceCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
	})
}

// reconcileEndpoints keeps the EndpointSlice of a Service, which, as the real
// controller's, carries all labels of the Service.
func (c *Cluster) reconcileEndpoints(key string) {
	svc, ok := c.store.get(schema.GroupResource{Resource: "services"}, key).(*corev1.Service)
	if !ok || !svc.DeletionTimestamp.IsZero() {
		return
	}
	labels := map[string]string{}
	for k, v := range svc.Labels {
		labels[k] = v
	}
	labels[discoveryv1.LabelServiceName] = svc.Name
	labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	if svc.Spec.ClusterIP == corev1.ClusterIPNone {
		labels[corev1.IsHeadlessService] = ""
	}
	name := svc.Name + "-" + suffix(string(svc.UID))
	gvk := discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")
	sv := c.findKind(gvk)
	stored := c.store.get(sv.registry.resource, storeKey(svc.Namespace, name))
	if stored == nil {
		c.createAs(controllerManager, gvk, svc.Namespace, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: svc.Namespace, GenerateName: svc.Name + "-", Labels: labels,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(svc, corev1.SchemeGroupVersion.WithKind("Service"))},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   []discoveryv1.Endpoint{},
		})
		return
	}
	c.updateAs(controllerManager, sv, "", svc.Namespace, name, func(obj runtime.Object) {
		if m, err := meta.Accessor(obj); err == nil {
			m.SetLabels(labels)
		}
	})
}

// suffix is a short stable name part, as generated names have.
func suffix(uid string) string {
	return strings.ReplaceAll(uid, "-", "")[:5]
}

// createAs creates an object as a controller does; one that is there stays.
func (c *Cluster) createAs(manager string, gvk schema.GroupVersionKind, namespace string, obj runtime.Object) {
	sv := c.findKind(gvk)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	c.catalog.scheme.Default(obj)
	obj = sv.managers[""].UpdateNoErrors(sv.registry.newFunc(), obj, manager)
	_, _ = sv.registry.Create(c.internalContext(namespace), obj, rest.ValidateAllObjectFunc, &metav1.CreateOptions{FieldManager: manager})
}

// updateAs changes an object, or a subresource of it, as a controller does.
func (c *Cluster) updateAs(manager string, sv *served, subresource, namespace, name string, edit func(runtime.Object)) {
	_ = c.editObject(manager, sv, subresource, namespace, name, func(obj runtime.Object) error {
		edit(obj)
		return nil
	})
}

// editObject runs an update through the strategy and the field manager of an
// endpoint, past the network and its faults.
func (c *Cluster) editObject(manager string, sv *served, subresource, namespace, name string, edit func(runtime.Object) error) error {
	ctx := c.internalContext(namespace)
	info := rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		next := old.DeepCopyObject()
		next.GetObjectKind().SetGroupVersionKind(sv.gvk)
		if err := edit(next); err != nil {
			return nil, err
		}
		live := old.DeepCopyObject()
		live.GetObjectKind().SetGroupVersionKind(sv.gvk)
		return sv.managers[subresource].UpdateNoErrors(live, next, manager), nil
	})
	var strategy rest.RESTUpdateStrategy = sv.registry.strategy
	if s := sv.updates[subresource]; s != nil {
		strategy = s
	}
	_, _, err := sv.registry.update(ctx, strategy, name, info, nil, nil, false, &metav1.UpdateOptions{FieldManager: manager})
	return err
}

// addFirstObjects creates what a new cluster has: its namespaces, the API's own
// Service, a storage class, and nodes.
func (c *Cluster) addFirstObjects(spec ClusterSpec) error {
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease"} {
		c.createAs("kube-apiserver", corev1.SchemeGroupVersion.WithKind("Namespace"), "", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	c.createAs("kube-apiserver", corev1.SchemeGroupVersion.WithKind("Service"), metav1.NamespaceDefault, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: metav1.NamespaceDefault, Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack),
			Ports: []corev1.ServicePort{{Name: "https", Port: 443}},
		},
	})
	return c.addNodes(spec.Nodes)
}
