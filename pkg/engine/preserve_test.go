package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

// A value of the status of a copy that is lost with its cluster is on the new copy, as a label, and stays
// there when the controller plans again.
func TestStateIsPreservedOverAFailover(t *testing.T) {
	inWorld(t, func(w *world) {
		files := shop()
		files["policies.yaml"] = strings.Replace(policies, "placement: {replicaScheduling: {replicaSchedulingType: Divided}}", `placement: {spreadConstraints: [{spreadByField: cluster, maxGroups: 1}]}
  failover: {cluster: {statePreservation: {rules: [{aliasLabelName: example.com/ready, jsonPath: "{.readyReplicas}"}]}}}`, 1)
		w.push(files)
		w.start()
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 9}))
		w.pass(6 * time.Minute)
		w.fleet.Cluster("a").Stop()
		labelled := func() string {
			if d := get[*appsv1.Deployment](w, "b", deploymentKind, "web"); d == nil || d.Labels["example.com/ready"] != "9" {
				return fmt.Sprintf("the copy on b is %v", d)
			}
			return ""
		}
		w.eventually(time.Minute, labelled)
		w.pass(time.Minute)
		w.halt()
		w.start()
		w.pass(time.Minute)
		if missing := labelled(); missing != "" {
			t.Error(missing)
		}
	})
}
