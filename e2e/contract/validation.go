package contract

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func validationStatements() []statement {
	return []statement{
		{name: "faults in manifests are 422 and name the field", check: validationFaults},
		{name: "what cannot change is 422 and says so", check: validationImmutable},
		{name: "what looks frozen can change", check: validationMutable},
		{name: "unknown fields are refused when asked to", check: validationUnknown},
		{name: "an unknown field in an apply is an HTTP 500", check: validationUnknownApply},
		{name: "a wrong type in an apply is an HTTP 500", check: validationWrongType},
		{name: "a create with an unknown field warns", check: validationWarns},
	}
}

func validationFaults(t *testing.T, e *env) {
	for _, c := range []struct {
		reason, manifest string
		gvr              schemaGVR
		kind             metav1.CauseType
		field            string
	}{
		{"name is not a DNS name", `{apiVersion: v1, kind: ConfigMap, metadata: {name: Bad_Name}}`, configMaps, metav1.CauseTypeFieldValueInvalid, "metadata.name"},
		{"label value has a space", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {a: "b c"}}}`, configMaps, metav1.CauseTypeFieldValueInvalid, "metadata.labels"},
		{"data key has a slash", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {"a/b": c}}`, configMaps, metav1.CauseTypeFieldValueInvalid, "data[a/b]"},
		{"template labels do not match", strings.Replace(web, "labels: {app: web}", "labels: {app: other}", 1), deployments, metav1.CauseTypeFieldValueInvalid, "spec.template.metadata.labels"},
		{"no selector", strings.Replace(web, "  selector: {matchLabels: {app: web}}\n", "", 1), deployments, metav1.CauseTypeFieldValueRequired, "spec.selector"},
		{"no image", strings.Replace(web, "        image: example.com/web:1\n", "", 1), deployments, metav1.CauseTypeFieldValueRequired, "spec.template.spec.containers[0].image"},
		{"negative replicas", strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: -1\n  selector", 1), deployments, metav1.CauseTypeFieldValueInvalid, "spec.replicas"},
		{"mount without volume", strings.Replace(web, "image: example.com/web:1", "image: example.com/web:1\n        volumeMounts: [{name: v, mountPath: /v}]", 1), deployments, metav1.CauseTypeFieldValueNotFound, "spec.template.spec.containers[0].volumeMounts[0].name"},
		{"request above limit", strings.Replace(web, "image: example.com/web:1", "image: example.com/web:1\n        resources: {requests: {cpu: 2}, limits: {cpu: 1}}", 1), deployments, metav1.CauseTypeFieldValueInvalid, "spec.template.spec.containers[0].resources.requests"},
		{"restart policy", strings.Replace(web, "    spec:\n      containers", "    spec:\n      restartPolicy: Never\n      containers", 1), deployments, metav1.CauseTypeFieldValueNotSupported, "spec.template.spec.restartPolicy"},
		{"Job restarts always", `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}`, jobs, metav1.CauseTypeFieldValueRequired, "spec.template.spec.restartPolicy"},
		{"Service without ports", `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {a: b}}}`, services, metav1.CauseTypeFieldValueRequired, "spec.ports"},
		{"Service with a dot in its name", `{apiVersion: v1, kind: Service, metadata: {name: a.b}, spec: {ports: [{port: 80}]}}`, services, metav1.CauseTypeFieldValueInvalid, "metadata.name"},
		{"Service ports without names", `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}, {port: 81}]}}`, services, metav1.CauseTypeFieldValueRequired, "spec.ports[0].name"},
		{"claim without modes", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {resources: {requests: {storage: 1Gi}}}}`, claims, metav1.CauseTypeFieldValueRequired, "spec.accessModes"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			obj := object(t, c.manifest)
			_, err := e.in(c.gvr).Patch(e.ctx, obj.GetName(), types.ApplyPatchType, mustJSON(t, obj), metav1.PatchOptions{FieldManager: manager})
			st := wantCode(t, err, http.StatusUnprocessableEntity)
			if st.Reason != metav1.StatusReasonInvalid {
				t.Errorf("reason %s", st.Reason)
			}
			wantCause(t, st, c.kind, c.field)
			if st.Details.Kind != obj.GetKind() || st.Details.Name != obj.GetName() {
				t.Errorf("details = %s %s", st.Details.Kind, st.Details.Name)
			}
		})
	}
}

func validationImmutable(t *testing.T, e *env) {
	sts := strings.NewReplacer("Deployment", "StatefulSet", "spec:\n  selector", "spec:\n  serviceName: web\n  selector").Replace(web)
	job := `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: false, template: {spec: {restartPolicy: Never, containers: [{name: a, image: "b:1"}]}}}}`
	claim := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`
	binding := `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}}`
	for _, c := range []struct {
		reason, from, to string
		gvr              schemaGVR
		kind             metav1.CauseType
		field, message   string
	}{
		{"selector of a Deployment", web, strings.ReplaceAll(web, "{app: web}", "{app: web, v: w}"), deployments, metav1.CauseTypeFieldValueInvalid, "spec.selector", "field is immutable"},
		{"selector of a DaemonSet", strings.Replace(web, "Deployment", "DaemonSet", 1), strings.ReplaceAll(strings.Replace(web, "Deployment", "DaemonSet", 1), "{app: web}", "{app: web, v: w}"), daemonSets, metav1.CauseTypeFieldValueInvalid, "spec.selector", "field is immutable"},
		{"serviceName of a StatefulSet", sts, strings.Replace(sts, "serviceName: web", "serviceName: other", 1), statefulSets, metav1.CauseTypeForbidden, "spec", "updates to statefulset spec for fields other than"},
		{"template of a Job", job, strings.Replace(job, "b:1", "b:2", 1), jobs, metav1.CauseTypeFieldValueInvalid, "spec.template", "field is immutable"},
		{"class of a claim", strings.Replace(claim, "{accessModes", "{storageClassName: x, accessModes", 1), strings.Replace(claim, "{accessModes", "{storageClassName: z, accessModes", 1), claims, metav1.CauseTypeForbidden, "spec", "spec is immutable after creation"},
		{"roleRef", binding, strings.Replace(binding, "name: x", "name: z", 1), roleBindings, metav1.CauseTypeFieldValueInvalid, "roleRef", "cannot change roleRef"},
		{"type of a Secret", `{apiVersion: v1, kind: Secret, metadata: {name: s}, type: example.com/x}`, `{apiVersion: v1, kind: Secret, metadata: {name: s}, type: example.com/y}`, secrets, metav1.CauseTypeFieldValueInvalid, "type", "field is immutable"},
		{"data of an immutable ConfigMap", `{apiVersion: v1, kind: ConfigMap, metadata: {name: i}, immutable: true, data: {a: b}}`, `{apiVersion: v1, kind: ConfigMap, metadata: {name: i}, immutable: true, data: {a: c}}`, configMaps, metav1.CauseTypeForbidden, "data", "field is immutable when `immutable` is set"},
		{"address of a Service", `{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {ports: [{port: 80}]}}`, `{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {clusterIP: 10.96.0.77, ports: [{port: 80}]}}`, services, metav1.CauseTypeFieldValueInvalid, "spec.clusterIPs[0]", "may not change once set"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			e.apply(t, c.gvr, manager, c.from)
			_, err := e.tryApply(t, c.gvr, manager, c.to, metav1.ApplyOptions{})
			st := wantCode(t, err, http.StatusUnprocessableEntity)
			wantCause(t, st, c.kind, c.field)
			if !strings.Contains(st.Message, c.message) {
				t.Errorf("message: %s", st.Message)
			}
		})
	}
}

func validationMutable(t *testing.T, e *env) {
	claim := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`
	service := `{apiVersion: v1, kind: Service, metadata: {name: 1s}, spec: {ports: [{port: 80}]}}`
	for _, c := range []struct {
		reason, from, to string
		gvr              schemaGVR
	}{
		{"a claim without a class gets one", claim, strings.Replace(claim, "{accessModes", "{storageClassName: x, accessModes", 1), claims},
		{"a Service whose name starts with a digit changes its type", service, strings.Replace(service, "{ports", "{type: NodePort, ports", 1), services},
		{"a CronJob's template", cron, strings.Replace(cron, "b:1", "b:2", 1), cronJobs},
	} {
		t.Run(c.reason, func(t *testing.T) {
			e.apply(t, c.gvr, manager, c.from)
			e.apply(t, c.gvr, manager, c.to)
		})
	}
}

const cron = `{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "b:1"}]}}}}}}`

func validationUnknown(t *testing.T, e *env) {
	obj := object(t, strings.Replace(config, "}}, data:", "}}, date: x, data:", 1))
	_, err := e.in(configMaps).Create(e.ctx, obj, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	st := wantCode(t, err, http.StatusBadRequest)
	if !strings.Contains(st.Message, `unknown field "date"`) {
		t.Errorf("message: %s", st.Message)
	}
	out, err := e.in(configMaps).Create(e.ctx, obj, metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore})
	if err != nil {
		t.Fatal(err)
	}
	want(t, out, nil, "date")
}

func validationUnknownApply(t *testing.T, e *env) {
	_, err := e.tryApply(t, configMaps, manager, strings.Replace(config, "}}, data:", "}}, date: x, data:", 1), metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusInternalServerError)
	if !strings.Contains(st.Message, "failed to create typed patch object") || !strings.Contains(st.Message, ".date: field not declared in schema") {
		t.Errorf("message: %s", st.Message)
	}
}

func validationWrongType(t *testing.T, e *env) {
	_, err := e.tryApply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: 1}}`, metav1.ApplyOptions{})
	st := wantCode(t, err, http.StatusInternalServerError)
	if !strings.Contains(st.Message, "failed to create typed patch object") {
		t.Errorf("message: %s", st.Message)
	}
	_, err = e.tryApply(t, deployments, manager, strings.Replace(web, "spec:\n  selector", "spec:\n  replicas: many\n  selector", 1), metav1.ApplyOptions{})
	wantCode(t, err, http.StatusInternalServerError)
}

func validationWarns(t *testing.T, e *env) {
	var warnings []string
	result := e.raw(t).Post().AbsPath("/api/v1/namespaces", e.ns, "configmaps").Param("fieldValidation", "Warn").
		SetHeader("Content-Type", "application/yaml").Body([]byte(strings.Replace(config, "}}, data:", "}}, date: x, data:", 1))).Do(e.ctx)
	if err := result.Error(); err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings() {
		warnings = append(warnings, w.Text)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `unknown field "date"`) {
		t.Errorf("warnings = %q", warnings)
	}
}
