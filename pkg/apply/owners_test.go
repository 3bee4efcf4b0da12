package apply_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
)

// applyAs applies fields of an object as another manager, without force.
func (s *stage) applyAs(manager string, m *unstructured.Unstructured, fields string) {
	s.Helper()
	body := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q},%s}`, m.GetAPIVersion(), m.GetKind(), m.GetName(), m.GetNamespace(), fields)
	if _, err := s.resource(m).Patch(s.ctx, m.GetName(), types.ApplyPatchType, []byte(body), metav1.PatchOptions{FieldManager: manager}); err != nil {
		s.Error(err)
	}
}

// managers names who owns fields of an object, sorted.
func (s *stage) managers(m *unstructured.Unstructured) []string {
	s.Helper()
	var names []string
	for _, e := range s.live(m).GetManagedFields() {
		if e.Subresource == "" {
			names = append(names, e.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// strip takes away who owns what of an object.
func (s *stage) strip(m *unstructured.Unstructured) {
	s.Helper()
	s.edit(m, `{"metadata":{"managedFields":[{}]}}`)
	if n := len(s.live(m).GetManagedFields()); n != 0 {
		s.Fatalf("%d entries are left", n)
	}
	s.eventually("that is seen", func() error {
		if h, ok := s.held(m); !ok || h.OwnedFields != "" {
			return errors.New("not yet")
		}
		return nil
	})
}

func (s *stage) replicasAre(m *unstructured.Unstructured, want int64) {
	s.Helper()
	if n, _, _ := unstructured.NestedInt64(s.live(m).Object, "spec", "replicas"); n != want {
		s.Errorf("replicas is %d, want %d", n, want)
	}
}

func letGoForAnyone(s *stage) {
	web := s.deployment("web", "example.com/web:1", 4)
	s.apply(web)
	let := s.deployment("web", "example.com/web:2", 4)
	p := s.plan(let)
	p.Operations[0].HandOver, p.Operations[0].Unowned = []string{"/spec/replicas", "/spec/template/spec/containers/0/resources/requests/cpu"}, true
	s.execute(p)
	s.replicasAre(web, 4)
	if diff := cmp.Diff([]string{apply.FieldManager}, s.managers(web)); diff != "" {
		s.Errorf("owners: %s", diff)
	}
	s.applyAs("scaler", web, `"spec":{"replicas":6,"template":{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"2"}}}]}}}`)
	// Another commit leaves that alone, though nothing of it was ever written down with us.
	p = s.plan(s.deployment("web", "example.com/web:3", 4))
	p.Operations[0].OnCreateOnly, p.Operations[0].Unowned = []string{"/spec/replicas", "/spec/template/spec/containers/0/resources/requests/cpu"}, true
	s.execute(p)
	s.replicasAre(web, 6)
	h, _ := s.held(web)
	if strings.Contains(h.OwnedFields, "f:replicas") || strings.Contains(h.OwnedFields, "f:cpu") {
		s.Errorf("we own %s", h.OwnedFields)
	}
	// So it is with an object that is new.
	api := s.deployment("api", "example.com/api:1", 4)
	p = s.planFor("other", api)
	p.Operations[0].OnCreateOnly, p.Operations[0].Unowned = []string{"/spec/replicas"}, true
	s.execute(p)
	s.replicasAre(api, 4)
	s.applyAs("scaler", api, `"spec":{"replicas":6}`)
}

func letGoBesideAnOwner(s *stage) {
	web := s.deployment("web", "example.com/web:1", 4)
	s.apply(web)
	s.applyAs("scaler", web, `"spec":{"replicas":4}`)
	s.applyAs("tuner", web, `"spec":{"template":{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"1"}}}]}}}`)
	p := s.plan(s.deployment("web", "example.com/web:2", 4))
	p.Operations[0].HandOver = []string{"/spec/replicas", "/spec/template/spec/containers/0/resources/requests/cpu"}
	s.execute(p)
	if diff := cmp.Diff([]string{apply.FieldManager, "scaler", "tuner"}, s.managers(web)); diff != "" {
		s.Errorf("owners: %s", diff)
	}
	s.replicasAre(web, 4)
	s.applyAs("scaler", web, `"spec":{"replicas":6}`)
	s.replicasAre(web, 6)
}

func letGoOneByOne(s *stage) {
	web := s.deployment("web", "example.com/web:1", 4)
	web.SetAnnotations(map[string]string{"example.com/note": "from Git"})
	s.apply(web)
	p := s.plan(s.deployment("web", "example.com/web:2", 4))
	p.Operations[0].HandOver = []string{"/spec/replicas"}
	p.Operations[0].Manifest.SetAnnotations(web.GetAnnotations())
	s.execute(p)
	for i, pointer := range []string{"/metadata/annotations/example.com~1note", "/spec/template/spec/containers/0/resources/requests/memory"} {
		next := s.deployment("web", fmt.Sprintf("example.com/web:%d", 3+i), 4)
		next.SetAnnotations(web.GetAnnotations())
		p = s.plan(next)
		p.Operations[0].HandOver, p.Operations[0].OnCreateOnly = []string{pointer}, []string{"/spec/replicas", "/metadata/annotations/example.com~1note"}
		s.execute(p)
		s.replicasAre(web, 4)
		if got := s.live(web).GetAnnotations()["example.com/note"]; got != "from Git" {
			s.Errorf("the annotation is %q", got)
		}
	}
	containers, _, _ := unstructured.NestedSlice(s.live(web).Object, "spec", "template", "spec", "containers")
	if got, _, _ := unstructured.NestedString(containers[0].(map[string]any), "resources", "requests", "memory"); got != "64Mi" {
		s.Errorf("the request is %q", got)
	}
	if diff := cmp.Diff([]string{apply.FieldManager, apply.HandOverManager}, s.managers(web)); diff != "" {
		s.Errorf("owners: %s", diff)
	}
}

func (s *stage) service(ports string) *unstructured.Unstructured {
	return s.manifest("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: $NS}, spec: {selector: {app: web}, ports: [" + ports + "]}}")
}

func (s *stage) portsAre(m *unstructured.Unstructured, want ...string) {
	s.Helper()
	list, _, _ := unstructured.NestedSlice(s.live(m).Object, "spec", "ports")
	var got []string
	for _, item := range list {
		port := item.(map[string]any)
		got = append(got, fmt.Sprintf("%v %v", port["name"], port["port"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("ports: %s", diff)
	}
}

func strippedService(s *stage) {
	before := s.service("{name: http, port: 80}, {name: admin, port: 81}")
	s.apply(before)
	s.strip(before)
	// The record is put right without a commit,
	s.quietAfter(before)
	if diff := cmp.Diff([]string{apply.FieldManager}, s.managers(before)); diff != "" {
		s.Errorf("owners: %s", diff)
	}
	// what we let go of meanwhile keeps its value,
	web := s.deployment("web", "example.com/web:1", 4)
	s.apply(before, web)
	s.strip(web)
	p := s.plan(before, web)
	p.Operations[1].HandOver = []string{"/spec/replicas"}
	s.execute(p)
	s.replicasAre(web, 4)
	// and a port is renumbered as if nothing had been.
	after := s.service("{name: http, port: 8080}, {name: admin, port: 81}")
	s.apply(after)
	s.portsAre(after, "http 8080", "admin 81")
	s.quiet(after)
}

func strippedBehind(s *stage) {
	service, settings := s.service("{name: http, port: 80}"), configMap(s.ns, "settings", "a", "1", "b", "1")
	s.apply(service, settings)
	s.edit(settings, `{"data":{"theirs":"kept"}}`)
	s.strip(service)
	s.strip(settings)
	// Another process, to which they are not known, and a later commit.
	s.stop()
	s.start(nil)
	service, settings = s.service("{name: http, port: 8080}"), configMap(s.ns, "settings", "a", "2", "b", "1")
	s.apply(service, settings)
	s.portsAre(service, "http 8080")
	got, _, _ := unstructured.NestedStringMap(s.live(settings).Object, "data")
	if diff := cmp.Diff(map[string]string{"a": "2", "b": "1", "theirs": "kept"}, got); diff != "" {
		s.Errorf("data: %s", diff)
	}
	s.quiet(service, settings)
	// From then on what Git drops goes.
	settings = configMap(s.ns, "settings", "a", "2")
	s.apply(service, settings)
	got, _, _ = unstructured.NestedStringMap(s.live(settings).Object, "data")
	if diff := cmp.Diff(map[string]string{"a": "2", "theirs": "kept"}, got); diff != "" {
		s.Errorf("data: %s", diff)
	}
}

// definitionGoes applies an object whose definition has gone since the plan was made.
func definitionGoes(s *stage) {
	crd := s.crd("Gizmo")
	gizmo := s.manifest("{apiVersion: $NS.example.com/v1, kind: Gizmo, metadata: {name: g, namespace: $NS}, spec: {size: 3}}")
	s.quietAfter(configMap(s.ns, "a"), crd)
	p := s.plan(configMap(s.ns, "a"), gizmo, crd)
	for i := range p.Operations {
		if p.Operations[i].Kind == "Gizmo" {
			p.Operations[i].Gate = v1alpha1.GateCRDEstablished.Of(crd.GetName())
		}
	}
	s.delete(crd)
	began := time.Now()
	_, err := s.member.Execute(s.ctx, p)
	if took := time.Since(began); took > 10*time.Second {
		s.Errorf("it took %v: %v", took, err)
	}
	s.every(200*time.Millisecond, "both come back", func() error {
		s.synced()
		p := s.plan(configMap(s.ns, "a"), gizmo, crd)
		for i := range p.Operations {
			if p.Operations[i].Kind == "Gizmo" {
				p.Operations[i].Gate = v1alpha1.GateCRDEstablished.Of(crd.GetName())
			}
		}
		r, err := s.member.Execute(s.ctx, p)
		if err != nil || !r.Complete() {
			return fmt.Errorf("%w\n%s", err, describe(r))
		}
		return nil
	})
	s.live(gizmo)
}

func marksGone(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.quietAfter(a)
	s.edit(a, `{"metadata":{"labels":null,"annotations":null}}`)
	s.eventually("that is seen", func() error {
		if h, ok := s.held(a); !ok || len(h.Detail().Drift) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	r := s.try(s.plan())
	if o := outcome(s, r, a); o.Outcome != apply.OutcomeSkipped || !strings.Contains(o.Message, "shows that it is ours") {
		s.Errorf("%s %s", o.Outcome, o.Message)
	}
	s.live(a)
	s.apply(a)
	if live := s.live(a); live.GetLabels()[v1alpha1.LabelPartOf] == "" || live.GetAnnotations()[v1alpha1.AnnotationDigest] == "" {
		s.Errorf("marks: %v %v", live.GetLabels(), live.GetAnnotations())
	}
	s.quiet(a)
	s.apply()
	s.absent(a)
}
