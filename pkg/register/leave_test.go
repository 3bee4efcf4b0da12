package register_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
	"github.com/armada-sync/armada-sync/pkg/register"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// clusterProfileDefinition is the least that a hub needs to hold ClusterProfiles.
const clusterProfileDefinition = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: clusterprofiles.multicluster.x-k8s.io},
  spec: {group: multicluster.x-k8s.io, scope: Namespaced, names: {plural: clusterprofiles, singular: clusterprofile, kind: ClusterProfile, listKind: ClusterProfileList},
    versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`

// Only what joining made goes with a cluster that leaves, and one that would be discovered again at once does
// not leave before that is stopped.
func TestLeavingRemovesWhatJoiningMade(t *testing.T) {
	const (
		discovering = "{apiVersion: armada-sync.io/v1alpha1, kind: Config, metadata: {name: default}, spec: {discovery: {clusterAPI: {namespaces: [armada-system]}, clusterProfiles: {namespaces: [fleet], providers: [{name: x, command: x}]}}}}"
		ofCAPI      = "{apiVersion: v1, kind: Secret, type: cluster.x-k8s.io/secret, metadata: {name: c-kubeconfig, namespace: armada-system, labels: {cluster.x-k8s.io/cluster-name: c%s}}, stringData: {value: x}}"
		fromCAPI    = "{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: c, annotations: {armada-sync.io/discovered-from: cluster-api/armada-system/c-kubeconfig}}, spec: {secretRef: {namespace: armada-system, name: c-kubeconfig, key: value}}}"
		fromProfile = "{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: c, annotations: {armada-sync.io/discovered-from: cluster-profile/fleet/c}}, spec: {clusterProfileRef: {namespace: fleet, name: c}}}"
		profile     = "{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ClusterProfile, metadata: {name: c, namespace: fleet}}"
		ours        = "{apiVersion: v1, kind: Secret, metadata: {name: c-kubeconfig, namespace: armada-system, labels: {armada-sync.io/cluster: c}}, stringData: {kubeconfig: x}}"
		joined      = "{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: c}, spec: {secretRef: {name: c-kubeconfig}}}"
	)
	for _, c := range []struct {
		reason string
		hub    []string
		// refusal is part of the error, where nothing changes; caution is part of a warning.
		refusal, caution string
		// kept are the names of Secrets that are still there.
		kept string
	}{
		{reason: "what join wrote goes", hub: []string{ours, joined}},
		{reason: "a half-done unjoin is finished", hub: []string{ours}},
		{reason: "a Secret that is merely named alike is no cluster of the hub", hub: []string{fmt.Sprintf(ofCAPI, "")}, refusal: "no cluster \"c\"", kept: "c-kubeconfig"},
		{reason: "a person wrote both", hub: []string{joined, "{apiVersion: v1, kind: Secret, metadata: {name: c-kubeconfig, namespace: armada-system}, stringData: {kubeconfig: x}}"}, caution: "was not written by join, and stays", kept: "c-kubeconfig"},
		{
			reason: "Cluster API still has it", hub: []string{discovering, fmt.Sprintf(ofCAPI, ""), fromCAPI}, kept: "c-kubeconfig",
			refusal: "kubectl label secret c-kubeconfig --namespace armada-system armada-sync.io/discovery=ignore",
		},
		{reason: "Cluster API has it, and it is kept out", hub: []string{discovering, fmt.Sprintf(ofCAPI, ", armada-sync.io/discovery: ignore"), fromCAPI}, caution: "was not written by join, and stays", kept: "c-kubeconfig"},
		{reason: "nobody looks there any more", hub: []string{fmt.Sprintf(ofCAPI, ""), fromCAPI}, caution: "was not written by join, and stays", kept: "c-kubeconfig"},
		{reason: "its source is gone", hub: []string{discovering, fromCAPI}},
		{reason: "a ClusterProfile is still there", hub: []string{discovering, clusterProfileDefinition, profile, fromProfile}, refusal: "kubectl label clusterprofile c --namespace fleet"},
		{reason: "the ClusterProfile is gone", hub: []string{discovering, clusterProfileDefinition, fromProfile}},
		{reason: "and so is its kind", hub: []string{discovering, fromProfile}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStand(t)
				for _, document := range c.hub {
					s.apply(t, document)
				}
				var cautions []string
				err := register.Leave(t.Context(), s.hub, s.member, register.LeaveOptions{
					Name: "c", Tell: func(string, register.Written) {}, Warn: func(line string) { cautions = append(cautions, line) },
				})
				if c.refusal != "" {
					if err == nil || !strings.Contains(err.Error(), c.refusal) {
						t.Errorf("%v, want an error with %q", err, c.refusal)
					}
				} else if err != nil {
					t.Error(err)
				}
				if all := strings.Join(cautions, "; "); !strings.Contains(all, c.caution) || c.caution == "" && all != "" {
					t.Errorf("it cautions %q, want %q", all, c.caution)
				}
				if got := s.secrets(t); got != c.kept {
					t.Errorf("the Secrets %q are left, want %q", got, c.kept)
				}
				there := s.isThere(t)
				if errors.Is(err, register.ErrComesBack) != there {
					t.Errorf("the Cluster is there: %t, after %v", there, err)
				}
			})
		})
	}
}

// stand is a simulated hub and a member.
type stand struct {
	hub, member *register.Cluster
	client      *kubernetes.Clientset
}

func newStand(t *testing.T) *stand {
	t.Helper()
	fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "hub"}, {Name: "c"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)
	s := &stand{}
	if s.client, err = kubernetes.NewForConfig(fleet.Cluster("hub").RESTConfig()); err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(t, string(data))
	}
	for _, ns := range []string{register.Namespace, "fleet"} {
		s.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+"}}")
	}
	if s.hub, err = register.Connect(fleet.Cluster("hub").RESTConfig()); err != nil {
		t.Fatal(err)
	}
	if s.member, err = register.Connect(fleet.Cluster("c").RESTConfig()); err != nil {
		t.Fatal(err)
	}
	return s
}

// apply writes a document to the hub; a definition is served a little later.
func (s *stand) apply(t *testing.T, document string) {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	var o metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	path := map[string]string{
		"CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/", "Namespace": "/api/v1/namespaces/",
		"Secret": "/api/v1/namespaces/" + o.Namespace + "/secrets/", "Config": "/apis/armada-sync.io/v1alpha1/configs/",
		"Cluster":        "/apis/armada-sync.io/v1alpha1/clusters/",
		"ClusterProfile": "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/" + o.Namespace + "/clusterprofiles/",
	}[o.Kind]
	err = s.client.RESTClient().Patch(types.ApplyPatchType).AbsPath(path+o.Name).Param("fieldManager", "person").Body(data).Do(t.Context()).Error()
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, document)
	}
	if o.Kind == "CustomResourceDefinition" {
		<-time.After(time.Second)
	}
}

// secrets are the names of those in the controller's namespace.
func (s *stand) secrets(t *testing.T) string {
	t.Helper()
	list, err := s.client.CoreV1().Secrets(register.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return strings.Join(names, " ")
}

// isThere tells whether the hub has the Cluster.
func (s *stand) isThere(t *testing.T) bool {
	t.Helper()
	var list metav1.PartialObjectMetadataList
	data, err := s.client.RESTClient().Get().AbsPath("/apis/armada-sync.io/v1alpha1/clusters").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Items) > 0
}
