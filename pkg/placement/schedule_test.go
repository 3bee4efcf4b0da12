package placement

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func TestAnImageBumpMovesNothing(t *testing.T) {
	clusters := []v1alpha1.Cluster{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b"}}}
	fleet := NewFleet(clusters, time.Unix(0, 0), Options{})
	n := int64(5)
	r := Request{
		Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
		Replicas: &n,
		Strategy: &v1alpha1.PlacementStrategy{ReplicaScheduling: &v1alpha1.ReplicaSchedulingStrategy{}},
	}
	first := Schedule([]Request{r}, fleet)[0]
	if got := shares(first); !cmp.Equal(got, map[string]int64{"a": 3, "b": 2}) {
		t.Fatalf("5 replicas over two clusters: %v", first)
	}
	r.Previous = record(first)
	again := Schedule([]Request{r}, fleet)[0]
	if !again.Standing || again.Inputs != first.Inputs || !cmp.Equal(shares(first), shares(again)) {
		t.Fatalf("the same request does not stand: %+v", again)
	}
}

// record is what the recorder of decisions keeps of one.
func record(d Decision) *Previous {
	p := &Previous{AffinityGroup: d.AffinityGroup, Inputs: d.Inputs, Clusters: []v1alpha1.TargetCluster{}}
	for _, c := range d.Clusters {
		p.Clusters = append(p.Clusters, v1alpha1.TargetCluster{Name: c.Name, Replicas: c.Replicas})
	}
	return p
}

func shares(d Decision) map[string]int64 {
	got := map[string]int64{}
	for _, c := range d.Clusters {
		got[c.Name] = -1
		if c.Replicas != nil {
			got[c.Name] = *c.Replicas
		}
	}
	return got
}

// TestFleetMayBeShared decides over one fleet from several goroutines; the race detector looks on.
func TestFleetMayBeShared(t *testing.T) {
	fleet := NewFleet(benchClusters(30), propertyTime, Options{})
	request := benchRequest(0, v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Weighted, true)})
	want := Schedule([]Request{request}, fleet)
	answers := make(chan []Decision)
	for range 4 {
		go func() { answers <- Schedule([]Request{request}, fleet) }()
	}
	for range 4 {
		if diff := cmp.Diff(want, <-answers); diff != "" {
			t.Errorf("another goroutine gets another answer (-want +got):\n%s", diff)
		}
	}
}
