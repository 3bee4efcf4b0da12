package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// foreignDefinitions are the least that a hub needs to hold what other systems say of clusters.
const foreignDefinitions = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %s.%s},
  spec: {group: %s, scope: Namespaced, names: {plural: %s, singular: %s, kind: %s, listKind: %sList},
    versions: [{name: %s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`

// started starts a replica with the shop. What is discovered may be in the fleet before its first decision or
// after it.
func (w *world) started() *replica {
	w.t.Helper()
	w.push(shop(8))
	return w.start("one")
}

// discovering prepares a hub on which c is described by Cluster API, d by a ClusterProfile and e by Argo CD.
func (w *world) discovering() {
	w.t.Helper()
	w.apply(fmt.Sprintf(foreignDefinitions, "clusters", "cluster.x-k8s.io", "cluster.x-k8s.io", "clusters", "cluster", "Cluster", "Cluster", "v1beta1"))
	w.apply(fmt.Sprintf(foreignDefinitions, "clusterprofiles", "multicluster.x-k8s.io", "multicluster.x-k8s.io", "clusterprofiles", "clusterprofile", "ClusterProfile", "ClusterProfile", "v1alpha1"))
	w.pass(time.Second)
	for _, c := range w.fleet.Clusters() {
		d, err := dynamic.NewForConfig(c.RESTConfig())
		if err != nil {
			w.t.Fatal(err)
		}
		ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "kube-system"}}}
		_, err = d.Resource(gvr("Namespace")).Create(w.t.Context(), ns, metav1.CreateOptions{})
		if err != nil && !strings.Contains(err.Error(), "already exists") {
			w.t.Fatal(err)
		}
	}
	for _, ns := range []string{"capi", "fleet", "argocd"} {
		w.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + ns + "}}")
	}
	w.apply(`{apiVersion: v1, kind: Secret, type: cluster.x-k8s.io/secret, metadata: {name: c-kubeconfig, namespace: capi, labels: {cluster.x-k8s.io/cluster-name: c}}, stringData: {value: good for c}}`)
	w.apply(`{apiVersion: cluster.x-k8s.io/v1beta1, kind: Cluster, metadata: {name: c, namespace: capi, labels: {tier: gold, cluster.x-k8s.io/managed: "yes"}},
  spec: {infrastructureRef: {kind: AWSCluster}, topology: {version: v1.36.1, variables: [{name: region, value: eu-west-1}]}}, status: {failureDomains: {b: {}, a: {}}}}`)
	w.apply(`{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ClusterProfile, metadata: {name: d, namespace: fleet, labels: {tier: silver}},
  spec: {displayName: d}, status: {version: {kubernetes: v1.36.0}, properties: [{name: region, value: us-1}, {name: "not a label!", value: x}],
    accessProviders: [{name: other, cluster: {server: "https://nowhere"}}, {name: cloud, cluster: {server: "https://d"}}]}}`)
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: cluster-e, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster, tier: bronze}},
  stringData: {name: "E of Argo", server: "https://e", config: "{\"bearerToken\": \"x\"}", kubeconfig: good for e}}`)
	w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: Config, metadata: {name: default}, spec: {discovery: {
    clusterAPI: {namespaces: [capi], labels: {from: capi}},
    clusterProfiles: {namespaces: [fleet], providers: [{name: cloud, command: cloud}]},
    argoCD: {namespaces: [argocd], selector: {matchLabels: {tier: bronze}}}}}}`)
}

// described are the clusters that other systems know.
func described() []simfleet.ClusterSpec {
	nodes := []simfleet.NodeSpec{{Count: 2}}
	return []simfleet.ClusterSpec{{Name: "c", Nodes: nodes}, {Name: "d", Nodes: nodes}, {Name: "e", Nodes: nodes}}
}

// isMember tells whether a Cluster is in the fleet and answers.
func (w *world) isMember(name string) func() string {
	return func() string {
		c := read[v1alpha1.Cluster](w, "Cluster", "", name)
		if c.Name == "" {
			return "there is no Cluster " + name
		}
		return condition(c.Status.Conditions, "Ready", "True")
	}
}

// Each of three systems brings its cluster into the fleet, described as that system describes it, and reached
// by what that system keeps.
func TestClustersAreDiscovered(t *testing.T) {
	inWorldWith(t, described(), func(w *world) {
		w.discovering()
		r := w.started()
		for _, name := range []string{"c", "d", "e-of-argo"} {
			w.eventually(time.Minute, w.isMember(name))
		}
		for _, want := range []struct {
			name, provider, region string
			zones                  []string
			labels                 map[string]string
		}{
			{"c", "aws", "eu-west-1", []string{"a", "b"}, map[string]string{"tier": "gold", "from": "capi", v1alpha1.LabelDiscoveredBy: "cluster-api"}},
			{"d", "", "us-1", nil, map[string]string{"tier": "silver", "region": "us-1", v1alpha1.LabelDiscoveredBy: "cluster-profile"}},
			{"e-of-argo", "", "", nil, map[string]string{"tier": "bronze", v1alpha1.LabelDiscoveredBy: "argo-cd"}},
		} {
			c := read[v1alpha1.Cluster](w, "Cluster", "", want.name)
			if c.Spec.Provider != want.provider || c.Spec.Region != want.region || !slices.Equal(c.Spec.Zones, want.zones) || fmt.Sprint(c.Labels) != fmt.Sprint(want.labels) {
				t.Errorf("Cluster %s is %+v with labels %v", want.name, c.Spec, c.Labels)
			}
		}
		w.push(shop(10))
		w.pass(2 * time.Minute)
		w.reset()
		w.pass(3 * time.Minute)
		if got := w.writes("hub"); len(got) > 0 {
			t.Errorf("writes at rest: %q", got)
		}
		// A Secret that is rotated is taken up as any other.
		w.apply(`{apiVersion: v1, kind: Secret, type: cluster.x-k8s.io/secret, metadata: {name: c-kubeconfig, namespace: capi, labels: {cluster.x-k8s.io/cluster-name: c}}, stringData: {value: bad}}`)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "c")
			return condition(c.Status.Conditions, "Ready", "Unknown")
		})
		w.halt(r)
	})
}

// What people make of a discovered Cluster stays theirs, and what its source says anew comes in beside it.
func TestEditsOfDiscoveredClustersSurvive(t *testing.T) {
	inWorldWith(t, described(), func(w *world) {
		w.discovering()
		r := w.started()
		w.eventually(time.Minute, w.isMember("c"))
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: c, labels: {tier: platinum, mine: "yes"}}, spec: {region: eu-central-1}}`)
		w.pass(90 * time.Second)
		w.apply(`{apiVersion: cluster.x-k8s.io/v1beta1, kind: Cluster, metadata: {name: c, namespace: capi, labels: {tier: tin, stage: prod}},
  spec: {infrastructureRef: {kind: AWSCluster}, topology: {version: v1.36.2, variables: [{name: region, value: eu-west-2}]}}}`)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "c")
			if c.Labels["stage"] != "prod" || c.Labels["tier"] != "platinum" || c.Labels["mine"] != "yes" || c.Spec.Region != "eu-central-1" {
				return fmt.Sprintf("the labels are %v, the region is %s", c.Labels, c.Spec.Region)
			}
			if len(c.Spec.Zones) != 0 || c.Spec.SecretRef == nil {
				return fmt.Sprintf("the spec is %+v", c.Spec)
			}
			return ""
		})
		w.halt(r)
	})
}

// That a description is gone is no proof that the cluster is: the Cluster stays, says so, and what runs there
// is not touched. When the description comes back, all is well again.
func TestAClusterWhoseSourceIsGoneStays(t *testing.T) {
	inWorldWith(t, described(), func(w *world) {
		w.discovering()
		r := w.started()
		w.eventually(time.Minute, w.isMember("d"))
		w.pass(time.Minute)
		w.fleet.Cluster("d").ResetTrace()
		if err := w.on("ClusterProfile", "fleet").Delete(w.t.Context(), "d", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "d")
			gone := meta.FindStatusCondition(c.Status.Conditions, "SourceGone")
			if gone == nil || !strings.Contains(gone.Message, `"fleet/d"`) || !strings.Contains(gone.Message, "armada-sync unjoin d") {
				return fmt.Sprintf("SourceGone is %+v", gone)
			}
			return condition(c.Status.Conditions, "Stalled", "True")
		})
		w.pass(3 * time.Minute)
		for _, path := range w.writes("d") {
			if strings.HasPrefix(path, "delete") {
				t.Errorf("the member was asked to %s", path)
			}
		}
		w.apply(`{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ClusterProfile, metadata: {name: d, namespace: fleet},
  status: {accessProviders: [{name: cloud, cluster: {server: "https://d"}}]}}`)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "d")
			return condition(c.Status.Conditions, "SourceGone", "") + condition(c.Status.Conditions, "Stalled", "")
		})
		w.halt(r)
	})
}

// One cluster has one name in the fleet, whoever describes it; what cannot be taken in is said once, with what
// to do, and keeps nobody else out.
func TestWhatIsNotTakenIn(t *testing.T) {
	inWorldWith(t, described(), func(w *world) {
		w.discovering()
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: again, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster, tier: bronze}},
  stringData: {name: twin, server: "https://c", config: "{\"bearerToken\": \"x\"}", kubeconfig: good for c}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: cloudy, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster, tier: bronze}},
  stringData: {name: cloudy, server: "https://x", config: "{\"awsAuthConfig\": {}}"}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: ignored, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster, tier: bronze, armada-sync.io/discovery: ignore}},
  stringData: {name: ignored, server: "https://d", config: "{\"bearerToken\": \"x\"}", kubeconfig: good for d}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: unselected, namespace: argocd, labels: {argocd.argoproj.io/secret-type: cluster}},
  stringData: {name: unselected, server: "https://d", config: "{\"bearerToken\": \"x\"}", kubeconfig: good for d}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: fake-kubeconfig, namespace: capi, labels: {cluster.x-k8s.io/cluster-name: fake}}, stringData: {value: good for e}}`)
		r := w.started()
		for _, name := range []string{"c", "d", "e-of-argo"} {
			w.eventually(time.Minute, w.isMember(name))
		}
		w.eventually(time.Minute, func() string {
			c := read[v1alpha1.Config](w, "Config", "", "default")
			incomplete := meta.FindStatusCondition(c.Status.Conditions, "DiscoveryIncomplete")
			if incomplete == nil {
				return "the Config does not say that discovery is incomplete"
			}
			for _, part := range []string{"2 problems", "argo-cd/argocd/cloudy", "awsAuthConfig", "cluster-api/capi/fake-kubeconfig", "its type is"} {
				if !strings.Contains(incomplete.Message, part) {
					return fmt.Sprintf("the Config says %q, without %q", incomplete.Message, part)
				}
			}
			return condition(c.Status.Conditions, "Ready", "True")
		})
		w.pass(time.Minute)
		list, err := w.on("Cluster", "").List(w.t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range list.Items {
			names = append(names, o.GetName())
		}
		if want := []string{"a", "b", "c", "d", "e-of-argo"}; !slices.Equal(names, want) {
			t.Errorf("the fleet is %q, want %q", names, want)
		}
		w.halt(r)
	})
}
