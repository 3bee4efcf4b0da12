package placement

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// FuzzSchedule decides about whatever decodes: it must not panic, must answer every cluster once and
// must not place anything but what it was asked to.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte(`{metadata: {name: a}, status: {resourceSummary: {allocatable: {cpu: "9e18", pods: 110}, ours: {}}}}`),
		[]byte(`{replicaScheduling: {minReplicas: 2, replicaDivisionPreference: Aggregated}, spreadConstraints: [{spreadByField: zone, minGroups: 2}]}`),
		[]byte(`{cpu: 1n, memory: 1Ei}`), int64(1_000_000_000), int64(3))
	f.Add([]byte(`{metadata: {name: a}, spec: {zones: [x, x]}}`), []byte(`{scorers: [{name: Cost, weight: 9223372036854775807}, {name: Locality, weight: 9223372036854775807}]}`), []byte(`{}`), int64(1<<62), int64(-1))
	f.Fuzz(func(t *testing.T, cluster, strategy, requests []byte, replicas, before int64) {
		var c v1alpha1.Cluster
		var s v1alpha1.PlacementStrategy
		var list corev1.ResourceList
		if yaml.Unmarshal(cluster, &c) != nil || yaml.Unmarshal(strategy, &s) != nil || yaml.Unmarshal(requests, &list) != nil {
			return
		}
		other := c
		other.Name += "-2"
		fleet := NewFleet([]v1alpha1.Cluster{c, other, {}}, propertyTime, Options{})
		r := Request{
			Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, Replicas: &replicas, Requests: list, Strategy: &s,
			Previous: &Previous{Clusters: []v1alpha1.TargetCluster{{Name: c.Name, Replicas: &before}}},
		}
		for _, d := range Schedule([]Request{r}, fleet) {
			answered := len(d.Clusters)
			sum := d.Unassigned
			for _, c := range d.Clusters {
				sum += *c.Replicas
			}
			for _, rejected := range d.Rejected {
				answered += rejected.Clusters.Len()
			}
			if answered != len(fleet.clusters) {
				t.Fatalf("%d of %d clusters are answered: %+v", answered, len(fleet.clusters), d)
			}
			if d.Error == "" && d.Strategy != string(duplicated) && sum != replicas {
				t.Fatalf("shares sum to %d, want %d: %+v", sum, replicas, d)
			}
		}
	})
}

// FuzzExtract reads whatever decodes without a panic.
func FuzzExtract(f *testing.F) {
	f.Add([]byte(`{apiVersion: batch/v1, kind: Job, spec: {parallelism: 1e300, template: {spec: {containers: [{resources: {requests: {cpu: 1}}}]}}}}`))
	f.Add([]byte(`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: "3", template: [1]}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		var object map[string]any
		if yaml.Unmarshal(document, &object) != nil {
			return
		}
		if e, err := Extract(object); err == nil && e.Replicas != nil && *e.Replicas < 0 {
			t.Fatalf("%d replicas", *e.Replicas)
		}
	})
}
