package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// many are five Deployments that each go to one cluster.
func many() map[string]string {
	files := map[string]string{"namespace.yaml": shopNamespace, "policies.yaml": `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: all, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement: {spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]}
`}
	for i := range 5 {
		name := fmt.Sprintf("web-%d", i)
		files[name+".yaml"] = strings.ReplaceAll(web, "name: web, namespace", "name: "+name+", namespace")
	}
	return files
}

// on counts the Deployments of many that a cluster has.
func (w *world) on(cluster string) (n int) {
	for i := range 5 {
		if _, ok := w.shares(fmt.Sprintf("web-%d", i))[cluster]; ok {
			n++
		}
	}
	return n
}

// Of a lost cluster one workload leaves each two seconds, also over a restart of the controller.
func TestEvictionsTakeTurns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(many())
		w.start()
		w.eventually(time.Minute, func() string { return want(w.on("a"), 5) })
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.eventually(time.Minute, func() string { return want(w.on("b"), 1) })
		began := time.Now()
		w.eventually(time.Minute, func() string { return want(w.on("b"), 3) })
		if took := time.Since(began); took < 3500*time.Millisecond || took > 8*time.Second {
			t.Errorf("two more workloads moved within %s, want about 4s", took)
		}
		w.halt()
		began = time.Now()
		w.start()
		w.eventually(time.Minute, func() string { return want(w.on("b"), 5) })
		if took := time.Since(began); took < 2500*time.Millisecond {
			t.Errorf("the last two workloads moved within %s of a restart", took)
		}
	})
}

func want(got, want int) string {
	if got != want {
		return fmt.Sprintf("there are %d, want %d", got, want)
	}
	return ""
}

// A veto outlives the controller: whoever restarts it, because it does not reach its clusters, must not
// set off what the veto held back.
func TestAVetoOutlivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(6 * time.Minute)
		for _, c := range []string{"a", "b"} {
			w.fleet.Cluster(c).Stop()
		}
		w.eventually(time.Minute, w.logged("id=failover-veto"))
		w.halt()
		w.pass(10 * time.Minute)
		w.start()
		w.pass(5 * time.Minute)
		if got := w.shares("web")["c"]; got != 3 {
			t.Errorf("the cluster that is left has %d replicas, want its 3: evictions went on after a restart", got)
		}
	})
}

// When a veto is over, tolerations start anew: what was lost all the time gets its whole time again.
func TestTolerationsStartAnewAfterAVeto(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(6 * time.Minute)
		for _, c := range []string{"a", "b"} {
			w.fleet.Cluster(c).Stop()
		}
		w.pass(2 * time.Minute)
		if err := w.fleet.Cluster("b").Start(); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, w.logged("msg=solved id=failover-veto"))
		w.pass(15 * time.Second)
		if got := w.shares("web"); got["b"]+got["c"] != 6 {
			t.Errorf("fifteen seconds after the veto the shares are %v; the toleration is 20s", got)
		}
		w.eventually(15*time.Second, func() string {
			if got := w.shares("web"); got["b"]+got["c"] != 9 {
				return fmt.Sprintf("the share of a did not move: %v", got)
			}
			return ""
		})
	})
}

// The status of a cluster tells that evictions are stopped.
func TestAStopIsToldOfEachCluster(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(6 * time.Minute)
		for _, c := range []string{"a", "b"} {
			w.fleet.Cluster(c).Stop()
		}
		w.eventually(time.Minute, func() string {
			select {
			case c := <-w.controller.latest:
				for _, cl := range c.Snapshot.Clusters {
					if ev := cl.Status.Evictions; ev == nil || !strings.Contains(ev.Stopped, "2 of 3 clusters") {
						return fmt.Sprintf("evictions on %s are %+v", cl.Name, ev)
					}
				}
				return ""
			default:
				return "there is no plan"
			}
		})
	})
}
