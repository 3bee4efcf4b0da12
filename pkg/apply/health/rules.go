package health

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ruleOf returns the rule that comes with the program. listed tells that the kind was thought of: a nil
// rule then means that its objects are healthy by existing.
//
// Kinds without a state of their own are left out, since a kind with a rule is watched in full. So are
// some that have one: an Ingress or a Service of type LoadBalancer works with many controllers that
// never write an address into it; a CronJob that failed last night is as Git wants it, and a fix must
// not wait for tomorrow's run.
func ruleOf(gk schema.GroupKind) (rule Rule, listed bool) {
	switch gk.Group {
	case "", "apps", "batch", "autoscaling", "apiextensions.k8s.io", "apiregistration.k8s.io":
		return kubernetesRule(gk)
	case "gateway.networking.k8s.io":
		return gatewayRule(gk.Kind)
	case "argoproj.io":
		return argoRule(gk.Kind)
	case "cert-manager.io", "acme.cert-manager.io":
		return certManagerRule(gk.Kind)
	case "keda.sh":
		return kedaRule(gk.Kind)
	case "snapshot.storage.k8s.io":
		return snapshotRule(gk.Kind)
	}
	return familyRule(gk)
}

// familyRule knows groups of which nearly all kinds follow one habit.
func familyRule(gk schema.GroupKind) (rule Rule, listed bool) {
	inGroup := func(suffix string) bool { return gk.Group == suffix || strings.HasSuffix(gk.Group, "."+suffix) }
	switch {
	case inGroup("crossplane.io"), inGroup("upbound.io"):
		return crossplaneRule(gk)
	case inGroup("toolkit.fluxcd.io"):
		if gk.Group == "notification.toolkit.fluxcd.io" && gk.Kind != "Receiver" {
			// Alerts and Providers have no status since v1beta3.
			return nil, false
		}
		return byConditions{ready: []string{"Ready"}, failed: []string{"Stalled"}, busy: []string{"Reconciling"}}.judge, true
	case inGroup("knative.dev"):
		// Unknown means at work, False that it failed.
		return byConditions{ready: []string{"Ready"}, broken: true}.judge, true
	case gk.Group == "external-secrets.io" && gk.Kind != "ClusterPushSecret":
		return byConditions{ready: []string{"Ready"}, broken: true}.judge, true
	case gk == schema.GroupKind{Group: "bitnami.com", Kind: "SealedSecret"}:
		return byConditions{ready: []string{"Synced"}, broken: true}.judge, true
	case gk.Group == "kafka.strimzi.io":
		return byConditions{ready: []string{"Ready"}, failed: []string{"NotReady"}}.judge, true
	case gk.Group == "monitoring.coreos.com":
		switch gk.Kind {
		case "Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler":
			return byConditions{ready: []string{"Reconciled", "Available"}, fatal: []string{"ReconciliationFailed"}}.judge, true
		}
	}
	return nil, false
}

// crossplaneRule knows the packages of Crossplane, its definitions and the resources of its providers.
// Claims and composites are of groups that people choose; generic judges them, since they carry the same
// conditions.
func crossplaneRule(gk schema.GroupKind) (rule Rule, listed bool) {
	switch gk.Group {
	case "pkg.crossplane.io":
		switch gk.Kind {
		case "Provider", "Configuration", "Function":
			return byConditions{
				ready: []string{"Installed", "Healthy"}, fatal: []string{"UnhealthyPackageRevision"},
			}.judge, true
		case "ProviderRevision", "ConfigurationRevision", "FunctionRevision":
			return byConditions{ready: []string{"Healthy"}, fatal: []string{"UnhealthyPackageRevision"}}.judge, true
		}
		return nil, true
	case "apiextensions.crossplane.io":
		if gk.Kind == "CompositeResourceDefinition" {
			return byConditions{ready: []string{"Established"}, busy: []string{"TerminatingCompositeResource"}}.judge, true
		}
		return nil, true
	}
	for _, suffix := range []string{"ProviderConfig", "ProviderConfigUsage", "StoreConfig", "Usage"} {
		if strings.HasSuffix(gk.Kind, suffix) {
			return nil, true
		}
	}
	return byConditions{
		ready: []string{"Synced", "Ready"}, fatal: []string{"ReconcileError"},
	}.judge, true
}

// kedaRule knows what KEDA scales. What is paused stays as it is, as somebody wished.
func kedaRule(kind string) (rule Rule, listed bool) {
	switch kind {
	case "ScaledObject", "ScaledJob":
		return byConditions{ready: []string{"Ready"}, broken: true, failed: []string{"Fallback"}}.judge, true
	}
	return nil, true
}
