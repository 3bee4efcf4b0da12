package health

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// argoRule knows what Argo's controllers say in words.
func argoRule(kind string) (rule Rule, listed bool) {
	message := []string{"status", "message"}
	switch kind {
	case "Rollout":
		return rollout, true
	case "AnalysisRun", "Experiment":
		return byPhase{
			field: []string{"status", "phase"}, message: message,
			good: []string{"Successful"}, bad: []string{"Failed", "Error", "Inconclusive"},
		}.judge, true
	case "Workflow":
		return byPhase{
			field: []string{"status", "phase"}, message: message, good: []string{"Succeeded"}, bad: []string{"Failed", "Error"},
		}.judge, true
	case "Application":
		return byPhase{
			field: []string{"status", "health", "status"}, message: []string{"status", "health", "message"},
			good: []string{"Healthy", "Suspended"}, bad: []string{"Degraded", "Missing"},
		}.judge, true
	}
	return nil, true
}

// rollout trusts the phase once it is about the present generation, which Argo keeps as text. A Rollout
// that waits for a person or an analysis has not arrived.
func rollout(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	if seen, err := strconv.ParseInt(textAt(u, "status", "observedGeneration"), 10, 64); err == nil && seen < u.GetGeneration() {
		return progressing("its controller has seen generation %d of %d", seen, u.GetGeneration())
	}
	for _, c := range statusConditions(u) {
		if c.kind == "InvalidSpec" && c.status == "True" {
			return degraded("%s", c)
		}
	}
	return byPhase{
		field: []string{"status", "phase"}, message: []string{"status", "message"}, good: []string{"Healthy"}, bad: []string{"Degraded", "Error"},
	}.judge(u)
}

// snapshotRule knows volume snapshots, which have no conditions.
func snapshotRule(kind string) (rule Rule, listed bool) {
	switch kind {
	case "VolumeSnapshot", "VolumeSnapshotContent":
		return volumeSnapshot, true
	}
	return nil, true
}

func volumeSnapshot(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	if ready, _, _ := unstructured.NestedBool(u.Object, "status", "readyToUse"); ready {
		return healthy()
	}
	if why := textAt(u, "status", "error", "message"); why != "" {
		return degraded("%s", why)
	}
	return progressing("the snapshot is not ready to use")
}
