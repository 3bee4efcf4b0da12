//go:build e2e

package apply_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/apply"
)

// TestOnAPIServerBadDays plays what befalls real API servers.
func TestOnAPIServerBadDays(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"east"}, WithControllers: true, Controllers: []string{
		"namespace-controller", "garbage-collector-controller", "statefulset-controller", "resourcequota-controller", "serviceaccount-controller",
	}})
	cluster := f.Cluster("east")
	for _, c := range []struct {
		name string
		run  func(*stage)
	}{
		{"webhook denies", webhookDenies},
		{"webhook mutates", webhookMutates},
		{"webhook down", webhookDown},
		{"extension server down", extensionServerDown},
		{"errors are told apart", errorsToldApart},
		{"recreate a statefulset", recreateStatefulSet},
		{"never recreated", neverRecreated},
		{"immutable flag", immutableFlag},
		{"oddly spelled", oddlySpelled},
		{"a definition removed by hand", definitionRemovedByHand},
		{"a parent removed by hand", parentRemovedByHand},
		{"a server that says nothing", pausedServer(cluster)},
		{"restored from a backup", restoredFromBackup(cluster)},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			id := strings.ReplaceAll(c.name, " ", "-")
			c.run(newStage(t, cluster.RESTConfig(), id, time.Minute, func(o *apply.Options) { o.MaxBackoff, o.WaitTimeout = time.Second, 5*time.Second }))
		})
	}
}

// webhook serves admission reviews and returns its URL and its certificate authority, in base64.
func webhook(s *stage, answer func(request map[string]any) map[string]any) (url, ca string) {
	s.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		request, _ := review["request"].(map[string]any)
		response := answer(request)
		response["uid"] = request["uid"]
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
	}))
	s.Cleanup(srv.Close)
	var buf bytes.Buffer
	if err := pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}); err != nil {
		s.Fatal(err)
	}
	return srv.URL, base64.StdEncoding.EncodeToString(buf.Bytes())
}

// hook registers a webhook of a kind for the ConfigMaps and Secrets of the scenario's namespace, and removes
// it in the end.
func hook(s *stage, kind, url, ca string) {
	s.Helper()
	bundle := ""
	if ca != "" {
		bundle = ", caBundle: " + ca
	}
	m := s.manifest(fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: %s
metadata: {name: hook-$NS}
webhooks:
- name: hook.$NS.example.com
  clientConfig: {url: %q%s}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps, secrets]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
`, kind, url, bundle))
	s.create(m, "admin")
	s.Cleanup(func() { _ = s.resource(m).Delete(s.ctx, m.GetName(), metav1.DeleteOptions{}) })
}

// A webhook that denies, and quotes what it denies, is told as a refusal without the words that it quotes.
func webhookDenies(s *stage) {
	const canary = "canary-8c21e"
	s.apply(configMap(s.ns, "first"))
	url, ca := webhook(s, func(request map[string]any) map[string]any {
		text, _ := json.Marshal(request["object"])
		return map[string]any{"allowed": !strings.Contains(string(text), "denied"), "status": map[string]any{"code": 403, "message": "I saw " + string(text)}}
	})
	hook(s, "ValidatingWebhookConfiguration", url, ca)
	secret := s.manifest("{apiVersion: v1, kind: Secret, metadata: {name: denied, namespace: $NS}, stringData: {password: " + canary + "}}")
	var r apply.Result
	s.eventually("the webhook is in force", func() error {
		r = s.try(s.plan(configMap(s.ns, "first"), configMap(s.ns, "second", "k", "1"), secret))
		if outcome(s, r, secret).Class == apply.ClassNone {
			s.try(s.plan(configMap(s.ns, "first")))
			return errors.New("not yet")
		}
		return nil
	})
	o := outcome(s, r, secret)
	if o.Class != apply.ClassDenied || !strings.Contains(o.Message, "hook."+s.ns) {
		s.Errorf("%s: %q", o.Class, o.Message)
	}
	if got := describe(r); strings.Contains(got, canary) || strings.Contains(got, base64.StdEncoding.EncodeToString([]byte(canary))) {
		s.Errorf("leaked: %s", got)
	}
	if o := outcome(s, r, configMap(s.ns, "second")); o.Class != apply.ClassNone {
		s.Errorf("the other object: %s %s", o.Class, o.Message)
	}
}

// A webhook that rewrites what we send is not fought: what it adds is its own, and what it changes is told once.
func webhookMutates(s *stage) {
	url, ca := webhook(s, func(map[string]any) map[string]any {
		patch := `[{"op":"add","path":"/metadata/labels/injected","value":"yes"},{"op":"replace","path":"/data/k","value":"mutated"}]`
		return map[string]any{"allowed": true, "patchType": "JSONPatch", "patch": base64.StdEncoding.EncodeToString([]byte(patch))}
	})
	s.apply(configMap(s.ns, "first"))
	hook(s, "MutatingWebhookConfiguration", url, ca)
	a := configMap(s.ns, "a", "k", "1")
	s.eventually("the webhook is in force", func() error {
		s.try(s.plan(configMap(s.ns, "first"), a))
		if got, _, _ := unstructured.NestedString(s.live(a).Object, "data", "k"); got != "mutated" {
			s.try(s.plan(configMap(s.ns, "first")))
			return errors.New("not yet")
		}
		return nil
	})
	// It rewrites every attempt; that must come to rest nevertheless.
	s.apply(configMap(s.ns, "first"), a)
	s.quiet(configMap(s.ns, "first"), a)
	if s.live(a).GetLabels()["injected"] != "yes" {
		s.Error("what the webhook injects was taken away")
	}
}

// A webhook that cannot be called keeps the objects that it is for, which are tried again, and nothing else.
func webhookDown(s *stage) {
	s.apply(configMap(s.ns, "first"))
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	url := gone.URL
	gone.Close()
	hook(s, "ValidatingWebhookConfiguration", url, "")
	service := s.manifest("{apiVersion: v1, kind: Service, metadata: {name: other, namespace: $NS}, spec: {ports: [{port: 80}]}}")
	waits := configMap(s.ns, "waits", "k", "1")
	var r apply.Result
	s.eventually("the webhook is in force", func() error {
		r = s.try(s.plan(configMap(s.ns, "first"), waits, service))
		if outcome(s, r, waits).Class == apply.ClassNone {
			s.try(s.plan(configMap(s.ns, "first")))
			return errors.New("not yet")
		}
		return nil
	})
	if o := outcome(s, r, waits); o.Class != apply.ClassRetry || !strings.Contains(o.Message, "hook."+s.ns) {
		s.Errorf("%s %q", o.Class, o.Message)
	}
	s.live(service)
	if !s.member.Inventory().Reachable {
		s.Error("a webhook that is down counts as a cluster that is away")
	}
	if err := s.resource(s.manifest("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: hook-$NS}}")).
		Delete(s.ctx, "hook-"+s.ns, metav1.DeleteOptions{}); err != nil {
		s.Fatal(err)
	}
	s.every(500*time.Millisecond, "without it the object goes through", func() error {
		if r := s.try(s.plan(configMap(s.ns, "first"), waits, service)); !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
}

// An APIService without a server makes discovery fail for its group; the rest goes on, also after a restart.
func extensionServerDown(s *stage) {
	ns := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: $NS-extra, annotations: {armada-sync.io/prune: confirm}}}")
	s.quietAfter(configMap(s.ns, "a", "k", "1"), ns)
	service := s.manifest(`
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.down.example.com}
spec: {group: down.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {namespace: default, name: nobody}}
`)
	s.create(service, "admin")
	s.Cleanup(func() { _ = s.resource(service).Delete(s.ctx, service.GetName(), metav1.DeleteOptions{}) })
	s.every(time.Second, "a start sees the group fail", func() error {
		s.restart(func(o *apply.Options) { o.WaitTimeout = time.Second })
		if p := strings.Join(s.member.Problems(), "\n"); !strings.Contains(p, "down.example.com") {
			return fmt.Errorf("problems: %q", p)
		}
		return nil
	})
	s.quietAfter(configMap(s.ns, "a", "k", "2"), ns)
	extra := s.manifest("{apiVersion: down.example.com/v1, kind: Thing, metadata: {name: t, namespace: $NS}}")
	r := s.try(s.plan(configMap(s.ns, "a", "k", "3"), extra))
	if o := outcome(s, r, extra); o.Class != apply.ClassRetry || !strings.Contains(o.Message, "down.example.com") {
		s.Errorf("%s %q", o.Class, o.Message)
	}
	if o := outcome(s, r, ns); o.Class != apply.ClassWait {
		s.Errorf("a namespace whose content nobody can tell: %s %s", o.Class, o.Message)
	}
	if got, _, _ := unstructured.NestedString(s.live(configMap(s.ns, "a")).Object, "data", "k"); got != "3" {
		s.Errorf("k is %q", got)
	}
}

// Each way to be refused has a class and words of its own.
func errorsToldApart(s *stage) {
	quota := s.manifest("{apiVersion: v1, kind: ResourceQuota, metadata: {name: none, namespace: $NS}, spec: {hard: {configmaps: '2', secrets: '0'}}}")
	s.apply(configMap(s.ns, "first"), quota)
	enforced := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: $NS-restricted, labels: {pod-security.kubernetes.io/enforce: restricted}}}")
	privileged := s.manifest("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: $NS-restricted}, spec: {hostNetwork: true, containers: [{name: c, image: i}]}}")
	account := s.manifest("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: $NS-restricted}}")
	s.create(enforced, "admin")
	s.create(configMap(s.ns, "theirs", "k", "theirs"), "someone")
	secret := s.manifest("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: $NS}, stringData: {a: b}}")
	invalid := s.manifest("{apiVersion: v1, kind: Service, metadata: {name: invalid, namespace: $NS}, spec: {ports: [{port: 123456}]}}")
	missing := s.manifest("{apiVersion: example.com/v1, kind: Nobody, metadata: {name: n, namespace: $NS}}")
	s.eventually("the account is there", func() error {
		_, err := s.resource(account).Get(s.ctx, "default", metav1.GetOptions{})
		return err
	})
	var r apply.Result
	s.every(500*time.Millisecond, "the quota is counted", func() error {
		r = s.try(s.plan(configMap(s.ns, "first"), quota, secret, configMap(s.ns, "theirs", "k", "ours"), invalid, privileged, missing))
		if o := outcome(s, r, secret); !strings.Contains(o.Message, "exceeded quota") {
			return fmt.Errorf("%s %q", o.Class, o.Message)
		}
		return nil
	})
	for _, want := range []struct {
		m     *unstructured.Unstructured
		class apply.Class
		says  string
	}{
		{secret, apply.ClassWait, "exceeded quota"},
		{configMap(s.ns, "theirs"), apply.ClassConflict, `"someone"`},
		{invalid, apply.ClassStalled, "port"},
		{privileged, apply.ClassDenied, "PodSecurity"},
		{missing, apply.ClassWait, "does not serve"},
	} {
		if o := outcome(s, r, want.m); o.Class != want.class || !strings.Contains(o.Message, want.says) {
			s.Errorf("%s: %s %q, want %s with %q", ref(want.m), o.Class, o.Message, want.class, want.says)
		}
	}
}

// A StatefulSet that is recreated on request leaves its pods, which the new one takes over.
func recreateStatefulSet(s *stage) {
	text := `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: $NS%s}
spec:
  serviceName: %s
  replicas: 1
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: main, image: example.com/db}]}}
`
	db := s.manifest(fmt.Sprintf(text, "", "a"))
	s.apply(db)
	pod := s.manifest("{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: $NS}}")
	s.eventually("its pod is there", func() error {
		_, err := s.resource(pod).Get(s.ctx, "db-0", metav1.GetOptions{})
		return err
	})
	podUID, setUID := s.live(pod).GetUID(), s.live(db).GetUID()
	r := s.try(s.plan(s.manifest(fmt.Sprintf(text, "", "b"))))
	if o := outcome(s, r, db); o.Class != apply.ClassStalled || !strings.Contains(o.Message, "armada-sync.io/recreate") {
		s.Errorf("%s %q", o.Class, o.Message)
	}
	allowed := s.manifest(fmt.Sprintf(text, ", annotations: {armada-sync.io/recreate: allowed}", "b"))
	s.every(time.Second, "it is recreated", func() error {
		if r := s.try(s.plan(allowed)); !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
	if s.live(db).GetUID() == setUID {
		s.Error("it is the old one")
	}
	s.eventually("the pod is taken over", func() error {
		u := s.live(pod)
		if u.GetUID() != podUID || u.GetDeletionTimestamp() != nil {
			s.Fatal("the pod went with its set")
		}
		if owner := metav1.GetControllerOf(u); owner == nil || owner.UID != s.live(db).GetUID() {
			return errors.New("it is nobody's yet")
		}
		return nil
	})
	s.quiet(allowed)
}

// What holds data is not recreated, whatever its annotation says.
func neverRecreated(s *stage) {
	claim := func(class string) *unstructured.Unstructured {
		return s.manifest("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: $NS, annotations: {armada-sync.io/recreate: allowed}}, spec: {accessModes: [ReadWriteOnce], storageClassName: " + class + ", resources: {requests: {storage: 1Gi}}}}")
	}
	volume := func(path string) *unstructured.Unstructured {
		return s.manifest("{apiVersion: v1, kind: PersistentVolume, metadata: {name: $NS, annotations: {armada-sync.io/recreate: allowed}}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: " + path + "}}}")
	}
	crd := func(scope string) *unstructured.Unstructured {
		u := s.crd("Gear")
		u.SetAnnotations(map[string]string{"armada-sync.io/recreate": "allowed"})
		u.Object["spec"].(map[string]any)["scope"] = scope
		return u
	}
	s.apply(claim("a"), volume("/a"), crd("Namespaced"))
	before := map[string]string{}
	for _, m := range []*unstructured.Unstructured{claim("b"), volume("/b"), crd("Cluster")} {
		before[m.GetKind()] = string(s.live(m).GetUID())
	}
	r := s.try(s.plan(claim("b"), volume("/b"), crd("Cluster")))
	for _, m := range []*unstructured.Unstructured{claim("b"), volume("/b"), crd("Cluster")} {
		o := outcome(s, r, m)
		if o.Class != apply.ClassStalled || !strings.Contains(o.Message, "cannot be changed") || strings.Contains(o.Message, "recreate") {
			s.Errorf("%s: %s %q", ref(m), o.Class, o.Message)
		}
		if string(s.live(m).GetUID()) != before[m.GetKind()] {
			s.Errorf("%s was recreated", ref(m))
		}
	}
}

// An immutable ConfigMap or Secret says that it is its own flag, and may be recreated like any other.
func immutableFlag(s *stage) {
	for _, kind := range []string{"ConfigMap", "Secret"} {
		text := "{apiVersion: v1, kind: " + kind + ", metadata: {name: frozen, namespace: $NS%s}, immutable: true, data: {a: %s}}"
		before, after := s.manifest(fmt.Sprintf(text, "", "b25l")), s.manifest(fmt.Sprintf(text, "", "dHdv"))
		s.apply(before)
		uid := s.live(before).GetUID()
		o := outcome(s, s.try(s.plan(after)), after)
		if o.Class != apply.ClassStalled || !strings.Contains(o.Message, "immutable: true") {
			s.Errorf("%s: %s %q", kind, o.Class, o.Message)
		}
		allowed := s.manifest(fmt.Sprintf(text, ", annotations: {armada-sync.io/recreate: allowed}", "dHdv"))
		s.apply(allowed)
		if s.live(allowed).GetUID() == uid {
			s.Errorf("%s: it was not recreated", kind)
		}
		s.quiet(allowed)
	}
}

// pausedServer has the API server accept connections and say nothing for a while, in the middle of an apply.
func pausedServer(cluster *fleet.Cluster) func(*stage) {
	return func(s *stage) {
		s.stop()
		s.start(func(o *apply.Options) { o.RequestTimeout, o.MaxBackoff = 2*time.Second, time.Second })
		s.quietAfter(configMap(s.ns, "first"))
		if err := cluster.Pause(); err != nil {
			s.Fatal(err)
		}
		var many []*unstructured.Unstructured
		for i := range 100 {
			many = append(many, configMap(s.ns, fmt.Sprint("c-", i), "k", "1"))
		}
		began := time.Now()
		_, _ = s.member.Execute(s.ctx, s.plan(many...))
		if took := time.Since(began); took > 20*time.Second {
			s.Errorf("100 objects on a cluster that says nothing took %v", took)
		}
		if err := cluster.Resume(); err != nil {
			s.Fatal(err)
		}
		s.insist(many...)
		s.quiet(many...)
	}
}

// restoredFromBackup has etcd forget what was written since a backup.
func restoredFromBackup(cluster *fleet.Cluster) func(*stage) {
	return func(s *stage) {
		objects := func(n int, value string) (out []*unstructured.Unstructured) {
			for i := range n {
				out = append(out, configMap(s.ns, fmt.Sprint("c-", i), "k", value))
			}
			return out
		}
		s.quietAfter(append(objects(10, "1"), s.deployment("old", "example.com/web:1", 0))...)
		backup, err := cluster.Backup(s.ctx)
		if err != nil {
			s.Fatal(err)
		}
		s.insist(append(objects(10, "2"), s.deployment("old", "example.com/web:2", 0))...)
		latest := append(objects(12, "3"), s.manifest("{apiVersion: v1, kind: Service, metadata: {name: new, namespace: $NS}, spec: {ports: [{port: 80}]}}"))
		s.insist(latest...)
		if err := cluster.Restore(s.ctx, backup); err != nil {
			s.Fatal(err)
		}
		s.becomes(latest...)
		s.quiet(latest...)
		s.absent(s.deployment("old", "", 0))
		if n := s.member.Inventory().Objects.Len(); n != len(latest) {
			s.Errorf("%d objects are known, want %d", n, len(latest))
		}
	}
}
