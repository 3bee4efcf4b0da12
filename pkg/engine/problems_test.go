package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// failing is a workload that fails after it was applied.
var failing = strings.Replace(web, "metadata: {labels: {app: web}}",
	`metadata: {labels: {app: web}, annotations: {"`+simfleet.BehaviourAnnotation+`": `+simfleet.BehaviourCrash+`}}`, 1)

// TestRefusalOnEveryClusterIsOneLine: a commit that each API server refuses is one mistake, to be read once.
func TestRefusalOnEveryClusterIsOneLine(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		files := shop()
		files["web.yaml"] = strings.ReplaceAll(web, "{app: web}", "{app: web, tier: front}")
		w.push(files)
		const refusal = `source=armada-system/repo clusters="a, b, c" object="Deployment shop/web" at=web.yaml:2 id=apply-stalled reason="spec.selector cannot be changed`
		w.eventually(20*time.Second, w.logged("problem "+refusal))
		w.push(shop())
		w.eventually(20*time.Second, w.logged("solved "+refusal))
		if text := w.log.String(); strings.Count(text, "apply-stalled") != 2 {
			t.Errorf("the refusal is not told once:\n%s", text)
		}
	})
}

// TestClusterAwayDoesNotRepeatFindings: what is told of several clusters is not told again for the rest of them.
func TestClusterAwayDoesNotRepeatFindings(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		files := shop()
		delete(files, "policies.yaml")
		files["policies.yaml"] = policies + `---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: two, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: v1, kind: PersistentVolumeClaim}]
  placement: {clusterAffinity: {clusterNames: [a, b]}}
`
		files["data.yaml"] = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`
		w.push(files)
		w.pass(5 * time.Second)
		w.push(shop())
		const orphan = "PersistentVolumeClaim shop/data stays behind as an orphan"
		w.eventually(20*time.Second, w.logged(orphan))
		w.fleet.Cluster("a").Partition()
		w.eventually(time.Minute, w.logged("problem cluster=a id=cluster-not-ready"))
		w.fleet.Cluster("a").Heal()
		w.eventually(time.Minute, w.logged("solved cluster=a id=cluster-not-ready"))
		w.pass(5 * time.Second)
		if text := w.log.String(); strings.Count(text, orphan) != 1 {
			t.Errorf("the orphan is not told once:\n%s", text)
		}
	})
}

// TestUnhealthyWorkloadIsAProblem: a rollout that fails after it was applied is what somebody is woken for.
func TestUnhealthyWorkloadIsAProblem(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		files := shop()
		files["web.yaml"] = failing
		w.push(files)
		const failed = `source=armada-system/repo clusters="a, b, c" object="Deployment shop/web" at=web.yaml:2 id=unhealthy reason="Progress deadline exceeded`
		w.eventually(time.Minute, w.logged("level=WARN msg=problem "+failed))
		w.push(shop())
		w.eventually(time.Minute, w.logged("level=INFO msg=solved "+failed))
	})
}
