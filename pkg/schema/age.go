package schema

import (
	"reflect"
	"sync"

	admissionregistrationv1alpha1 "k8s.io/api/admissionregistration/v1alpha1"
	admissionregistrationv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	authenticationv1alpha1 "k8s.io/api/authentication/v1alpha1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	certificatesv1alpha1 "k8s.io/api/certificates/v1alpha1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	coordinationv1alpha2 "k8s.io/api/coordination/v1alpha2"
	coordinationv1beta1 "k8s.io/api/coordination/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"
	eventsv1beta1 "k8s.io/api/events/v1beta1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	flowcontrolv1beta1 "k8s.io/api/flowcontrol/v1beta1"
	flowcontrolv1beta2 "k8s.io/api/flowcontrol/v1beta2"
	flowcontrolv1beta3 "k8s.io/api/flowcontrol/v1beta3"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	nodev1beta1 "k8s.io/api/node/v1beta1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	resourcev1alpha3 "k8s.io/api/resource/v1alpha3"
	resourcev1beta1 "k8s.io/api/resource/v1beta1"
	resourcev1beta2 "k8s.io/api/resource/v1beta2"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1alpha1 "k8s.io/api/storage/v1alpha1"
	storagev1beta1 "k8s.io/api/storage/v1beta1"
	storagemigrationv1beta1 "k8s.io/api/storagemigration/v1beta1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// Age says since when an API is deprecated and from when on it is not served any more.
type Age struct {
	// Deprecated and Removed are the first versions of Kubernetes for which that is so; zero: none.
	Deprecated, Removed Version
	// Replacement is the apiVersion to use, and the kind where it is another one; empty: there is none.
	Replacement string
}

// The methods by which k8s.io/api tells the age of a type; an API server of a version does not serve
// what these call removed by then.
type (
	deprecated interface{ APILifecycleDeprecated() (major, minor int) }
	removed    interface{ APILifecycleRemoved() (major, minor int) }
	replaced   interface {
		APILifecycleReplacement() kubeschema.GroupVersionKind
	}
)

// ages knows the age of the kinds that are, or will be, deprecated.
type ages struct{ scheme func() *runtime.Scheme }

func newAges() *ages { return &ages{scheme: sync.OnceValue(agingScheme)} }

// agingScheme has the types of the API versions that are not there to stay.
func agingScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1alpha1.AddToScheme, admissionregistrationv1beta1.AddToScheme, appsv1beta1.AddToScheme,
		appsv1beta2.AddToScheme, authenticationv1alpha1.AddToScheme, authenticationv1beta1.AddToScheme,
		authorizationv1beta1.AddToScheme, batchv1beta1.AddToScheme, certificatesv1alpha1.AddToScheme,
		certificatesv1beta1.AddToScheme, coordinationv1alpha2.AddToScheme, coordinationv1beta1.AddToScheme,
		corev1.AddToScheme, discoveryv1beta1.AddToScheme, eventsv1beta1.AddToScheme, extensionsv1beta1.AddToScheme,
		flowcontrolv1beta1.AddToScheme, flowcontrolv1beta2.AddToScheme, flowcontrolv1beta3.AddToScheme,
		networkingv1beta1.AddToScheme, nodev1beta1.AddToScheme, policyv1beta1.AddToScheme, rbacv1beta1.AddToScheme,
		resourcev1alpha3.AddToScheme, resourcev1beta1.AddToScheme, resourcev1beta2.AddToScheme,
		schedulingv1beta1.AddToScheme, storagev1alpha1.AddToScheme, storagev1beta1.AddToScheme,
		storagemigrationv1beta1.AddToScheme,
		apiextensionsv1beta1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			// Registering types fails only for mistakes of this program.
			panic(err)
		}
	}
	return scheme
}

// forgotten are kinds that k8s.io/api does not have any more, from
// https://kubernetes.io/docs/reference/using-api/deprecation-guide/.
var forgotten = map[groupVersionKind]Age{
	{"apiregistration.k8s.io", "v1beta1", "APIService"}:             {Version{1, 19}, Version{1, 22}, "apiregistration.k8s.io/v1"},
	{"autoscaling", "v2beta1", "HorizontalPodAutoscaler"}:           {Version{1, 22}, Version{1, 25}, "autoscaling/v2"},
	{"autoscaling", "v2beta2", "HorizontalPodAutoscaler"}:           {Version{1, 23}, Version{1, 26}, "autoscaling/v2"},
	{"policy", "v1beta1", "PodSecurityPolicy"}:                      {Version{1, 21}, Version{1, 25}, ""},
	{"extensions", "v1beta1", "PodSecurityPolicy"}:                  {Version{1, 11}, Version{1, 16}, ""},
	{"networking.k8s.io", "v1beta1", "Ingress"}:                     {Version{1, 19}, Version{1, 22}, "networking.k8s.io/v1"},
	{"networking.k8s.io", "v1beta1", "IngressClass"}:                {Version{1, 19}, Version{1, 22}, "networking.k8s.io/v1"},
	{"batch", "v2alpha1", "CronJob"}:                                {Version{1, 8}, Version{1, 21}, "batch/v1"},
	{"settings.k8s.io", "v1alpha1", "PodPreset"}:                    {Version{1, 19}, Version{1, 20}, ""},
	{"storage.k8s.io", "v1beta1", "StorageClass"}:                   {Version{1, 19}, Version{1, 22}, "storage.k8s.io/v1"},
	{"storage.k8s.io", "v1beta1", "CSIDriver"}:                      {Version{1, 19}, Version{1, 22}, "storage.k8s.io/v1"},
	{"storage.k8s.io", "v1beta1", "CSINode"}:                        {Version{1, 17}, Version{1, 22}, "storage.k8s.io/v1"},
	{"storage.k8s.io", "v1beta1", "VolumeAttachment"}:               {Version{1, 19}, Version{1, 22}, "storage.k8s.io/v1"},
	{"storage.k8s.io", "v1beta1", "CSIStorageCapacity"}:             {Version{1, 24}, Version{1, 27}, "storage.k8s.io/v1"},
	{"certificates.k8s.io", "v1beta1", "CertificateSigningRequest"}: {Version{1, 19}, Version{1, 22}, "certificates.k8s.io/v1"},
	{"scheduling.k8s.io", "v1alpha1", "PriorityClass"}:              {Version{1, 14}, Version{1, 23}, "scheduling.k8s.io/v1"},
	{"rbac.authorization.k8s.io", "v1alpha1", "Role"}:               {Version{1, 17}, Version{1, 23}, "rbac.authorization.k8s.io/v1"},
	{"rbac.authorization.k8s.io", "v1alpha1", "RoleBinding"}:        {Version{1, 17}, Version{1, 23}, "rbac.authorization.k8s.io/v1"},
	{"rbac.authorization.k8s.io", "v1alpha1", "ClusterRole"}:        {Version{1, 17}, Version{1, 23}, "rbac.authorization.k8s.io/v1"},
	{"rbac.authorization.k8s.io", "v1alpha1", "ClusterRoleBinding"}: {Version{1, 17}, Version{1, 23}, "rbac.authorization.k8s.io/v1"},
}

// Age returns the age of a manifest's API; ok is false for an API that is there to stay, and for one
// that is not known.
func (c *Checker) Age(object map[string]any) (age Age, ok bool) {
	kind := kindOf(object)
	if age, ok := forgotten[kind]; ok {
		return age, true
	}
	if kind.Group != "" && stable(kind.Version) {
		return Age{}, false
	}
	t, ok := c.ages.scheme().AllKnownTypes()[kubeschema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind}]
	if !ok {
		return Age{}, false
	}
	value := reflect.New(t).Interface()
	if v, is := value.(deprecated); is {
		age.Deprecated = versionOf(v.APILifecycleDeprecated())
	}
	if v, is := value.(removed); is {
		age.Removed = versionOf(v.APILifecycleRemoved())
	}
	if v, is := value.(replaced); is {
		to := v.APILifecycleReplacement()
		age.Replacement = to.GroupVersion().String()
		if to.Kind != kind.Kind {
			age.Replacement += " " + to.Kind
		}
	}
	return age, !age.Deprecated.IsZero() || !age.Removed.IsZero()
}

func versionOf(major, minor int) Version {
	return Version{Major: major, Minor: minor}
}

// IsRemoved tells that an API server of a version does not serve the API any more.
func (a Age) IsRemoved(v Version) bool {
	return !v.IsZero() && !a.Removed.IsZero() && v.Compare(a.Removed) >= 0
}

// IsDeprecated tells that an API server of a version serves the API, and warns of it.
func (a Age) IsDeprecated(v Version) bool {
	return !v.IsZero() && !a.IsRemoved(v) && !a.Deprecated.IsZero() && v.Compare(a.Deprecated) >= 0
}
