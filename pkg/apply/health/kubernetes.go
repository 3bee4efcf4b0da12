package health

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// kubernetesRule knows the kinds of Kubernetes itself that exist before they work.
func kubernetesRule(gk schema.GroupKind) (rule Rule, listed bool) {
	switch gk.Kind {
	case "Pod":
		return pod, true
	case "PersistentVolumeClaim":
		return volumeClaim, true
	case "Deployment":
		return deployment, true
	case "DaemonSet":
		return daemonSet, true
	case "StatefulSet", "ReplicaSet", "CustomResourceDefinition":
		return kstatus, true
	case "Job":
		return job, true
	case "HorizontalPodAutoscaler":
		return autoscaler, true
	case "APIService":
		// kstatus knows no condition Available.
		return byConditions{ready: []string{"Available"}}.judge, true
	}
	return nil, true
}

// deployment is kstatus, which does not look at why no Pod can be made: a quota or an admission that
// refuses them shows in a condition of its own.
func deployment(u *unstructured.Unstructured) Verdict {
	v := kstatus(u)
	failure, found := find(statusConditions(u), "ReplicaFailure")
	if v != healthy() && found && failure.status == "True" {
		return degraded("%s", failure)
	}
	return v
}

// daemonSet is kstatus, which waits for every Pod to be of the latest form: with OnDelete they are replaced when
// somebody deletes them, which a wave or a rollout must not wait for.
func daemonSet(u *unstructured.Unstructured) Verdict {
	if textAt(u, "spec", "updateStrategy", "type") != "OnDelete" {
		return kstatus(u)
	}
	if all, found, err := unstructured.NestedInt64(u.Object, "status", "desiredNumberScheduled"); found && err == nil {
		u = u.DeepCopy()
		if err := unstructured.SetNestedField(u.Object, all, "status", "updatedNumberScheduled"); err != nil {
			return Verdict{Health: v1alpha1.HealthProgressing, Message: "its state cannot be read", Failure: err.Error()}
		}
	}
	return kstatus(u)
}

// stuck are the reasons of a waiting container that do not go away by waiting.
func stuck(reason string) bool {
	switch reason {
	case "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
		"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError":
		return true
	}
	return false
}

// pod looks at why containers wait, those that come before the others too. kstatus asks the clock how
// long a Pod has been without a node; without an event that tells it again nobody would look.
func pod(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	phase := textAt(u, "status", "phase")
	conditions := statusConditions(u)
	switch phase {
	case "Succeeded":
		return healthy()
	case "Failed":
		reason, message := textAt(u, "status", "reason"), textAt(u, "status", "message")
		if reason == "" {
			return degraded("the Pod failed")
		}
		return degraded("the Pod failed: %s: %s", reason, message)
	}
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		if v, found := stuckContainer(u, list); found {
			return v
		}
	}
	if ready, found := find(conditions, "Ready"); found && ready.status == "True" {
		return healthy()
	} else if found && phase == "Running" {
		return progressing("%s", ready)
	}
	if scheduled, found := find(conditions, "PodScheduled"); found && scheduled.status == "False" {
		return progressing("%s", scheduled)
	}
	return progressing("the Pod is %s", orNot(phase, "not started"))
}

func orNot(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// stuckContainer names the first container of a list that waits for something that will not come.
func stuckContainer(u *unstructured.Unstructured, list string) (Verdict, bool) {
	items, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", list)
	statuses, _ := items.([]any)
	for _, item := range statuses {
		status, _ := item.(map[string]any)
		name, _ := status["name"].(string)
		reason, _, _ := unstructured.NestedString(status, "state", "waiting", "reason")
		message, _, _ := unstructured.NestedString(status, "state", "waiting", "message")
		if !stuck(reason) {
			continue
		}
		if message != "" {
			reason += ": " + message
		}
		return degraded("container %q: %s", name, reason), true
	}
	return Verdict{}, false
}

// volumeClaim tells a claim that lost its volume from one that waits for it.
func volumeClaim(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	switch phase := textAt(u, "status", "phase"); phase {
	case "Bound":
		return healthy()
	case "Lost":
		return degraded("the volume %q is lost", textAt(u, "spec", "volumeName"))
	default:
		return progressing("the claim is %s", orNot(phase, "not looked at yet"))
	}
}

// job waits for the work to be done, where kstatus is content that it began: what depends on a
// migration must not start before its end.
func job(u *unstructured.Unstructured) Verdict {
	if u.GetDeletionTimestamp() != nil {
		return progressing("is being deleted")
	}
	all := statusConditions(u)
	if c, found := find(all, "Failed"); found && c.status == "True" {
		return degraded("%s", c)
	}
	if c, found := find(all, "Complete"); found && c.status == "True" {
		return healthy()
	}
	if c, found := find(all, "FailureTarget"); found && c.status == "True" {
		return degraded("%s", c)
	}
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		return healthy()
	}
	count := func(field string) int64 {
		n, _, _ := unstructured.NestedInt64(u.Object, "status", field)
		return n
	}
	if textAt(u, "status", "startTime") == "" {
		return progressing("the Job has not started")
	}
	return progressing("the Job runs: %d Pods active, %d succeeded, %d failed", count("active"), count("succeeded"), count("failed"))
}

// autoscaler tells an autoscaler that cannot work from one that has no metrics yet, which comes with
// every new workload. Without replicas it rests.
func autoscaler(u *unstructured.Unstructured) Verdict {
	if v, unsettled := unsettled(u); unsettled {
		return v
	}
	all := statusConditions(u)
	if c, found := find(all, "AbleToScale"); found && c.status == "False" {
		if slices.Contains([]string{"BackoffBoth", "BackoffDownscale", "BackoffUpscale"}, c.reason) {
			return healthy()
		}
		return degraded("%s", c)
	}
	c, found := find(all, "ScalingActive")
	switch {
	case !found && textAt(u, "apiVersion") == "autoscaling/v1":
		// Its conditions are in an annotation.
		return healthy()
	case !found:
		return progressing("the autoscaler has not looked at its target yet")
	case c.status == "True" || c.reason == "ScalingDisabled":
		return healthy()
	case c.reason == "InvalidSelector" || c.reason == "InvalidMetricSourceType" || c.reason == "AmbiguousSelector":
		return degraded("%s", c)
	}
	return progressing("%s", c)
}
