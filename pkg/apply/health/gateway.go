package health

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// gatewayRule knows the Gateway API, whose kinds have no condition Ready and keep some of their
// conditions deeper in the status.
func gatewayRule(kind string) (rule Rule, listed bool) {
	switch kind {
	case "GatewayClass":
		return byConditions{ready: []string{"Accepted"}, broken: true, pending: pendingReasons()}.judge, true
	case "Gateway":
		return gateway, true
	case "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute":
		return route, true
	case "BackendTLSPolicy", "BackendTrafficPolicy":
		return policy, true
	}
	return nil, true
}

// pendingReasons are those with which a controller says that it has not decided yet.
func pendingReasons() []string { return []string{"Pending", "Waiting", "AddressNotAssigned"} }

// gateway wants the Gateway programmed and each of its listeners in order.
func gateway(u *unstructured.Unstructured) Verdict {
	r := byConditions{ready: []string{"Accepted", "Programmed"}, broken: true, pending: pendingReasons()}
	v := r.judge(u)
	if v.Health == v1alpha1.HealthProgressing {
		return v
	}
	listeners, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "listeners")
	list, _ := listeners.([]any)
	for _, item := range list {
		listener, _ := item.(map[string]any)
		name, _ := listener["name"].(string)
		for _, c := range conditionsAt(listener, "conditions") {
			bad := c.status == "False" && (c.kind == "Accepted" || c.kind == "ResolvedRefs" || c.kind == "Programmed") ||
				c.status == "True" && c.kind == "Conflicted"
			if !bad {
				continue
			}
			// What is wrong with a listener says more than that the Gateway has something wrong.
			verdict := r.judgeOne(condition{status: "False", reason: c.reason})
			verdict.Message = fmt.Sprintf("listener %q: %s", name, c)
			return verdict
		}
	}
	return v
}

// route wants every Gateway that the route names to have taken it: it is useless where it was refused.
func route(u *unstructured.Unstructured) Verdict {
	wanted, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "parentRefs")
	parents, _ := wanted.([]any)
	if len(parents) == 0 {
		return healthyUnlessDeleted(u)
	}
	return byParents(u, "parents", "parentRef", len(parents), byConditions{
		ready: []string{"Accepted", "ResolvedRefs"}, broken: true, pending: pendingReasons(),
	})
}

// policy wants at least one Gateway to have taken it.
func policy(u *unstructured.Unstructured) Verdict {
	return byParents(u, "ancestors", "ancestorRef", 1, byConditions{ready: []string{"Accepted"}, broken: true, pending: pendingReasons()})
}

func healthyUnlessDeleted(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	return healthy()
}

// byParents judges the conditions that each parent set, under the name of the parent.
func byParents(u *unstructured.Unstructured, list, ref string, wanted int, r byConditions) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	found, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", list)
	parents, _ := found.([]any)
	worst := healthy()
	for _, item := range parents {
		parent, _ := item.(map[string]any)
		name, _, _ := unstructured.NestedString(parent, ref, "name")
		v := r.judgeConditions(conditionsAt(parent, "conditions"), u.GetGeneration())
		if v.Health == v1alpha1.HealthHealthy || worst.Health == v1alpha1.HealthDegraded {
			continue
		}
		if worst.Health == v1alpha1.HealthHealthy || v.Health == v1alpha1.HealthDegraded {
			worst = v
			worst.Message = fmt.Sprintf("%q: %s", name, v.Message)
		}
	}
	if worst == healthy() && len(parents) < wanted {
		return progressing("%d of %d Gateways have taken it", len(parents), wanted)
	}
	return worst
}
