package simfleet

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func registerAdmissionDefaults(scheme *runtime.Scheme) {
	addDefault(scheme, func(o *admissionv1.ValidatingWebhookConfiguration) {
		for i := range o.Webhooks {
			w := &o.Webhooks[i]
			setDefault(&w.FailurePolicy, admissionv1.Fail)
			setDefault(&w.MatchPolicy, admissionv1.Equivalent)
			setDefault(&w.NamespaceSelector, metav1.LabelSelector{})
			setDefault(&w.ObjectSelector, metav1.LabelSelector{})
			setDefault(&w.TimeoutSeconds, 10)
			defaultWebhook(w.Rules, w.ClientConfig.Service)
		}
	})
	addDefault(scheme, func(o *admissionv1.MutatingWebhookConfiguration) {
		for i := range o.Webhooks {
			w := &o.Webhooks[i]
			setDefault(&w.FailurePolicy, admissionv1.Fail)
			setDefault(&w.MatchPolicy, admissionv1.Equivalent)
			setDefault(&w.NamespaceSelector, metav1.LabelSelector{})
			setDefault(&w.ObjectSelector, metav1.LabelSelector{})
			setDefault(&w.TimeoutSeconds, 10)
			setDefault(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
			defaultWebhook(w.Rules, w.ClientConfig.Service)
		}
	})
	addDefault(scheme, func(o *admissionv1.ValidatingAdmissionPolicy) {
		setDefault(&o.Spec.FailurePolicy, admissionv1.Fail)
		defaultMatch(o.Spec.MatchConstraints)
	})
	addDefault(scheme, func(o *admissionv1.ValidatingAdmissionPolicyBinding) {
		defaultMatch(o.Spec.MatchResources)
	})
}

func defaultWebhook(rules []admissionv1.RuleWithOperations, service *admissionv1.ServiceReference) {
	for i := range rules {
		setDefault(&rules[i].Scope, admissionv1.AllScopes)
	}
	if service != nil {
		setDefault(&service.Port, 443)
	}
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	setDefault(&m.MatchPolicy, admissionv1.Equivalent)
	setDefault(&m.NamespaceSelector, metav1.LabelSelector{})
	setDefault(&m.ObjectSelector, metav1.LabelSelector{})
	for i := range m.ResourceRules {
		setDefault(&m.ResourceRules[i].Scope, admissionv1.AllScopes)
	}
	for i := range m.ExcludeResourceRules {
		setDefault(&m.ExcludeResourceRules[i].Scope, admissionv1.AllScopes)
	}
}
