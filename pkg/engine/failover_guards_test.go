package engine_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// placed returns the files of web with a policy whose spec has more lines.
func placed(more string) map[string]string {
	return map[string]string{"namespace.yaml": shopNamespace, "web.yaml": web, "policy.yaml": `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
` + more}
}

// waiting is what the last plan says that web waits for, by cluster.
func (w *world) waiting(cluster string) string {
	c, ok := w.controller.engine.Latest()
	if !ok {
		return ""
	}
	var words []string
	for i := range c.Plan.Placements {
		for _, m := range c.Plan.Placements[i].Waiting {
			if m.Cluster == cluster {
				words = append(words, m.Message)
			}
		}
	}
	return strings.Join(words, "\n")
}

func (w *world) waitsFor(cluster, words string) func() string {
	return func() string {
		if got := w.waiting(cluster); !strings.Contains(got, words) {
			return fmt.Sprintf("on %s web waits for %q, want %q", cluster, got, words)
		}
		return ""
	}
}

// A policy asks for three regions, and one of three is lost: there is no place that it asks for, so every copy
// stays where it is and the plan says why. When the region is back nothing has to be done.
func TestASpreadThatCannotHoldKeepsTheOldCopies(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(placed("  placement: {spreadConstraints: [{spreadByField: region, minGroups: 3}], replicaScheduling: {replicaSchedulingType: Divided}}\n"))
		w.start()
		share := map[string]int32{"a": 3, "b": 3, "c": 3}
		w.eventually(time.Minute, w.hasShares("web", share))
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.eventually(time.Minute, w.waitsFor("a", "cannot leave: "))
		w.eventually(time.Second, w.logged("id=fewer-than-min-groups"))
		w.pass(10 * time.Minute)
		if got := w.shares("web"); got["b"] != 3 || got["c"] != 3 {
			t.Errorf("the shares are %v, want them as they were", got)
		}
		w.resetTrace()
		if err := w.fleet.Cluster("a").Start(); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, w.logged("level=INFO msg=solved cluster=a id=cluster-not-ready"))
		w.pass(2 * time.Minute)
		if got := w.shares("web"); !maps.Equal(got, share) || w.writes() > 0 {
			t.Errorf("after the return the shares are %v, and %d requests wrote something", got, w.writes())
		}
	})
}

// A pause holds everything where it is, over a restart, for the whole fleet. When it is over the toleration of
// what was lost meanwhile begins, as it does after a veto.
func TestAPauseMovesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		until := metav1.NewTime(time.Now().Add(20 * time.Minute))
		w.adjust = func(c *engine.Configuration) {
			c.Config.Failover.PausedUntil, c.Config.Failover.PausedReason = &until, "the uplink is replaced"
		}
		w.everywhere()
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.eventually(time.Minute, w.waitsFor("a", "is not left: evictions are stopped: failover is paused until"))
		w.pass(5 * time.Minute)
		w.halt()
		w.start()
		w.pass(time.Until(until.Time))
		w.pass(10 * time.Second)
		if got := w.shares("web"); got["b"]+got["c"] != 6 {
			t.Errorf("ten seconds after the pause the shares are %v; the toleration is 20s", got)
		}
		w.eventually(30*time.Second, func() string {
			if got := w.shares("web"); got["b"]+got["c"] != 9 {
				return fmt.Sprintf("the share of a did not move: %v", got)
			}
			return ""
		})
	})
}

// A cluster that was never there does not count: with it two of three would be lost, and without it both are.
func TestAClusterThatWasNeverReadyDoesNotHideAVeto(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet.Cluster("c").Stop()
		w.push(placed("  placement: {replicaScheduling: {replicaSchedulingType: Divided}}\n"))
		w.start()
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 5, "b": 4}))
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.pass(20 * time.Second)
		if strings.Contains(w.log.String(), "failover-veto") {
			t.Fatal("one lost cluster and one that was never there stopped evictions")
		}
		w.fleet.Cluster("b").Stop()
		w.eventually(time.Minute, w.logged("2 of 2 clusters became unreachable"))
	})
}

// The time for which a workload has been unhealthy is kept over a restart, and it leaves when that is as long as
// its policy tolerates.
func TestTheTimerOfAnUnhealthyWorkloadOutlivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		files := placed(`  placement: {spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]}
  failover: {application: {decisionConditions: {tolerationSeconds: 120}}}
`)
		w.push(files)
		w.start()
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 9}))
		files["override.yaml"] = `
apiVersion: armada-sync.io/v1alpha1
kind: OverridePolicy
metadata: {name: sick, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  overrideRules:
    - targetCluster: {clusterNames: [a]}
      overriders: {annotationsOverrider: [{operator: add, value: {` + simfleet.BehaviourAnnotation + `: hang}}], imageOverrider: [{component: Tag, operator: replace, value: "2"}]}
`
		w.push(files)
		w.eventually(time.Minute, w.waitsFor("a", "unhealthy since"))
		began := time.Now()
		w.pass(90 * time.Second)
		w.halt()
		w.pass(10 * time.Second)
		w.start()
		w.eventually(30*time.Second, func() string {
			if got := w.shares("web"); got["b"] != 9 {
				return fmt.Sprintf("the workload did not leave: %v", got)
			}
			return ""
		})
		if took := time.Since(began); took < 115*time.Second || took > 130*time.Second {
			t.Errorf("it left after %s, want 120s", took)
		}
		w.eventually(2*time.Minute, w.hasShares("web", map[string]int32{"b": 9}))
	})
}

// Where the policy leaves old copies behind, one stays also when its cluster is well again, and over a restart.
func TestAnOldCopyStaysWhereThePolicyLeavesIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(placed("  placement: {spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]}\n  failover: {cluster: {purgeMode: Never}}\n"))
		w.start()
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 9}))
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.eventually(time.Minute, func() string {
			if w.shares("web")["b"] != 9 {
				return "there is no new copy"
			}
			return ""
		})
		w.halt()
		w.start()
		w.pass(time.Minute)
		if err := w.fleet.Cluster("a").Start(); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		if got := w.shares("web"); got["a"] != 9 || got["b"] != 9 {
			t.Errorf("the shares are %v, want the old copy on a and the new one on b", got)
		}
	})
}

// What holds state and may be recreated stays while its cluster cannot be reached, and leaves one that can: the
// old copy is gone before the new one is there.
func TestWhatMustNotRunTwiceIsRemovedFirst(t *testing.T) {
	inWorld(t, func(w *world) {
		files := placed("")
		files["policy.yaml"] = strings.Replace(files["policy.yaml"], "kind: Deployment", "kind: StatefulSet", 1) +
			"  placement: {spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]}\n  failover: {cluster: {stateful: Recreate}}\n"
		files["web.yaml"] = strings.Replace(strings.Replace(web, "kind: Deployment", "kind: StatefulSet", 1), "spec:\n  replicas", "spec:\n  serviceName: web\n  replicas", 1)
		w.push(files)
		w.start()
		has := func(cluster string) bool {
			return get[*appsv1.StatefulSet](w, cluster, statefulSetKind, "web") != nil
		}
		on := func(cluster string) func() string {
			return func() string {
				if !has(cluster) {
					return "it is not on " + cluster
				}
				return ""
			}
		}
		w.eventually(time.Minute, on("a"))
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		w.pass(10 * time.Minute)
		if has("b") || has("c") {
			t.Fatal("it was made elsewhere though its cluster cannot be reached")
		}
		if err := w.fleet.Cluster("a").Start(); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.halt()
		w.adjust = func(c *engine.Configuration) {
			c.Clusters[0].Spec.Taints = []corev1.Taint{{Key: "maintenance", Effect: corev1.TaintEffectNoExecute}}
		}
		w.start()
		w.eventually(time.Minute, func() string {
			if has("a") && has("b") {
				t.Fatal("there are two copies")
			}
			return on("b")()
		})
	})
}
