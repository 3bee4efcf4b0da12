package apply_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// scenario is something that users rely on. Each runs on a simulated cluster and, with the build tag
// e2e, on a real API server.
type scenario struct {
	name string
	// reason says what would go wrong otherwise.
	reason string
	run    func(*stage)
	tweak  func(*apply.Options)
	// alone wants a cluster without other hubs.
	alone bool
}

func scenarios() []scenario {
	return []scenario{
		{name: "create, repeat, configure, prune", reason: "the whole life of an object, with no write that is not needed", run: lifeOfAnObject},
		{name: "a restart writes nothing", reason: "an upgrade of the controller must not touch what runs", run: restartWritesNothing},
		{name: "a missing namespace is created and stays", reason: "Git need not declare it, and what we do not own we do not prune", run: undeclaredNamespace},
		{name: "a declared namespace goes first", reason: "its objects cannot be there before it", run: declaredNamespace},
		{name: "a namespace that goes away", reason: "it is waited for, not fought", run: terminatingNamespace},
		{name: "foreign objects are left alone", reason: "taking over somebody's object is a decision", run: foreignObject},
		{name: "foreign objects are adopted on request", reason: "fields that kubectl set and Git does not have must go", run: adoption},
		{name: "an object of ours that was not known", reason: "a lost cache or a stale list must not make a conflict of our own object", run: unknownButOurs, alone: true},
		{name: "a hand edit is seen and put back", reason: "drift is told by the watch, not by polling", run: handEdit},
		{name: "our label is restored", reason: "without it the object would never be pruned", run: labelRemoved},
		{name: "a deleted object comes back", reason: "deletion is drift, too", run: objectDeleted},
		{name: "an edit that ownership hides", reason: "a force apply by our own name, or a policy, changes values without taking ownership", run: hiddenEdit},
		{name: "copied labels are not ours", reason: "controllers copy labels; pruning such copies would break Services", run: copiedLabels},
		{name: "an object that waits for finalizers", reason: "a removal under way is not an object to configure, and its kind stays listed", run: finalizers},
		{name: "prune annotations", reason: "the live object has the last word on its removal", run: pruneAnnotations},
		{name: "a namespace with foreign objects stays", reason: "removing it would remove them", run: namespaceWithForeigners},
		{name: "a changed object is not pruned blindly", reason: "the plan did not see what is there now", run: stalePlans},
		{name: "parents of ApplySets", reason: "kubectl and other tools read them", run: applySetParents},
		{name: "a crash between parent and objects", reason: "the next run must find everything", run: crashAfterParent},
		{name: "a survivor stays listed", reason: "a kind that is not listed is never looked at again", run: survivorStaysListed},
		{name: "two hubs on one member", reason: "each must keep its hands off the other's", run: twoHubs},
		{name: "a parent of another hub", reason: "two hubs with one id must not fight", run: foreignParent},
		{name: "letting go of replicas", reason: "an HPA takes over at the live value, not at 1", run: handOver},
		{name: "a share that is sent with the create alone", reason: "where an HPA rules, the share is only where it starts", run: onCreateOnly},
		{name: "letting go for anyone", reason: "who is told that a field is theirs applies it without force, and must not meet us again", run: letGoForAnyone},
		{name: "letting go beside another owner", reason: "it holds the value already; a second owner would be in its way", run: letGoBesideAnOwner},
		{name: "letting go one field after another", reason: "an apply of the second alone would reset the first", run: letGoOneByOne},
		{name: "a stripped Service is renumbered", reason: "backups and proxies drop managedFields, and an apply alone would keep the old port for ever", run: strippedService},
		{name: "stripped while Git changed", reason: "a restored object is of an older commit; what is nobody's stays, but not beside what Git lists", run: strippedBehind},
		{name: "Secrets are compared by digest and never quoted", reason: "an error must not leak what it is about", run: secrets},
		{name: "duplicate keys", reason: "the API server says 500 for what is the manifest's fault", run: duplicateKeys},
		{name: "one bad object", reason: "it must not keep the others", run: oneBadObject},
		{name: "immutable fields", reason: "recreation is a decision, too", run: immutableFields},
		{name: "a custom resource waits for its CRD", reason: "both come in one commit", run: customResource},
		{name: "a definition that goes while its object is applied", reason: "nothing else on the cluster may wait for it", run: definitionGoes},
		{name: "marks that are all taken away", reason: "a kubectl replace is drift like any other, but what is not known to be ours is not removed", run: marksGone},
		{name: "depends-on and waves wait for health", reason: "a migration must be done before what needs it", run: dependencies,
			tweak: func(o *apply.Options) { o.WaitTimeout = time.Second }},
		{name: "an object that moves to another source", reason: "it is relabelled, never removed", run: movesBetweenSources},
		{name: "a ConfigMap stays while its user fails", reason: "the running pods refer to the old one", run: oldConfigStays},
	}
}

func lifeOfAnObject(s *stage) {
	a, b := configMap(s.ns, "a", "k", "1"), configMap(s.ns, "b", "k", "1")
	r := s.apply(a, b)
	if got := r.Count(apply.OutcomeApplied); got != 2 {
		s.Fatalf("%d of 2 were applied\n%s", got, describe(r))
	}
	live := s.live(a)
	want := map[string]string{
		v1alpha1.AnnotationDigest: digestOf(a), v1alpha1.AnnotationSource: "armada-system/shop",
	}
	if diff := cmp.Diff(want, live.GetAnnotations()); diff != "" {
		s.Fatalf("annotations: %s", diff)
	}
	if got := live.GetLabels()[v1alpha1.LabelPartOf]; got != apply.SetID(apply.ParentName("shop", s.hub)) {
		s.Fatalf("label %q", got)
	}
	before := s.changeCount()
	s.quiet(a, b)
	if n := s.changeCount() - before; n > 1 {
		s.Errorf("the echo of our own writes was reported as %d changes", n)
	}

	a = configMap(s.ns, "a", "k", "2")
	p := s.plan(a, b)
	if got := []v1alpha1.Action{p.Operations[0].Action, p.Operations[1].Action}; got[0] != "configure" || got[1] != "unchanged" {
		s.Fatalf("planned %v", got)
	}
	r = s.execute(p)
	if r.Writes != 1 || outcome(s, r, a).Outcome != apply.OutcomeApplied {
		s.Fatalf("%d writes\n%s", r.Writes, describe(r))
	}
	if got, _, _ := unstructured.NestedString(s.live(a).Object, "data", "k"); got != "2" {
		s.Fatalf("k is %q", got)
	}

	r = s.apply(a)
	if outcome(s, r, b).Outcome != apply.OutcomePruned {
		s.Fatal(describe(r))
	}
	s.absent(b)
	s.quiet(a)
}

func restartWritesNothing(s *stage) {
	objects := []*unstructured.Unstructured{
		configMap(s.ns, "a", "k", "1"), s.deployment("web", "example.com/web:1", 0),
		s.manifest("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: $NS}, stringData: {password: abc}}"),
		s.manifest("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: $NS}, spec: {selector: {app: web}, ports: [{port: 80}]}}"),
	}
	s.apply(objects...)
	s.quiet(objects...)
	s.restart(nil)
	p := s.plan(objects...)
	for _, op := range p.Operations {
		if op.Action != v1alpha1.ActionUnchanged {
			s.Errorf("%s of %s after a restart", op.Action, op.ObjectReference)
		}
	}
	if r := s.execute(p); r.Writes != 0 {
		s.Errorf("%d writes", r.Writes)
	}
}

func undeclaredNamespace(s *stage) {
	s.apply(configMap(s.ns, "a"))
	ns := s.live(object("v1", "Namespace", "", s.ns))
	if _, labelled := ns.GetLabels()[v1alpha1.LabelPartOf]; labelled {
		s.Error("the namespace was made ours")
	}
	s.apply()
	s.live(ns)
}

func declaredNamespace(s *stage) {
	ns := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: $NS, labels: {team: shop}}}")
	s.apply(configMap(s.ns, "a"), ns)
	if got := s.live(ns).GetLabels()["team"]; got != "shop" {
		s.Errorf("team is %q: the namespace was created as an undeclared one", got)
	}
}

func terminatingNamespace(s *stage) {
	a := configMap(s.ns, "a")
	s.apply(a)
	s.create(s.manifest("{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, namespace: $NS, finalizers: [example.com/wait]}}"), "someone")
	s.delete(object("v1", "Namespace", "", s.ns))
	s.eventually("the object goes with its namespace", func() error {
		if _, held := s.held(a); held {
			return errors.New("still held")
		}
		return nil
	})
	r := s.try(s.plan(a))
	if o := outcome(s, r, a); o.Class != apply.ClassWait {
		s.Errorf("%s %s: %s", o.Outcome, o.Class, o.Message)
	}
	s.edit(configMap(s.ns, "stays"), `{"metadata":{"finalizers":null}}`)
	s.eventually("the namespace and the object come back", func() error {
		if r := s.try(s.plan(a)); !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
	s.quiet(a)
}

func foreignObject(s *stage) {
	s.apply(configMap(s.ns, "first"))
	theirs := configMap(s.ns, "theirs", "k", "theirs")
	s.create(theirs, "someone")
	r := s.try(s.plan(configMap(s.ns, "first"), configMap(s.ns, "theirs", "k", "ours")))
	o := outcome(s, r, theirs)
	if o.Class != apply.ClassConflict || !strings.Contains(o.Message, `"someone"`) {
		s.Errorf("%s: %s", o.Class, o.Message)
	}
	if got, _, _ := unstructured.NestedString(s.live(theirs).Object, "data", "k"); got != "theirs" {
		s.Error("a foreign object was overwritten")
	}
	if s.live(theirs).GetLabels()[v1alpha1.LabelPartOf] != "" {
		s.Error("a foreign object was labelled")
	}
}

func adoption(s *stage) {
	s.apply(configMap(s.ns, "first"))
	theirs := configMap(s.ns, "theirs", "k", "theirs", "extra", "goes")
	theirs.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"})
	s.create(theirs, "kubectl-client-side-apply")
	p := s.plan(configMap(s.ns, "first"), configMap(s.ns, "theirs", "k", "ours"))
	for i := range p.Operations {
		p.Operations[i].Adopt = true
	}
	s.execute(p)
	live := s.live(theirs)
	data, _, _ := unstructured.NestedStringMap(live.Object, "data")
	if diff := cmp.Diff(map[string]string{"k": "ours"}, data); diff != "" {
		s.Errorf("data: %s", diff)
	}
	if live.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"] != "" {
		s.Error("kubectl's copy of the manifest stayed")
	}
	s.quiet(configMap(s.ns, "first"), configMap(s.ns, "theirs", "k", "ours"))
}

func unknownButOurs(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.quiet(a)
	s.edit(a, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
	s.restart(nil)
	if _, held := s.held(a); held {
		s.Fatal("an object without our label should not be found by the watch")
	}
	r := s.apply(a)
	if outcome(s, r, a).Outcome != apply.OutcomeApplied {
		s.Error(describe(r))
	}
	s.quiet(a)
}

func handEdit(s *stage) {
	web := s.deployment("web", "example.com/web:1", 0)
	s.apply(web)
	s.quiet(web)
	before := s.changeCount()
	s.edit(web, `{"spec":{"replicas":3}}`)
	s.eventually("the edit shows", func() error {
		h, _ := s.held(web)
		if owns(web, h.OwnedFields) || s.changeCount() == before {
			return errors.New("not yet")
		}
		return nil
	})
	s.apply(web)
	if n, _, _ := unstructured.NestedInt64(s.live(web).Object, "spec", "replicas"); n != 0 {
		s.Errorf("replicas is %d", n)
	}
	s.quiet(web)
}

func labelRemoved(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.quiet(a)
	s.edit(a, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
	s.eventually("the loss shows", func() error {
		h, held := s.held(a)
		if !held {
			s.Fatal("the object counts as gone since its label is")
		}
		if !strings.Contains(strings.Join(h.Detail().Drift, " "), "part-of") {
			return fmt.Errorf("drift is %v", h.Detail().Drift)
		}
		return nil
	})
	s.apply(a)
	if s.live(a).GetLabels()[v1alpha1.LabelPartOf] == "" {
		s.Error("the label did not come back")
	}
	s.quiet(a)
}

func objectDeleted(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.quiet(a)
	s.delete(a)
	s.eventually("the deletion shows", func() error {
		if _, held := s.held(a); held {
			return errors.New("still held")
		}
		return nil
	})
	s.quietAfter(a)
	s.live(a)
}

// quietAfter applies once and then wants quiet.
func (s *stage) quietAfter(manifests ...*unstructured.Unstructured) {
	s.Helper()
	s.apply(manifests...)
	s.quiet(manifests...)
}

func hiddenEdit(s *stage) {
	a, web := configMap(s.ns, "a", "k", "1"), s.deployment("web", "example.com/web:1", 0)
	s.apply(a, web)
	s.quiet(a, web)
	// A policy that mutates what somebody else applies leaves the ownership with us; an apply by our
	// name looks the same.
	forged := s.live(a)
	forged.SetManagedFields(nil)
	forged.SetResourceVersion("")
	forged.SetUID("")
	forged.Object["data"] = map[string]any{"k": "other"}
	unstructured.RemoveNestedField(forged.Object, "metadata", "creationTimestamp")
	if _, err := s.resource(a).Apply(s.ctx, "a", forged, metav1.ApplyOptions{FieldManager: apply.FieldManager, Force: true}); err != nil {
		s.Fatal(err)
	}
	s.eventually("the comparison shows it", func() error {
		h, _ := s.held(a)
		if diff := cmp.Diff([]string{"/data/k"}, h.Detail().Drift); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	s.quietAfter(a, web)
	if got, _, _ := unstructured.NestedString(s.live(a).Object, "data", "k"); got != "1" {
		s.Errorf("k is %q", got)
	}
}

func copiedLabels(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	copied := configMap(s.ns, "copied", "k", "1")
	live := s.live(a)
	copied.SetLabels(live.GetLabels())
	copied.SetAnnotations(live.GetAnnotations())
	s.create(copied, "endpointslice-controller")
	s.quiet(a)
	if _, held := s.held(copied); held {
		s.Fatal("a copy of our labels counts as ours")
	}
	s.apply()
	s.absent(a)
	s.live(copied)
}

func finalizers(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.edit(a, `{"metadata":{"finalizers":["example.com/wait"]}}`)
	s.eventually("the finalizer is seen", func() error {
		if h, _ := s.held(a); h.ResourceVersion != s.live(a).GetResourceVersion() {
			return errors.New("not yet")
		}
		return nil
	})
	s.try(s.plan())
	h, held := s.held(a)
	if !held || !h.Terminating {
		s.Fatalf("held %v, terminating %v", held, h.Terminating)
	}
	if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap" {
		s.Errorf("the set lists %q while an object is going", got)
	}
	r := s.try(s.plan())
	if o := outcome(s, r, a); o.Class != apply.ClassWait {
		s.Errorf("%s %s: %s", o.Outcome, o.Class, o.Message)
	}
	s.edit(a, `{"metadata":{"finalizers":null}}`)
	s.eventually("it is gone", func() error {
		if _, held := s.held(a); held {
			return errors.New("still held")
		}
		return nil
	})
	s.quiet()
}

func pruneAnnotations(s *stage) {
	keep := configMap(s.ns, "keep", "k", "1")
	ns := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: $NS}}")
	s.apply(ns, keep)
	s.edit(keep, `{"metadata":{"annotations":{"armada-sync.io/prune":"disabled"}}}`)
	s.eventually("the annotation is seen", func() error {
		if h, _ := s.held(keep); h.Detail().Prune != "disabled" {
			return errors.New("not yet")
		}
		return nil
	})
	r := s.try(s.plan())
	for _, m := range []*unstructured.Unstructured{keep, ns} {
		if o := outcome(s, r, m); o.Outcome != apply.OutcomeSkipped || o.Class != apply.ClassStalled {
			s.Errorf("%s: %s %s", ref(m), o.Outcome, o.Message)
		}
		s.live(m)
	}
}

func namespaceWithForeigners(s *stage) {
	ns := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: $NS, annotations: {armada-sync.io/prune: confirm}}}")
	s.apply(ns)
	s.create(configMap(s.ns, "theirs"), "someone")
	r := s.try(s.plan())
	o := outcome(s, r, ns)
	if o.Outcome != apply.OutcomeSkipped || !strings.Contains(o.Message, `"theirs"`) {
		s.Errorf("%s: %s", o.Outcome, o.Message)
	}
	s.live(ns)
	s.delete(configMap(s.ns, "theirs"))
	s.try(s.plan())
	s.eventually("the namespace goes", func() error {
		u, err := s.resource(ns).Get(s.ctx, s.ns, metav1.GetOptions{})
		if err == nil && u.GetDeletionTimestamp() == nil {
			return errors.New("it stays")
		}
		return nil
	})
}

func stalePlans(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	s.quiet(a)
	old := s.plan()
	s.execute(s.plan(configMap(s.ns, "a", "k", "2")))
	if _, err := s.member.Execute(s.ctx, old); !errors.Is(err, apply.ErrStalePlan) {
		s.Errorf("a plan against an older state: %v", err)
	}
	s.live(a)
	if _, err := s.member.Execute(s.ctx, plan.ClusterPlan{Cluster: "west", HubID: s.hub}); err == nil {
		s.Error("a plan for another cluster was carried out")
	}
}

func applySetParents(s *stage) {
	web := s.deployment("web", "example.com/web:1", 0)
	s.apply(configMap(s.ns, "a"), web, configMap("default", s.ns))
	p := s.parent("shop")
	want := map[string]string{
		"applyset.kubernetes.io/tooling":               "armada-sync/v1alpha1",
		"applyset.kubernetes.io/contains-group-kinds":  "ConfigMap,Deployment.apps",
		"applyset.kubernetes.io/additional-namespaces": strings.Join(sorted("default", s.ns), ","),
		"armada-sync.io/hub":                           s.hub,
		"armada-sync.io/source":                        "armada-system/shop",
	}
	if diff := cmp.Diff(want, p.GetAnnotations()); diff != "" {
		s.Errorf("annotations: %s", diff)
	}
	if got := p.GetLabels()["applyset.kubernetes.io/id"]; got != s.live(web).GetLabels()["applyset.kubernetes.io/part-of"] {
		s.Errorf("id %q", got)
	}
	s.apply(configMap(s.ns, "a"))
	if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap" {
		s.Errorf("after the prune the set lists %q", got)
	}
	s.quiet(configMap(s.ns, "a"))
	s.delete(p)
	s.eventually("a lost parent comes back", func() error {
		s.apply(configMap(s.ns, "a"))
		_, err := s.resource(p).Get(s.ctx, p.GetName(), metav1.GetOptions{})
		return err
	})
}

func sorted(a, b string) []string {
	if a > b {
		a, b = b, a
	}
	return []string{a, b}
}

func crashAfterParent(s *stage) {
	a, web := configMap(s.ns, "a", "k", "1"), s.deployment("web", "example.com/web:1", 0)
	s.apply(a)
	// What a crash leaves behind: a set that lists more kinds than it has objects of.
	p := s.parent("shop")
	s.edit(p, `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":"ConfigMap,Deployment.apps,Gone.example.com"}}}`)
	s.restart(nil)
	if _, held := s.held(a); !held {
		s.Fatal("the object is not held")
	}
	s.quietAfter(a, web)
	if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Deployment.apps" {
		s.Errorf("the set lists %q", got)
	}
}

func survivorStaysListed(s *stage) {
	a, web := configMap(s.ns, "a", "k", "1"), s.deployment("web", "example.com/web:1", 0)
	s.apply(a, web)
	s.edit(web, `{"metadata":{"annotations":{"armada-sync.io/prune":"disabled"}}}`)
	s.eventually("the annotation is seen", func() error {
		if h, _ := s.held(web); h.Detail().Prune != "disabled" {
			return errors.New("not yet")
		}
		return nil
	})
	s.try(s.plan(a))
	if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Deployment.apps" {
		s.Errorf("the set lists %q", got)
	}
	s.restart(nil)
	if _, held := s.held(web); !held {
		s.Error("the survivor was forgotten")
	}
}

func twoHubs(s *stage) {
	a := configMap(s.ns, "a", "k", "ours")
	s.apply(a)
	s.quiet(a)
	other := newStage(s.TB, s.cfg, s.ns+"-2", s.patience, nil)
	b := configMap(s.ns, "b", "k", "theirs")
	r := other.try(other.plan(configMap(s.ns, "a", "k", "theirs"), b))
	if o := outcome(s, r, a); o.Class != apply.ClassConflict {
		s.Errorf("the other hub got %s %s for an object of ours", o.Outcome, o.Class)
	}
	if _, held := other.held(a); held {
		s.Error("the other hub holds an object of ours")
	}
	// Not even a policy that overwrites takes it: the first hub would take it back, for ever.
	overwrite := other.plan(configMap(s.ns, "a", "k", "theirs"))
	for i := range overwrite.Operations {
		overwrite.Operations[i].Adopt = true
	}
	r = other.try(overwrite)
	if o := outcome(s, r, a); o.Class != apply.ClassConflict {
		s.Errorf("the other hub, told to overwrite, got %s %s for an object of ours", o.Outcome, o.Class)
	}
	if _, held := s.held(b); held {
		s.Error("we hold an object of the other hub")
	}
	other.execute(other.plan())
	s.live(a)
	other.absent(b)
	// Without its label nobody can tell whose it is, so neither takes it.
	s.edit(a, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
	other.apply(b)
	r = other.try(other.plan(b, configMap(s.ns, "a", "k", "theirs")))
	if o := outcome(s, r, a); o.Class != apply.ClassConflict {
		s.Errorf("the other hub got %s %s for an object that lost its label", o.Outcome, o.Class)
	}
}

func foreignParent(s *stage) {
	s.apply(configMap(s.ns, "first"))
	theirs := object("v1", "Secret", apply.SystemNamespace, apply.ParentName("other", s.hub))
	theirs.SetLabels(map[string]string{"applyset.kubernetes.io/id": apply.SetID(theirs.GetName())})
	theirs.SetAnnotations(map[string]string{"armada-sync.io/hub": "another", "applyset.kubernetes.io/tooling": apply.Tooling})
	s.create(theirs, "someone")
	p := s.planFor("other", configMap(s.ns, "a"))
	_, err := s.member.Execute(s.ctx, p)
	if !errors.Is(err, apply.ErrForeignApplySet) || !strings.Contains(err.Error(), `"another"`) {
		s.Errorf("the error is %v", err)
	}
	s.absent(configMap(s.ns, "a"))
}

func handOver(s *stage) {
	web := s.deployment("web", "example.com/web:1", 0)
	s.apply(web)
	s.edit(web, `{"spec":{"replicas":5}}`)
	let := s.deployment("web", "example.com/web:2", 0)
	unstructured.RemoveNestedField(let.Object, "spec", "replicas")
	s.eventually("the edit is seen", func() error {
		if h, _ := s.held(web); owns(web, h.OwnedFields) {
			return errors.New("not yet")
		}
		return nil
	})
	// Take it back first, so that we own replicas and letting go is what matters.
	s.apply(s.deployment("web", "example.com/web:1", 4))
	p := s.plan(let)
	p.Operations[0].HandOver = []string{"/spec/replicas"}
	s.execute(p)
	live := s.live(web)
	if n, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas"); n != 4 {
		s.Errorf("replicas is %d after we let go at 4", n)
	}
	s.quiet(let)
	s.edit(web, `{"spec":{"replicas":7}}`)
	s.quiet(let)
	if n, _, _ := unstructured.NestedInt64(s.live(web).Object, "spec", "replicas"); n != 7 {
		s.Errorf("replicas is %d after the HPA said 7", n)
	}
}

func onCreateOnly(s *stage) {
	web := s.deployment("web", "example.com/web:1", 4)
	s.synced()
	p := s.plan(web)
	p.Operations[0].OnCreateOnly = []string{"/spec/replicas"}
	four := int64(4)
	p.Operations[0].Replicas = &four
	s.execute(p)
	live := s.live(web)
	if n, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas"); n != 4 {
		s.Errorf("replicas is %d", n)
	}
	if live.GetAnnotations()[v1alpha1.AnnotationReplicas] != "4" {
		s.Error("the share is not recorded")
	}
	h, _ := s.held(web)
	if h.Replicas == nil || *h.Replicas != 4 {
		s.Error("the recorded share is not read")
	}
	if strings.Contains(h.OwnedFields, "f:replicas\"") {
		s.Error("we own replicas")
	}
}

func secrets(s *stage) {
	const canary, sent = "canary-7f3a9", "canary-in-stringdata"
	key := s.manifest(`{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: $NS}, stringData: {password: ` + sent + `}}`)
	s.apply(key)
	s.quiet(key)
	h, _ := s.held(key)
	if h.Digest != apply.SecretDigest([]byte(secretKey), key) {
		s.Errorf("digest %q", h.Digest)
	}
	if got, _, _ := unstructured.NestedFieldNoCopy(s.live(key).Object, "data", "password"); got == nil {
		s.Error("no data")
	}
	// An edit of data is seen though Git says stringData.
	s.edit(key, `{"data":{"password":"b3RoZXI="}}`)
	s.eventually("the edit of the Secret is seen", func() error {
		if h, _ := s.held(key); owns(key, h.OwnedFields) {
			return errors.New("not yet")
		}
		return nil
	})
	s.quietAfter(key)
	// Whatever the API server quotes of a Secret or of its neighbours' values stays away.
	bad := s.manifest(`{apiVersion: v1, kind: Secret, metadata: {name: bad, namespace: $NS}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "` + canary + `", "bad key ` + canary + `": x}}`)
	quoting := s.manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: quoting, namespace: $NS, labels: {team: "not a label: ` + canary + `"}}}`)
	r := s.try(s.plan(key, bad, quoting))
	if got := describe(r); strings.Contains(got, canary) || strings.Contains(got, "Y2FuYXJ5") {
		s.Errorf("leaked: %s", got)
	}
	for _, m := range []*unstructured.Unstructured{bad, quoting} {
		if o := outcome(s, r, m); o.Class != apply.ClassStalled || o.Message == "" {
			s.Errorf("%s: %s %q", ref(m), o.Class, o.Message)
		}
	}
}

func duplicateKeys(s *stage) {
	web := s.deployment("web", "example.com/web:1", 0)
	containers, _, _ := unstructured.NestedSlice(web.Object, "spec", "template", "spec", "containers")
	containers[0].(map[string]any)["env"] = []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "A", "value": "2"}}
	if err := unstructured.SetNestedSlice(web.Object, containers, "spec", "template", "spec", "containers"); err != nil {
		s.Fatal(err)
	}
	r := s.try(s.plan(configMap(s.ns, "a"), web))
	o := outcome(s, r, web)
	if o.Class != apply.ClassStalled || !strings.Contains(o.Message, "duplicate entries for key") {
		s.Errorf("%s: %s", o.Class, o.Message)
	}
	s.live(configMap(s.ns, "a"))
	if !s.member.Inventory().Reachable {
		s.Error("an answer with 500 counts as a cluster that is away")
	}
}

func oneBadObject(s *stage) {
	bad := s.manifest("{apiVersion: apps/v1, kind: Deployment, metadata: {name: bad, namespace: $NS}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}}")
	unknown := s.manifest("{apiVersion: example.com/v1, kind: Nobody, metadata: {name: n, namespace: $NS}}")
	undecodable := s.manifest("{apiVersion: v1, kind: ConfigMap, metadata: {name: undecodable, namespace: $NS}, binaryData: {a: 'not base64!'}}")
	r := s.try(s.plan(configMap(s.ns, "a"), bad, unknown, undecodable))
	for m, want := range map[*unstructured.Unstructured]apply.Class{bad: apply.ClassStalled, unknown: apply.ClassWait, undecodable: apply.ClassStalled} {
		if o := outcome(s, r, m); o.Class != want || o.Message == "" {
			s.Errorf("%s: %s %q, want %s", ref(m), o.Class, o.Message, want)
		}
	}
	s.live(configMap(s.ns, "a"))
}

func immutableFields(s *stage) {
	web := s.deployment("web", "example.com/web:1", 0)
	s.apply(web)
	uid := s.live(web).GetUID()
	changed := s.deployment("web", "example.com/web:1", 0)
	set := func(value string, path ...string) {
		if err := unstructured.SetNestedField(changed.Object, value, path...); err != nil {
			s.Fatal(err)
		}
	}
	set("new", "spec", "selector", "matchLabels", "app")
	set("new", "spec", "template", "metadata", "labels", "app")
	r := s.try(s.plan(changed))
	o := outcome(s, r, web)
	if o.Class != apply.ClassStalled || !strings.Contains(o.Message, "spec.selector cannot be changed") || !strings.Contains(o.Message, v1alpha1.AnnotationRecreate) {
		s.Errorf("%s: %s", o.Class, o.Message)
	}
	if s.live(web).GetUID() != uid {
		s.Fatal("it was recreated without leave")
	}
	changed.SetAnnotations(map[string]string{v1alpha1.AnnotationRecreate: "allowed"})
	typo := changed.DeepCopy()
	if err := unstructured.SetNestedField(typo.Object, int64(-1), "spec", "replicas"); err != nil {
		s.Fatal(err)
	}
	if o := outcome(s, s.try(s.plan(typo)), web); o.Class != apply.ClassStalled {
		s.Errorf("a typo: %s %s", o.Outcome, o.Message)
	}
	if s.live(web).GetUID() != uid {
		s.Fatal("a typo beside the immutable field deleted it")
	}
	s.apply(changed)
	if s.live(web).GetUID() == uid {
		s.Error("it was not recreated")
	}
	s.quiet(changed)
}

func (s *stage) crd(kind string) *unstructured.Unstructured {
	plural := strings.ToLower(kind) + "s"
	return s.manifest(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]s.$NS.example.com, annotations: {armada-sync.io/prune: confirm}}
spec:
  group: $NS.example.com
  scope: Namespaced
  names: {kind: %[1]s, plural: %[2]s, singular: %[3]s, listKind: %[1]sList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`, kind, plural, strings.ToLower(kind)))
}

func customResource(s *stage) {
	crd := s.crd("Widget")
	widget := s.manifest("{apiVersion: $NS.example.com/v1, kind: Widget, metadata: {name: w, namespace: $NS}, spec: {size: 3}}")
	p := s.plan(widget, crd)
	p.Operations[0].Gate = v1alpha1.GateCRDEstablished.Of(crd.GetName())
	s.execute(p)
	s.live(widget)
	s.quiet(widget, crd)
	s.edit(widget, `{"spec":{"size":4}}`)
	s.eventually("drift of a custom resource shows", func() error {
		if h, _ := s.held(widget); owns(widget, h.OwnedFields) {
			return errors.New("not yet")
		}
		return nil
	})
	s.quietAfter(widget, crd)
	// With the definition the objects go, and the inventory says so.
	s.try(s.plan())
	s.eventually("all is gone", func() error {
		s.try(s.plan())
		if n := s.member.Inventory().Objects.Len(); n > 0 {
			return fmt.Errorf("%d objects", n)
		}
		return nil
	})
}

func dependencies(s *stage) {
	config, web := configMap(s.ns, "config"), s.deployment("web", "example.com/web:1", 0)
	later := configMap(s.ns, "later")
	never := configMap(s.ns, "never")
	p := s.plan(config, never, web, later)
	for i := range p.Operations {
		op := &p.Operations[i]
		switch op.Name {
		case "web":
			op.Wave = 1
		case "never":
			op.DependsOn = []v1alpha1.ObjectReference{ref(configMap(s.ns, "nobody"))}
		case "later":
			op.Wave = 2
		}
	}
	// Wave 1 waits for ConfigMap never, which waits for something that does not come.
	r := s.try(p)
	for m, want := range map[*unstructured.Unstructured]apply.Outcome{config: apply.OutcomeApplied, never: apply.OutcomeSkipped, web: apply.OutcomeSkipped, later: apply.OutcomeSkipped} {
		if o := outcome(s, r, m); o.Outcome != want || (want == apply.OutcomeSkipped && o.Class != apply.ClassWait) {
			s.Errorf("%s: %s %s %q", ref(m), o.Outcome, o.Class, o.Message)
		}
	}
	s.absent(web)
}

func movesBetweenSources(s *stage) {
	a := configMap(s.ns, "a", "k", "1")
	s.apply(a)
	uid := s.live(a).GetUID()
	h, _ := s.held(a)
	p := s.planFor("bakery", a)
	p.Operations = p.Operations[:1]
	p.Operations[0].Action, p.Operations[0].Manifest = v1alpha1.ActionConfigure, a
	p.Operations[0].ExpectedUID, p.Operations[0].ExpectedDigest = h.UID, h.Digest
	p.Sets = append(p.Sets, plan.ApplySet{Source: "shop"})
	s.execute(p)
	live := s.live(a)
	if live.GetUID() != uid || live.GetLabels()[v1alpha1.LabelPartOf] != apply.SetID(apply.ParentName("bakery", s.hub)) {
		s.Errorf("labels %v", live.GetLabels())
	}
	if h, _ := s.held(a); h.Source != "bakery" {
		s.Errorf("source %q", h.Source)
	}
	s.absent(object("v1", "Secret", apply.SystemNamespace, apply.ParentName("shop", s.hub)))
}

func oldConfigStays(s *stage) {
	old, web := configMap(s.ns, "config-1"), s.deployment("web", "example.com/web:1", 0)
	s.apply(old, web)
	bad := web.DeepCopy()
	if err := unstructured.SetNestedField(bad.Object, int64(-1), "spec", "replicas"); err != nil {
		s.Fatal(err)
	}
	r := s.try(s.plan(configMap(s.ns, "config-2"), bad))
	if o := outcome(s, r, old); o.Outcome != apply.OutcomeSkipped || o.Class != apply.ClassWait {
		s.Errorf("%s %s", o.Outcome, o.Message)
	}
	s.live(old)
	s.apply(configMap(s.ns, "config-2"), web)
	s.absent(old)
}

func TestDifferences(t *testing.T) {
	owned := `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{}}},"f:set":{"v:\"x\"":{}},"f:atomic":{},"f:resources":{"f:requests":{"f:cpu":{}}},"f:flag":{}}}`
	for _, c := range []struct {
		name, desired, live string
		want                []string
		reason              string
	}{
		{"equal", `{"spec":{"atomic":[1,2]}}`, `{"spec":{"atomic":[1,2]}}`, nil, "nothing differs"},
		{"defaults beside", `{"spec":{"atomic":[{"a":1}]}}`, `{"spec":{"atomic":[{"a":1,"b":2}],"other":1}}`, nil, "what we do not set is not ours"},
		{"item by key with default", `{"spec":{"ports":[{"containerPort":80,"name":"web"}]}}`, `{"spec":{"ports":[{"containerPort":9,"protocol":"TCP"},{"containerPort":80,"protocol":"TCP","name":"other"}]}}`, []string{"/spec/ports/0/name"}, "the key holds a default that the manifest lacks"},
		{"missing item", `{"spec":{"ports":[{"containerPort":80,"name":"web"}]}}`, `{"spec":{"ports":[]}}`, []string{"/spec/ports/0"}, "the item is gone"},
		{"set", `{"spec":{"set":["x"]}}`, `{"spec":{"set":["y"]}}`, []string{"/spec/set/0"}, "a member of a set is gone"},
		{"quantity", `{"spec":{"resources":{"requests":{"cpu":"1000m"}}}}`, `{"spec":{"resources":{"requests":{"cpu":"1"}}}}`, nil, "the API server rewrites quantities"},
		{"quantity of a behavior", `{"spec":{"atomic":[{"tolerance":"0.10","overhead":{"cpu":"1000m"}}]}}`, `{"spec":{"atomic":[{"tolerance":"100m","overhead":{"cpu":"1"}}]}}`, nil, "quantities are in more places than resources"},
		{"a port to be chosen", `{"spec":{"atomic":[{"port":80,"nodePort":0}]}}`, `{"spec":{"atomic":[{"port":80,"nodePort":31234}]}}`, nil, "0 asks the API server for any"},
		{"a port that was chosen", `{"spec":{"atomic":[{"port":80,"nodePort":30001}]}}`, `{"spec":{"atomic":[{"port":80,"nodePort":31234}]}}`, []string{"/spec/atomic/0/nodePort"}, "somebody chose another"},
		{"quantity differs", `{"spec":{"resources":{"requests":{"cpu":"1000m"}}}}`, `{"spec":{"resources":{"requests":{"cpu":"2"}}}}`, []string{"/spec/resources/requests/cpu"}, "another quantity"},
		{"not owned", `{"spec":{"theirs":1}}`, `{"spec":{"theirs":2}}`, nil, "ownership shows that already"},
		{"null and empty", `{"spec":{"atomic":null,"resources":{},"flag":false}}`, `{"spec":{}}`, nil, "they are don't-care"},
		{"label", `{"metadata":{"labels":{"a":"1"}}}`, `{"metadata":{"labels":{"a":"2"}}}`, []string{"/metadata/labels/a"}, "labels count"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var desired, live map[string]any
			if err := errors.Join(json.Unmarshal([]byte(c.desired), &desired), json.Unmarshal([]byte(c.live), &live)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, apply.Differences(desired, live, []byte(owned))); diff != "" {
				t.Errorf("%s: %s", c.reason, diff)
			}
		})
	}
}
