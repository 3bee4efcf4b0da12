package plan

import (
	"cmp"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// rank orders kinds within a wave: what others need comes first. The numbers leave no meaning beyond
// their order.
type rank int

const (
	rankCRD rank = iota
	rankNamespace
	rankClass
	rankClusterRBAC
	rankServiceAccount
	rankConfig
	rankStorage
	rankRBAC
	rankPolicy
	rankService
	rankWorkload
	rankRest
	rankAutoscaler
	rankIngress
	rankAPIService
	rankWebhook
)

// ranks of built-in kinds; every other kind has rankRest, so that custom resources come when what
// they are made of is there.
var ranks = map[groupKind]rank{
	{"apiextensions.k8s.io", "CustomResourceDefinition"}: rankCRD,
	{"", "Namespace"}:                                                    rankNamespace,
	{"storage.k8s.io", "StorageClass"}:                                   rankClass,
	{"storage.k8s.io", "VolumeAttributesClass"}:                          rankClass,
	{"storage.k8s.io", "CSIDriver"}:                                      rankClass,
	{"scheduling.k8s.io", "PriorityClass"}:                               rankClass,
	{"networking.k8s.io", "IngressClass"}:                                rankClass,
	{"node.k8s.io", "RuntimeClass"}:                                      rankClass,
	{"gateway.networking.k8s.io", "GatewayClass"}:                        rankClass,
	{"resource.k8s.io", "DeviceClass"}:                                   rankClass,
	{"rbac.authorization.k8s.io", "ClusterRole"}:                         rankClusterRBAC,
	{"rbac.authorization.k8s.io", "ClusterRoleBinding"}:                  rankClusterRBAC,
	{"", "ServiceAccount"}:                                               rankServiceAccount,
	{"", "Secret"}:                                                       rankConfig,
	{"", "ConfigMap"}:                                                    rankConfig,
	{"", "PersistentVolume"}:                                             rankStorage,
	{"", "PersistentVolumeClaim"}:                                        rankStorage,
	{"rbac.authorization.k8s.io", "Role"}:                                rankRBAC,
	{"rbac.authorization.k8s.io", "RoleBinding"}:                         rankRBAC,
	{"", "ResourceQuota"}:                                                rankPolicy,
	{"", "LimitRange"}:                                                   rankPolicy,
	{"networking.k8s.io", "NetworkPolicy"}:                               rankPolicy,
	{"policy", "PodDisruptionBudget"}:                                    rankPolicy,
	{"", "Service"}:                                                      rankService,
	{"apps", "DaemonSet"}:                                                rankWorkload,
	{"", "Pod"}:                                                          rankWorkload,
	{"", "ReplicationController"}:                                        rankWorkload,
	{"apps", "ReplicaSet"}:                                               rankWorkload,
	{"apps", "Deployment"}:                                               rankWorkload,
	{"apps", "StatefulSet"}:                                              rankWorkload,
	{"batch", "Job"}:                                                     rankWorkload,
	{"batch", "CronJob"}:                                                 rankWorkload,
	{"autoscaling", "HorizontalPodAutoscaler"}:                           rankAutoscaler,
	{"networking.k8s.io", "Ingress"}:                                     rankIngress,
	{"gateway.networking.k8s.io", "Gateway"}:                             rankIngress,
	{"gateway.networking.k8s.io", "HTTPRoute"}:                           rankIngress,
	{"gateway.networking.k8s.io", "GRPCRoute"}:                           rankIngress,
	{"gateway.networking.k8s.io", "TLSRoute"}:                            rankIngress,
	{"apiregistration.k8s.io", "APIService"}:                             rankAPIService,
	{"admissionregistration.k8s.io", "ValidatingWebhookConfiguration"}:   rankWebhook,
	{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:     rankWebhook,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicy"}:        rankWebhook,
	{"admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"}: rankWebhook,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicy"}:          rankWebhook,
	{"admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"}:   rankWebhook,
}

func rankOf(r v1alpha1.ObjectReference) rank {
	if k, ok := ranks[groupKind{r.Group(), r.Kind}]; ok {
		return k
	}
	return rankRest
}

// KindOrder returns the place of an object's kind in the order in which kinds go out within a wave, from 0; kinds
// of one place go out together.
func KindOrder(r v1alpha1.ObjectReference) int { return int(rankOf(r)) }

// compareOperations orders the operations of a cluster as they may start: by wave, then by kind.
// Prunes come last and in reverse, but for what takes traffic, which goes first of all.
func compareOperations(a, b *Operation) int {
	aPrune, bPrune := a.Action == v1alpha1.ActionPrune, b.Action == v1alpha1.ActionPrune
	if aPrune != bPrune {
		return compareBool(aPrune, bPrune)
	}
	if aPrune {
		return cmp.Or(
			cmp.Compare(trafficOrder(a.ObjectReference), trafficOrder(b.ObjectReference)),
			cmp.Compare(b.Wave, a.Wave),
			cmp.Compare(rankOf(b.ObjectReference), rankOf(a.ObjectReference)),
			a.Compare(b.ObjectReference),
		)
	}
	return cmp.Or(
		cmp.Compare(a.Wave, b.Wave),
		cmp.Compare(rankOf(a.ObjectReference), rankOf(b.ObjectReference)),
		a.Compare(b.ObjectReference),
	)
}

// trafficOrder is lowest for what leads traffic to a copy that is about to go.
func trafficOrder(r v1alpha1.ObjectReference) int {
	switch rankOf(r) {
	case rankIngress:
		return 0
	case rankService:
		return 1
	default:
		return 2
	}
}
