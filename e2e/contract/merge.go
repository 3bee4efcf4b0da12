package contract

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

func mergeStatements() []statement {
	return []statement{
		{name: "lists with keys merge by key", check: mergeByKey},
		{name: "a container of somebody else stays", check: mergeForeignItem},
		{name: "a key that has a default appears with it in our set", check: mergeDefaultedKey},
		{name: "ports that differ in the defaulted key only are two", check: mergeTwoPorts},
		{name: "a duplicate key is an HTTP 500", check: mergeDuplicate},
		{name: "atomic lists are taken as one", check: mergeAtomic},
		{name: "finalizers are a set", check: mergeFinalizers},
		{name: "maps merge by key", check: mergeMaps},
		{name: "selectors are atomic", check: mergeSelector},
		{name: "null and empty leaves own what the server keeps", check: mergeNull},
		{name: "defaults of a Deployment", check: mergeDeploymentDefaults},
		{name: "defaults of a Service", check: mergeServiceDefaults},
		{name: "defaults of other kinds", check: mergeOtherDefaults},
	}
}

// key is the path element of a list item with these key fields.
func key(pairs ...any) any { return fieldpath.KeyByFields(pairs...) }

func containerPath(rest ...any) fieldpath.Path {
	return field(append([]any{"spec", "template", "spec", "containers", key("name", "main")}, rest...)...)
}

func mergeByKey(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	obj := e.apply(t, deployments, "other", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: main, env: [{name: B, value: "2"}]}]}}}
`)
	env := env0(t, obj)
	if len(env) != 2 {
		t.Fatalf("env = %v, want two entries", env)
	}
	mustOwn(t, applied(t, obj, "other"), containerPath("env", key("name", "B"), "value"))
	mustNotOwn(t, applied(t, obj, "other"), containerPath("env", key("name", "A"), "value"))
	mustOwn(t, applied(t, obj, manager), containerPath("env", key("name", "A"), "value"))
}

func env0(t *testing.T, obj *unstructured.Unstructured) []any {
	t.Helper()
	containers, _, err := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) == 0 {
		t.Fatalf("no containers: %v", err)
	}
	first, _ := containers[0].(map[string]any)
	out, _ := first["env"].([]any)
	return out
}

func mergeForeignItem(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	_, err := e.in(deployments).Patch(e.ctx, "web", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s:1"}]}}}}`), metav1.PatchOptions{FieldManager: "hand"})
	if err != nil {
		t.Fatal(err)
	}
	obj := e.apply(t, deployments, manager, strings.Replace(web, "web:1", "web:2", 1))
	containers, _, _ := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	if len(containers) != 2 {
		t.Errorf("got %d containers, want ours and the foreign one", len(containers))
	}
}

func mergeDefaultedKey(t *testing.T, e *env) {
	obj := e.apply(t, deployments, manager, web)
	set := applied(t, obj, manager)
	port := key("containerPort", 80, "protocol", "TCP")
	mustOwn(t, set, containerPath("ports", port))
	mustOwn(t, set, containerPath("ports", port, "containerPort"))
	mustNotOwn(t, set, containerPath("ports", port, "protocol"))
	obj = e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}`)
	mustOwn(t, applied(t, obj, manager), field("spec", "ports", key("port", 80, "protocol", "TCP"), "port"))
}

func mergeTwoPorts(t *testing.T, e *env) {
	obj := e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]}}`)
	ports, _, _ := unstructured.NestedSlice(obj.Object, "spec", "ports")
	if len(ports) != 2 {
		t.Errorf("got %d ports, want 2", len(ports))
	}
}

func mergeDuplicate(t *testing.T, e *env) {
	_, err := e.tryApply(t, deployments, manager, strings.Replace(web, `env: [{name: A, value: "1"}]`, `env: [{name: A, value: "1"}, {name: A, value: "2"}]`, 1), metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusInternalServerError)
	if !strings.Contains(st.Message, "failed to create typed patch object") || !strings.Contains(st.Message, `duplicate entries for key [name="A"]`) {
		t.Errorf("message: %s", st.Message)
	}
	if st.Reason != metav1.StatusReasonInternalError && st.Reason != metav1.StatusReasonUnknown {
		t.Errorf("reason: %q", st.Reason)
	}
}

func mergeAtomic(t *testing.T, e *env) {
	withArgs := strings.Replace(web, "image: example.com/web:1", "image: example.com/web:1\n        args: [a, b]", 1)
	obj := e.apply(t, deployments, manager, withArgs)
	set := applied(t, obj, manager)
	mustOwn(t, set, containerPath("args"))
	if set.Has(containerPath("args", value.NewValueInterface("a"))) {
		t.Error("an item of an atomic list is owned")
	}
	_, err := e.tryApply(t, deployments, "other", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: main, args: [a, b, c]}]}}}
`, metav1.ApplyOptions{})
	wantCode(t, err, http.StatusConflict)
}

func mergeFinalizers(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, finalizers: [example.com/a]}}`)
	obj := e.apply(t, configMaps, "other", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, finalizers: [example.com/b]}}`)
	if len(obj.GetFinalizers()) != 2 {
		t.Errorf("finalizers = %v, want both", obj.GetFinalizers())
	}
	_, err := e.in(configMaps).Patch(e.ctx, "c", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func mergeMaps(t *testing.T, e *env) {
	e.apply(t, configMaps, manager, config)
	obj := e.apply(t, configMaps, "other", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {z: "26"}}`)
	want(t, obj, "1", "data", "a")
	want(t, obj, "26", "data", "z")
}

func mergeSelector(t *testing.T, e *env) {
	obj := e.apply(t, deployments, manager, web)
	mustOwn(t, applied(t, obj, manager), field("spec", "selector"))
	mustNotOwn(t, applied(t, obj, manager), field("spec", "selector", "matchLabels"))
	obj = e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {a: b}, ports: [{port: 80}]}}`)
	mustOwn(t, applied(t, obj, manager), field("spec", "selector"))
}

func mergeNull(t *testing.T, e *env) {
	obj := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, annotations: null, labels: {}}, data: {a: ""}}`)
	want(t, obj, "", "data", "a")
	mustOwn(t, applied(t, obj, manager), field("data", "a"))
	want(t, obj, nil, "metadata", "labels")
	again := e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, annotations: null, labels: {}}, data: {a: ""}}`)
	if obj.GetResourceVersion() != again.GetResourceVersion() {
		t.Error("a repeated apply with null leaves writes")
	}
}

func mergeDeploymentDefaults(t *testing.T, e *env) {
	obj := e.apply(t, deployments, manager, web)
	for path, v := range map[string]any{
		"spec.replicas": int64(1), "spec.revisionHistoryLimit": int64(10), "spec.progressDeadlineSeconds": int64(600),
		"spec.strategy.type": "RollingUpdate", "spec.strategy.rollingUpdate.maxSurge": "25%", "spec.strategy.rollingUpdate.maxUnavailable": "25%",
		"spec.template.spec.restartPolicy": "Always", "spec.template.spec.dnsPolicy": "ClusterFirst",
		"spec.template.spec.terminationGracePeriodSeconds": int64(30), "spec.template.spec.schedulerName": "default-scheduler",
	} {
		want(t, obj, v, strings.Split(path, ".")...)
	}
	containers, _, _ := unstructured.NestedSlice(obj.Object, "spec", "template", "spec", "containers")
	main := &unstructured.Unstructured{Object: containers[0].(map[string]any)}
	want(t, main, "IfNotPresent", "imagePullPolicy")
	want(t, main, "/dev/termination-log", "terminationMessagePath")
	want(t, main, "File", "terminationMessagePolicy")
	ports, _, _ := unstructured.NestedSlice(main.Object, "ports")
	want(t, &unstructured.Unstructured{Object: ports[0].(map[string]any)}, "TCP", "protocol")
}

func mergeServiceDefaults(t *testing.T, e *env) {
	obj := e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}`)
	for path, v := range map[string]any{
		"spec.type": "ClusterIP", "spec.sessionAffinity": "None", "spec.internalTrafficPolicy": "Cluster", "spec.ipFamilyPolicy": "SingleStack",
	} {
		want(t, obj, v, strings.Split(path, ".")...)
	}
	ip, _, _ := unstructured.NestedString(obj.Object, "spec", "clusterIP")
	if ip == "" || ip == "None" {
		t.Errorf("clusterIP = %q", ip)
	}
	ports, _, _ := unstructured.NestedSlice(obj.Object, "spec", "ports")
	port := &unstructured.Unstructured{Object: ports[0].(map[string]any)}
	want(t, port, int64(80), "targetPort")
	want(t, port, "TCP", "protocol")
	headless := e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {clusterIP: None, ports: [{port: 80}]}}`)
	want(t, headless, "None", "spec", "clusterIP")
	// The address survives an apply that does not say it.
	again := e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 81}]}}`)
	want(t, again, ip, "spec", "clusterIP")
}

func mergeOtherDefaults(t *testing.T, e *env) {
	for _, c := range []struct {
		gvr      schemaGVR
		manifest string
		wants    map[string]any
	}{
		{statefulSets, strings.NewReplacer("Deployment", "StatefulSet", "spec:\n  selector", "spec:\n  serviceName: web\n  selector").Replace(web), map[string]any{
			"spec.replicas": int64(1), "spec.podManagementPolicy": "OrderedReady", "spec.updateStrategy.type": "RollingUpdate",
			"spec.updateStrategy.rollingUpdate.partition": int64(0), "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain", "spec.revisionHistoryLimit": int64(10),
		}},
		{daemonSets, strings.Replace(web, "Deployment", "DaemonSet", 1), map[string]any{
			"spec.updateStrategy.type": "RollingUpdate", "spec.updateStrategy.rollingUpdate.maxUnavailable": int64(1), "spec.updateStrategy.rollingUpdate.maxSurge": int64(0),
		}},
		{jobs, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "b:1"}]}}}}`, map[string]any{
			"spec.completions": int64(1), "spec.parallelism": int64(1), "spec.backoffLimit": int64(6), "spec.completionMode": "NonIndexed",
			"spec.manualSelector": false, "spec.podReplacementPolicy": "TerminatingOrFailed",
		}},
		{cronJobs, `{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "b:1"}]}}}}}}`, map[string]any{
			"spec.concurrencyPolicy": "Allow", "spec.suspend": false, "spec.successfulJobsHistoryLimit": int64(3), "spec.failedJobsHistoryLimit": int64(1),
			"spec.jobTemplate.spec.completions": nil, "spec.jobTemplate.spec.template.spec.dnsPolicy": "ClusterFirst",
		}},
		{hpas, `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}`, map[string]any{
			"spec.minReplicas": int64(1), "metadata.generation": nil,
		}},
		{roleBindings, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r}, roleRef: {kind: Role, name: x}}`, map[string]any{
			"roleRef.apiGroup": "rbac.authorization.k8s.io",
		}},
		{claims, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`, map[string]any{
			"spec.volumeMode": "Filesystem", "status.phase": "Pending",
		}},
	} {
		t.Run(c.gvr.Resource, func(t *testing.T) {
			obj := e.apply(t, c.gvr, manager, c.manifest)
			for path, v := range c.wants {
				want(t, obj, v, strings.Split(path, ".")...)
			}
		})
	}
}
