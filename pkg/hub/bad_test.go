package hub_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// says tells whether the condition Ready of a cluster, and an event about it, have some words.
func (w *world) says(cluster string, words ...string) func() string {
	return func() string {
		c := read[v1alpha1.Cluster](w, "Cluster", "", cluster)
		ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
		events, err := w.on("Event", "default").List(w.t.Context(), metav1.ListOptions{})
		if err != nil || ready == nil || ready.Status == metav1.ConditionTrue {
			return fmt.Sprintf("%s says %+v (%v)", cluster, ready, err)
		}
		for _, word := range words {
			told := false
			for _, e := range events.Items {
				told = told || strings.Contains(fmt.Sprint(e.Object["message"]), word) && strings.HasPrefix(e.GetName(), cluster+".")
			}
			if !strings.Contains(ready.Message, word) || !told {
				return fmt.Sprintf("%s lacks %q in its condition %q or its events (%v)", cluster, word, ready.Message, told)
			}
		}
		return ""
	}
}

// Each thing that can be wrong with a cluster is said at the cluster, with what to do, and no other cluster
// and no source minds.
func TestAClusterThatCannotBeAMemberSaysWhy(t *testing.T) {
	for _, c := range []struct {
		reason  string
		cluster simfleet.ClusterSpec
		// kubeconfig is what the Secret holds; empty: there is none.
		kubeconfig string
		says       []string
	}{
		{"a Secret that is not there", simfleet.ClusterSpec{}, "", []string{`"armada-system/bad"`}},
		{"a wrong kubeconfig", simfleet.ClusterSpec{}, "bad", []string{"the kubeconfig is not the right one"}},
		{"an expired token", simfleet.ClusterSpec{}, "expired", []string{"refuses the credentials", "armada-sync rotate"}},
		{"a version that is too old", simfleet.ClusterSpec{Version: "v1.20.3"}, "good", []string{"v1.20.3", "upgrade it to 1."}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			c.cluster.Name = "bad"
			inWorldWith(t, []simfleet.ClusterSpec{c.cluster}, func(w *world) {
				r := w.placed()
				w.pass(10 * time.Second)
				if c.kubeconfig != "" {
					w.apply(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: armada-system}, stringData: {kubeconfig: %s}}", c.kubeconfig))
				}
				w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: bad}, spec: {secretRef: {name: bad}}}`)
				w.eventually(time.Minute, w.says("bad", c.says...))
				w.push(shop(10))
				w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 5, "b": 5}))
				if got := w.writes("bad"); len(got) > 0 {
					t.Errorf("the cluster was written to: %q", got)
				}
				w.halt(r)
			})
		})
	}
}

// expired answers as an API server that does not take the token any more.
func expired() *rest.Config {
	return &rest.Config{Host: "http://bad.simfleet", Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		answer := httptest.NewRecorder()
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(answer, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401,"message":"Unauthorized"}`)
		return answer.Result(), nil
	})}
}

// A cluster leaves while a plan is being carried out there: nothing is put back, by the leader or by the next.
func TestUnjoinPruneInTheMiddleOfAnApply(t *testing.T) {
	const many = 200
	inWorld(t, func(w *world) {
		r := w.placed()
		w.pass(10 * time.Second)
		w.reset()
		w.fleet.Cluster("b").SetFaults(simfleet.Faults{Latency: 50 * time.Millisecond})
		w.push(crowd(many))
		w.eventually(20*time.Second, func() string {
			if n := len(w.writes("b")); n < 20 {
				return fmt.Sprintf("%d writes", n)
			}
			return ""
		})
		hubSide, err := register.Connect(w.fleet.Cluster("hub").RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		memberSide, err := register.Connect(w.fleet.Cluster("b").RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		id, err := hubSide.HubID(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = register.Leave(w.t.Context(), hubSide, memberSide, register.LeaveOptions{
			Name: "b", Prune: true, HubID: id,
			Tell: func(string, register.Written) {}, Warn: func(s string) { w.t.Log(s) },
		})
		if err != nil {
			t.Errorf("unjoin: %v\n%s", err, w.log)
		}
		w.pass(time.Minute)
		for i := range many {
			if w.fleet.Cluster("b").Get(deployments, "shop", fmt.Sprintf("web-%03d", i)) != nil {
				t.Fatalf("web-%03d is there", i)
			}
		}
		w.eventually(time.Minute, func() string { return w.held("a", many) })
		w.halt(r)
	})
}
