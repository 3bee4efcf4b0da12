package simfleet

import (
	"fmt"
	"hash/fnv"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

func serviceRules() kindRules {
	return kindRules{
		// Names may start with a digit since Kubernetes 1.36.
		name: validation.NameIsDNSLabel,
		prepareCreate: func(c *Cluster, o runtime.Object) {
			allocateService(c, o.(*corev1.Service))
		},
		prepareUpdate: func(o, old runtime.Object) {
			keepServiceAddresses(o.(*corev1.Service), old.(*corev1.Service))
		},
		validate: validateService,
		validateUpdate: func(o, old runtime.Object) field.ErrorList {
			a, b := o.(*corev1.Service), old.(*corev1.Service)
			if a.Spec.Type == corev1.ServiceTypeExternalName || b.Spec.Type == corev1.ServiceTypeExternalName || b.Spec.ClusterIP == "" {
				return nil
			}
			if len(a.Spec.ClusterIPs) > 0 && len(b.Spec.ClusterIPs) > 0 && a.Spec.ClusterIPs[0] != b.Spec.ClusterIPs[0] {
				return field.ErrorList{field.Invalid(field.NewPath("spec", "clusterIPs").Index(0), a.Spec.ClusterIPs, "may not change once set")}
			}
			return nil
		},
	}
}

// allocateService gives a Service what the API server allocates: cluster IPs,
// the IP family, and node ports. The address follows from cluster, namespace and
// name, so that a run repeats.
func allocateService(c *Cluster, svc *corev1.Service) {
	sp := &svc.Spec
	if sp.Type == corev1.ServiceTypeExternalName {
		return
	}
	sum := fnv.New32a()
	_, _ = fmt.Fprintf(sum, "%s/%s/%s", c.name, svc.Namespace, svc.Name)
	n := sum.Sum32()
	if sp.ClusterIP == "" {
		sp.ClusterIP = fmt.Sprintf("10.%d.%d.%d", 96+n>>16%16, n>>8%256, 1+n%254)
	}
	if len(sp.ClusterIPs) == 0 {
		sp.ClusterIPs = []string{sp.ClusterIP}
	}
	if len(sp.IPFamilies) == 0 {
		sp.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	setDefault(&sp.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	balanced := sp.Type == corev1.ServiceTypeLoadBalancer && ptr.Deref(sp.AllocateLoadBalancerNodePorts, true)
	if sp.Type != corev1.ServiceTypeNodePort && !balanced {
		return
	}
	for i := range sp.Ports {
		setIfZero(&sp.Ports[i].NodePort, 30000+int32((n+uint32(i)*7919)%2768))
	}
}

// keepServiceAddresses fills addresses and node ports that an update leaves out.
func keepServiceAddresses(svc, old *corev1.Service) {
	sp, was := &svc.Spec, &old.Spec
	if sp.Type == corev1.ServiceTypeExternalName {
		return
	}
	if sp.ClusterIP == "" && was.ClusterIP != "" {
		sp.ClusterIP = was.ClusterIP
	}
	if len(sp.ClusterIPs) == 0 {
		sp.ClusterIPs = slices.Clone(was.ClusterIPs)
	}
	// Whoever sets the one address means the first of the list.
	if sp.ClusterIP != was.ClusterIP && len(sp.ClusterIPs) > 0 && slices.Equal(sp.ClusterIPs, was.ClusterIPs) {
		sp.ClusterIPs = append([]string{sp.ClusterIP}, sp.ClusterIPs[1:]...)
	}
	if len(sp.IPFamilies) == 0 {
		sp.IPFamilies = was.IPFamilies
	}
	if sp.IPFamilyPolicy == nil {
		sp.IPFamilyPolicy = was.IPFamilyPolicy
	}
	if sp.Type == corev1.ServiceTypeClusterIP {
		return
	}
	for i := range sp.Ports {
		for _, p := range was.Ports {
			if p.Port == sp.Ports[i].Port && p.Protocol == sp.Ports[i].Protocol {
				setIfZero(&sp.Ports[i].NodePort, p.NodePort)
			}
		}
	}
}

func validateService(o runtime.Object) field.ErrorList {
	svc := o.(*corev1.Service)
	at := field.NewPath("spec", "ports")
	var errs field.ErrorList
	headless := svc.Spec.ClusterIP == corev1.ClusterIPNone
	if len(svc.Spec.Ports) == 0 && !headless && svc.Spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(at, ""))
	}
	names := map[string]bool{}
	for i, p := range svc.Spec.Ports {
		if p.Name == "" {
			if len(svc.Spec.Ports) > 1 {
				errs = append(errs, field.Required(at.Index(i).Child("name"), ""))
			}
		} else {
			errs = append(errs, validateUniqueLabel(p.Name, names, at.Index(i).Child("name"))...)
		}
		for _, msg := range utilvalidation.IsValidPortNum(int(p.Port)) {
			errs = append(errs, field.Invalid(at.Index(i).Child("port"), p.Port, msg))
		}
	}
	return errs
}
