//go:build e2e

package apply_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/apply"
)

// TestOnAPIServer runs what must hold on real API servers: every scenario, each in a namespace and with
// a hub of its own, and what a simulation cannot show. The namespace controller runs, so that
// namespaces go away.
func TestOnAPIServer(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"east", "alone"}, WithControllers: true, Controllers: []string{
		"namespace-controller", "garbage-collector-controller", "deployment-controller", "serviceaccount-controller",
	}})
	patience := 20 * time.Second
	for i, c := range scenarios() {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Log(c.reason)
			cluster := f.Cluster("east")
			if c.alone {
				cluster = f.Cluster("alone")
			}
			c.run(newStage(t, cluster.RESTConfig(), fmt.Sprintf("scenario-%d", i), patience, c.tweak))
		})
	}
	t.Run("immutable-fields-by-kind", func(t *testing.T) {
		s := newStage(t, f.Cluster("east").RESTConfig(), "immutable", patience, nil)
		for _, row := range immutableRows() {
			t.Run(row.name, func(t *testing.T) { row.run(t, s) })
		}
	})
	t.Run("a-policy-that-denies", func(t *testing.T) {
		denyingPolicy(newStage(t, f.Cluster("east").RESTConfig(), "denied", patience, nil))
	})
	t.Run("a-policy-that-mutates", func(t *testing.T) {
		mutatingPolicy(newStage(t, f.Cluster("east").RESTConfig(), "mutated", patience, nil))
	})
	t.Run("a-killed-API-server", func(t *testing.T) {
		s := newStage(t, f.Cluster("alone").RESTConfig(), "killed", 2*time.Minute, func(o *apply.Options) { o.MaxBackoff = time.Second })
		killedServer(s, f.Cluster("alone"))
	})
}

// immutableRow changes a field that the API server does not let anyone change.
type immutableRow struct {
	name, before, after string
	// field is what the message must name.
	field string
}

func immutableRows() []immutableRow {
	pod := "{containers: [{name: c, image: i}]}"
	template := "{metadata: {labels: {a: b}}, spec: " + pod + "}"
	row := func(name, apiVersion, kind, namespace, before, after, field string) immutableRow {
		head := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, %s}\n", apiVersion, kind, strings.ToLower(name), namespace)
		return immutableRow{name: name, before: head + before, after: head + after, field: field}
	}
	in, cluster := "namespace: $NS", "labels: {a: b}"
	return []immutableRow{
		row("DaemonSet", "apps/v1", "DaemonSet", in, "spec: {selector: {matchLabels: {a: b}}, template: "+template+"}",
			"spec: {selector: {matchLabels: {a: c}}, template: "+strings.ReplaceAll(template, "a: b", "a: c")+"}", "spec.selector"),
		row("StatefulSet", "apps/v1", "StatefulSet", in, "spec: {serviceName: x, selector: {matchLabels: {a: b}}, template: "+template+"}",
			"spec: {serviceName: other, selector: {matchLabels: {a: b}}, template: "+template+"}", "a field of spec"),
		row("Job", "batch/v1", "Job", in, "spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
			"spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: j}]}}}", "spec.template"),
		row("Pod", "v1", "Pod", in, "spec: "+pod, "spec: {hostname: x, containers: [{name: c, image: i}]}", "a field of spec"),
		row("Service", "v1", "Service", in, "spec: {ports: [{port: 80}]}", "spec: {clusterIP: None, ports: [{port: 80}]}", "spec.clusterIP"),
		row("RoleBinding", "rbac.authorization.k8s.io/v1", "RoleBinding", in, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: a}",
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: b}", "roleRef"),
		row("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", cluster, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: a}",
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: b}", "roleRef"),
		row("PersistentVolumeClaim", "v1", "PersistentVolumeClaim", in, "spec: {accessModes: [ReadWriteOnce], storageClassName: a, resources: {requests: {storage: 1Gi}}}",
			"spec: {accessModes: [ReadWriteOnce], storageClassName: b, resources: {requests: {storage: 1Gi}}}", "a field of spec"),
		row("PersistentVolume", "v1", "PersistentVolume", cluster, "spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}",
			"spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /b}}", "persistentvolumesource"),
		row("ConfigMap", "v1", "ConfigMap", in, "immutable: true\ndata: {a: b}", "immutable: true\ndata: {a: c}", "data"),
		row("Secret", "v1", "Secret", in, "immutable: true\nstringData: {a: b}", "immutable: true\nstringData: {a: c}", "data"),
		row("Secret-type", "v1", "Secret", in, "type: Opaque", "type: example.com/other", "type"),
		row("StorageClass", "storage.k8s.io/v1", "StorageClass", cluster, "provisioner: example.com/a", "provisioner: example.com/b", "provisioner"),
		row("StorageClass-parameters", "storage.k8s.io/v1", "StorageClass", cluster, "provisioner: example.com/a\nparameters: {a: b}", "provisioner: example.com/a\nparameters: {a: c}", "parameters"),
		row("PriorityClass", "scheduling.k8s.io/v1", "PriorityClass", cluster, "value: 1", "value: 2", "value"),
		row("IngressClass", "networking.k8s.io/v1", "IngressClass", cluster, "spec: {controller: example.com/a}", "spec: {controller: example.com/b}", "spec.controller"),
	}
}

func (row immutableRow) run(t *testing.T, s *stage) {
	s.TB = t
	s.synced()
	before, after := s.manifest(row.before), s.manifest(row.after)
	s.eventually("the first version is applied", func() error {
		if r := s.try(s.planFor(strings.ToLower(row.name), before)); !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
	o := outcome(t, s.try(s.planFor(strings.ToLower(row.name), after)), after)
	if o.Class != apply.ClassStalled || !strings.Contains(o.Message, "cannot be changed") || !strings.Contains(o.Message, row.field) {
		t.Errorf("%s: %s", o.Class, o.Message)
	}
}

// denyingPolicy has a policy deny objects with a message that quotes them.
func denyingPolicy(s *stage) {
	const canary = "canary-5b1d7"
	for _, text := range []string{`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: deny-$NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets, configmaps]}]}
  matchConditions: [{name: mine, expression: "object.metadata.namespace == '$NS' && object.metadata.name.startsWith('denied')"}]
  validations: [{expression: "false", messageExpression: "'I do not like ' + (has(object.data) ? string(object.data.password) : '')"}]
`, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: deny-$NS}
spec: {policyName: deny-$NS, validationActions: [Deny]}
`} {
		s.create(s.manifest(text), "admin")
	}
	secret := s.manifest("{apiVersion: v1, kind: Secret, metadata: {name: denied, namespace: $NS}, stringData: {password: " + canary + "}}")
	config := configMap(s.ns, "denied", "password", canary+" in a neighbour")
	s.apply(configMap(s.ns, "fine"))
	var r apply.Result
	s.eventually("the policy is in force", func() error {
		r = s.try(s.plan(configMap(s.ns, "fine"), secret, config))
		if outcome(s, r, secret).Class == apply.ClassNone || outcome(s, r, config).Class == apply.ClassNone {
			s.try(s.plan(configMap(s.ns, "fine")))
			return errors.New("not yet")
		}
		return nil
	})
	for _, m := range []*unstructured.Unstructured{secret, config} {
		o := outcome(s, r, m)
		if o.Class != apply.ClassDenied || !strings.Contains(o.Message, "deny-"+s.ns) {
			s.Errorf("%s: %s %q", ref(m), o.Class, o.Message)
		}
	}
	if got := describe(r); strings.Contains(got, canary) || strings.Contains(got, "Y2FuYXJ5") {
		s.Errorf("leaked: %s", got)
	}
}

// mutatingPolicy has a policy change a field of ours when someone else writes, so that ownership says
// nothing about it.
func mutatingPolicy(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.quiet(a)
	for _, text := range []string{`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: mutate-$NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [configmaps]}]}
  matchConditions: [{name: mine, expression: "object.metadata.namespace == '$NS' && has(object.metadata.annotations) && 'touched' in object.metadata.annotations"}]
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'replace', path: '/data/k', value: 'mutated'}]"}}]
`, `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: mutate-$NS}
spec: {policyName: mutate-$NS}
`} {
		s.create(s.manifest(text), "admin")
	}
	n := 0
	s.eventually("the policy is in force", func() error {
		n++
		s.edit(a, fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, n))
		if got, _, _ := unstructured.NestedString(s.live(a).Object, "data", "k"); got != "mutated" {
			return errors.New("not yet")
		}
		return nil
	})
	s.eventually("the change is found", func() error {
		if h, _ := s.held(a); strings.Join(h.Detail().Drift, " ") != "/data/k" {
			return fmt.Errorf("drift %v, owned %s", h.Detail().Drift, h.OwnedFields)
		}
		return nil
	})
	// The policy changes our own write, too. That must not become a fight.
	s.apply(a)
	s.quiet(a)
}

// killedServer kills the API server while a plan is carried out.
func killedServer(s *stage, cluster *fleet.Cluster) {
	s.quietAfter(configMap(s.ns, "first"))
	var objects []*unstructured.Unstructured
	for i := range 300 {
		objects = append(objects, configMap(s.ns, fmt.Sprintf("c-%d", i), "k", "1"))
	}
	p := s.plan(objects...)
	done := make(chan error, 1)
	go func() {
		_, err := s.member.Execute(s.ctx, p)
		done <- err
	}()
	s.eventually("some of it is written", func() error {
		if n := s.member.Inventory().Objects.Len(); n < 50 {
			return fmt.Errorf("%d objects", n)
		}
		return nil
	})
	if err := cluster.StopAPIServer(s.ctx, syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	if err := <-done; err != nil {
		s.Log(err)
	}
	if s.member.Probe(s.ctx) == nil {
		s.Error("a killed API server answers")
	}
	if err := cluster.StartAPIServer(s.ctx); err != nil {
		s.Fatal(err)
	}
	s.insist(objects...)
	s.quiet(objects...)
	if n := s.member.Inventory().Objects.Len(); n != 300 {
		s.Errorf("%d objects", n)
	}
}
