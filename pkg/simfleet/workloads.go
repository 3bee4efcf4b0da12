package simfleet

import (
	"cmp"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// phase is how far a workload has come.
type phase int

const (
	// phaseStarted: the controller has seen the spec; pods are starting.
	phaseStarted phase = iota
	// phaseSettled: the pods are ready, or have failed.
	phaseSettled
)

// watchWorkload starts a workload whose spec is new: at once the controller has
// seen it, after ReadyAfter its pods are ready, or not, as its behaviour says.
func (c *Cluster) watchWorkload(gr schema.GroupResource, ch change) {
	behaviour, ok := workloadBehaviour(ch.after)
	if !ok || !intentOf(ch) {
		return
	}
	id := gr.String() + "/" + ch.key
	c.tasks.cancel("ready/" + id)
	replaced := ch.before != nil && !samePods(ch.before, ch.after)
	c.tasks.schedule("start/"+id, 0, func() {
		c.settle(gr, ch.key, phaseStarted, replaced)
		if behaviour != BehaviourHang {
			c.tasks.schedule("ready/"+id, c.opts.ReadyAfter, func() { c.settle(gr, ch.key, phaseSettled, replaced) })
		}
	})
}

// samePods says whether two states of a workload want the same pods, so that a
// change needs no rollout.
func samePods(a, b runtime.Object) bool {
	x, y := structField(a, "Spec"), structField(b, "Spec")
	if !x.IsValid() || !x.FieldByName("Template").IsValid() {
		return true
	}
	return equality.Semantic.DeepEqual(x.FieldByName("Template").Interface(), y.FieldByName("Template").Interface())
}

// intentOf says whether a change is one that a controller acts on: of the spec or
// of the behaviour, and not of an object that is being deleted.
func intentOf(ch change) bool {
	if m, err := meta.Accessor(ch.after); err != nil || m.GetDeletionTimestamp() != nil {
		return false
	}
	if ch.before == nil {
		return true
	}
	was, _ := workloadBehaviour(ch.before)
	is, _ := workloadBehaviour(ch.after)
	return was != is || !sameField(ch.before, ch.after, "Spec") || observed(ch.after)
}

// observed says whether the status lags behind the generation, as it does for
// Deployments also after a change of annotations.
func observed(obj runtime.Object) bool {
	m, err := meta.Accessor(obj)
	if err != nil {
		return false
	}
	status := structField(obj, "Status")
	if !status.IsValid() {
		return false
	}
	f := status.FieldByName("ObservedGeneration")
	return f.IsValid() && f.CanInt() && f.Int() < m.GetGeneration()
}

// workloadBehaviour reads the behaviour of a kind that has one.
func workloadBehaviour(obj runtime.Object) (string, bool) {
	var template map[string]string
	switch o := obj.(type) {
	case *appsv1.Deployment:
		template = o.Spec.Template.Annotations
	case *appsv1.StatefulSet:
		template = o.Spec.Template.Annotations
	case *appsv1.DaemonSet:
		template = o.Spec.Template.Annotations
	case *appsv1.ReplicaSet:
		template = o.Spec.Template.Annotations
	case *batchv1.Job:
		template = o.Spec.Template.Annotations
	case *corev1.Pod, *corev1.PersistentVolumeClaim, *policyv1.PodDisruptionBudget:
	case *corev1.Service:
		if o.Spec.Type != corev1.ServiceTypeLoadBalancer {
			return "", false
		}
	default:
		return "", false
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return "", false
	}
	for _, annotations := range []map[string]string{m.GetAnnotations(), template} {
		if b := annotations[BehaviourAnnotation]; b != "" {
			return b, true
		}
	}
	return BehaviourOK, true
}

// settle writes the status of a workload at a phase.
func (c *Cluster) settle(gr schema.GroupResource, key string, at phase, replaced bool) {
	obj := c.store.get(gr, key)
	if obj == nil {
		return
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	behaviour, ok := workloadBehaviour(obj)
	if !ok || (at == phaseSettled && behaviour == BehaviourHang) {
		return
	}
	sv := c.servedBy(gr)
	if sv == nil {
		return
	}
	manager := controllerManager
	if _, isPod := obj.(*corev1.Pod); isPod {
		manager = "kubelet"
	}
	now := metav1.NewTime(c.now())
	c.updateAs(manager, sv, "status", m.GetNamespace(), m.GetName(), func(o runtime.Object) {
		settled := at == phaseSettled
		c.setStatus(o, progress{ready: settled && behaviour != BehaviourCrash, failed: settled && behaviour == BehaviourCrash, replaced: replaced, now: now})
	})
}

func (c *Cluster) servedBy(gr schema.GroupResource) *served {
	for _, sv := range c.catalog.served {
		if sv.registry.resource == gr {
			return sv
		}
	}
	return nil
}

// progress is what a controller finds when it looks at the pods.
type progress struct {
	ready, failed bool
	// replaced says that the pods of before make room for new ones.
	replaced bool
	now      metav1.Time
}

// of returns how many of n pods are ready when had of them were before. A
// rollout that has not succeeded leaves the old pods alone.
func (p progress) of(n, had int32) int32 {
	if p.ready {
		return n
	}
	return min(n, had)
}

// updated returns how many of n pods are those of the new template.
func (p progress) updated(n int32) int32 {
	if p.replaced && !p.ready {
		return min(n, 1)
	}
	return n
}

func (c *Cluster) setStatus(obj runtime.Object, p progress) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		setDeploymentStatus(o, p)
	case *appsv1.StatefulSet:
		n := ptr.Deref(o.Spec.Replicas, 1)
		revision := fmt.Sprintf("%s-%d", o.Name, o.Generation)
		ready, current := p.of(n, o.Status.ReadyReplicas), revision
		if p.replaced && !p.ready {
			current = cmp.Or(o.Status.CurrentRevision, revision)
		}
		o.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: o.Generation, Replicas: n, ReadyReplicas: ready, AvailableReplicas: ready,
			CurrentReplicas: n, UpdatedReplicas: p.updated(n), CurrentRevision: current, UpdateRevision: revision, CollisionCount: ptr.To[int32](0),
		}
	case *appsv1.DaemonSet:
		n := c.nodeCount()
		ready := p.of(n, o.Status.NumberReady)
		o.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: o.Generation, DesiredNumberScheduled: n, CurrentNumberScheduled: n, UpdatedNumberScheduled: p.updated(n),
			NumberReady: ready, NumberAvailable: ready, NumberUnavailable: n - ready,
		}
	case *appsv1.ReplicaSet:
		n := ptr.Deref(o.Spec.Replicas, 1)
		ready := p.of(n, o.Status.ReadyReplicas)
		o.Status = appsv1.ReplicaSetStatus{ObservedGeneration: o.Generation, Replicas: n, FullyLabeledReplicas: n, ReadyReplicas: ready, AvailableReplicas: ready}
	case *batchv1.Job:
		setJobStatus(o, p)
	case *corev1.Pod:
		setPodStatus(o, p)
	case *corev1.PersistentVolumeClaim:
		if p.ready {
			o.Status.Phase, o.Status.AccessModes, o.Status.Capacity = corev1.ClaimBound, o.Spec.AccessModes, o.Spec.Resources.Requests
		}
	case *corev1.Service:
		if p.ready {
			o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.10", IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)}}
		}
	case *policyv1.PodDisruptionBudget:
		o.Status.ObservedGeneration = o.Generation
	}
}

func (c *Cluster) nodeCount() int32 {
	objects, _, err := c.store.list(schema.GroupResource{Resource: "nodes"}, "", 0)
	if err != nil {
		return 0
	}
	return int32(min(len(objects), 1<<30))
}

func setDeploymentStatus(d *appsv1.Deployment, p progress) {
	n := ptr.Deref(d.Spec.Replicas, 1)
	if d.Annotations["deployment.kubernetes.io/revision"] == "" {
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations["deployment.kubernetes.io/revision"] = "1"
	}
	st := &d.Status
	ready := p.of(n, st.ReadyReplicas)
	st.ObservedGeneration, st.Replicas, st.UpdatedReplicas = d.Generation, n, p.updated(n)
	st.ReadyReplicas, st.AvailableReplicas, st.UnavailableReplicas = ready, ready, n-ready
	available := appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse, Reason: "MinimumReplicasUnavailable", Message: "Deployment does not have minimum availability."}
	// The default strategy allows a quarter of the pods to be away.
	if ready*4 >= n*3 {
		available.Status, available.Reason, available.Message = corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability."
	}
	progressing := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated", Message: fmt.Sprintf("ReplicaSet %q is progressing.", d.Name)}
	switch {
	case p.ready || n == 0:
		progressing.Reason, progressing.Message = "NewReplicaSetAvailable", fmt.Sprintf("ReplicaSet %q has successfully progressed.", d.Name)
	case p.failed:
		progressing.Status, progressing.Reason, progressing.Message = corev1.ConditionFalse, "ProgressDeadlineExceeded", fmt.Sprintf("ReplicaSet %q has timed out progressing.", d.Name)
	}
	for _, next := range []appsv1.DeploymentCondition{available, progressing} {
		next.LastUpdateTime, next.LastTransitionTime = p.now, p.now
		st.Conditions = putDeploymentCondition(st.Conditions, next)
	}
}

func putDeploymentCondition(all []appsv1.DeploymentCondition, next appsv1.DeploymentCondition) []appsv1.DeploymentCondition {
	for i, old := range all {
		if old.Type != next.Type {
			continue
		}
		if old.Status == next.Status {
			next.LastTransitionTime = old.LastTransitionTime
		}
		all[i] = next
		return all
	}
	return append(all, next)
}

func setJobStatus(o *batchv1.Job, p progress) {
	if ptr.Deref(o.Spec.Suspend, false) {
		return
	}
	setDefault(&o.Status.StartTime, p.now)
	n := ptr.Deref(o.Spec.Completions, 1)
	condition := func(kind batchv1.JobConditionType, reason, message string) batchv1.JobCondition {
		return batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastProbeTime: p.now, LastTransitionTime: p.now}
	}
	switch {
	case p.ready:
		const reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
		o.Status.Active, o.Status.Succeeded, o.Status.Ready = 0, n, ptr.To[int32](0)
		o.Status.CompletionTime = &p.now
		o.Status.Conditions = []batchv1.JobCondition{condition(batchv1.JobSuccessCriteriaMet, reason, message), condition(batchv1.JobComplete, reason, message)}
	case p.failed:
		const reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
		o.Status.Active, o.Status.Failed, o.Status.Ready = 0, ptr.Deref(o.Spec.BackoffLimit, 6)+1, ptr.To[int32](0)
		o.Status.Conditions = []batchv1.JobCondition{condition(batchv1.JobFailureTarget, reason, message), condition(batchv1.JobFailed, reason, message)}
	default:
		o.Status.Active, o.Status.Ready = min(n, ptr.Deref(o.Spec.Parallelism, 1)), ptr.To[int32](0)
	}
}

func setPodStatus(o *corev1.Pod, p progress) {
	ready := corev1.ConditionFalse
	if p.ready {
		ready = corev1.ConditionTrue
		o.Status.Phase = corev1.PodRunning
	}
	if p.failed {
		o.Status.Phase = corev1.PodFailed
	}
	setDefault(&o.Status.StartTime, p.now)
	o.Status.ObservedGeneration = o.Generation
	o.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: p.now},
		{Type: corev1.PodReady, Status: ready, LastTransitionTime: p.now},
	}
}
