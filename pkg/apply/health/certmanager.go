package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// certManagerRule knows cert-manager, whose Ready is False both while it issues and when it failed.
func certManagerRule(kind string) (rule Rule, listed bool) {
	switch kind {
	case "Certificate":
		return certificate, true
	case "Issuer", "ClusterIssuer":
		return byConditions{ready: []string{"Ready"}, broken: true}.judge, true
	case "CertificateRequest":
		return byConditions{
			ready: []string{"Ready"}, failed: []string{"Denied", "InvalidRequest"}, fatal: []string{"Failed", "Denied"},
		}.judge, true
	case "Order", "Challenge":
		return byPhase{
			field: []string{"status", "state"}, message: []string{"status", "reason"},
			good: []string{"valid"}, bad: []string{"invalid", "expired", "errored"},
		}.judge, true
	}
	return nil, true
}

// certificate tells a certificate that is being issued from one whose last attempt failed. While a
// valid one is renewed, Ready stays True.
func certificate(u *unstructured.Unstructured) Verdict {
	issuing, found := find(statusConditions(u), "Issuing")
	if v, unsettled := unsettled(u); !unsettled && found && issuing.status == "False" && issuing.reason == "Failed" {
		if ready := (byConditions{ready: []string{"Ready"}}).judge(u); ready != healthy() {
			return degraded("%s", issuing)
		}
	} else if unsettled {
		return v
	}
	return byConditions{ready: []string{"Ready"}}.judge(u)
}
