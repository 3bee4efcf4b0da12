package apply_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// secretKey is the hub's in all tests.
const secretKey = "the key of the hub"

// stage is one cluster, simulated or real, with a member and a planner that is as simple as it can be.
type stage struct {
	testing.TB
	ctx    context.Context
	cfg    *rest.Config
	client dynamic.Interface
	// ns is a namespace name of the scenario's own, hub an id.
	ns, hub string
	member  *apply.Member
	// patience bounds every wait.
	patience time.Duration

	mu      sync.Mutex
	desired map[v1alpha1.ObjectKey]*unstructured.Unstructured
	changes int
	writes  []apply.Request
	stop    func()
}

// newStage starts a member with the options, on top of those that every scenario needs.
func newStage(t testing.TB, cfg *rest.Config, id string, patience time.Duration, tweak func(*apply.Options)) *stage {
	t.Helper()
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{TB: t, ctx: t.Context(), cfg: cfg, client: client, ns: id, hub: "hub-" + id, patience: patience}
	s.start(tweak)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *stage) start(tweak func(*apply.Options)) {
	s.Helper()
	opts := apply.Options{
		Name: "east", RESTConfig: s.cfg, HubID: s.hub, SecretKey: []byte(secretKey),
		OnChange:  func(string) { s.mu.Lock(); s.changes++; s.mu.Unlock() },
		OnRequest: func(r apply.Request) { s.mu.Lock(); s.writes = append(s.writes, r); s.mu.Unlock() },
	}
	if tweak != nil {
		tweak(&opts)
	}
	m, err := apply.New(opts)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	m.Start(ctx)
	s.member = m
	s.stop = func() { cancel(); m.Wait() }
}

// restart stands for a new process of the controller.
func (s *stage) restart(tweak func(*apply.Options)) {
	s.Helper()
	s.stop()
	s.start(tweak)
	s.synced()
}

func (s *stage) synced() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, s.patience)
	defer cancel()
	if err := s.member.WaitSynced(ctx); err != nil {
		s.Fatal(err)
	}
}

// eventually looks again and again until check is content.
func (s *stage) eventually(what string, check func() error) {
	s.Helper()
	s.every(5*time.Millisecond, what, check)
}

func (s *stage) every(interval time.Duration, what string, check func() error) {
	s.Helper()
	deadline := time.NewTimer(s.patience)
	defer deadline.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			s.Fatalf("%s: %v", what, err)
		}
	}
}

// plan is what the real planner does, without any of its care: whatever differs is configured, whatever
// is held and not wanted is pruned.
func (s *stage) plan(manifests ...*unstructured.Unstructured) plan.ClusterPlan {
	s.Helper()
	return s.planFor("shop", manifests...)
}

func (s *stage) planFor(source string, manifests ...*unstructured.Unstructured) plan.ClusterPlan {
	s.Helper()
	held := s.member.Inventory().Objects
	p := plan.ClusterPlan{Cluster: "east", HubID: s.hub}
	set := plan.ApplySet{Source: source}
	desired := map[v1alpha1.ObjectKey]*unstructured.Unstructured{}
	for _, m := range manifests {
		op := plan.Operation{ObjectReference: ref(m), Action: v1alpha1.ActionCreate, Source: source, Manifest: m, Digest: digestOf(m)}
		desired[op.Key()] = m
		if h := held.Get(op.Key()); h != nil {
			op.ExpectedUID, op.ExpectedDigest = h.UID, h.Digest
			op.Action = v1alpha1.ActionConfigure
			if h.Digest == op.Digest && len(h.Detail().Drift) == 0 && owns(m, h.OwnedFields) {
				op.Action, op.Manifest = v1alpha1.ActionUnchanged, nil
			}
		}
		if m.GetKind() == "Secret" {
			op.Digest = ""
		}
		set.GroupKinds = append(set.GroupKinds, op.GroupKind())
		if op.Namespace != "" {
			set.Namespaces = append(set.Namespaces, op.Namespace)
		}
		p.Operations = append(p.Operations, op)
	}
	for h := range held.All() {
		if desired[h.Key()] == nil && h.Source == source {
			p.Operations = append(p.Operations, plan.Operation{
				ObjectReference: h.ObjectReference, Action: v1alpha1.ActionPrune, Source: source,
				ExpectedUID: h.UID, ExpectedDigest: h.Digest,
			})
		}
	}
	slices.Sort(set.GroupKinds)
	slices.Sort(set.Namespaces)
	set.GroupKinds, set.Namespaces = slices.Compact(set.GroupKinds), slices.Compact(set.Namespaces)
	p.Sets = []plan.ApplySet{set}
	s.mu.Lock()
	s.desired = desired
	s.mu.Unlock()
	s.member.SetDesired(func(k v1alpha1.ObjectKey) (*unstructured.Unstructured, bool) { m, ok := desired[k]; return m, ok }, set.GroupKinds)
	return p
}

// execute carries a plan out and wants nothing to fail.
func (s *stage) execute(p plan.ClusterPlan) apply.Result {
	s.Helper()
	r := s.try(p)
	if !r.Complete() {
		s.Fatalf("not everything was done:\n%s", describe(r))
	}
	return r
}

// try carries a plan out; operations may fail.
func (s *stage) try(p plan.ClusterPlan) apply.Result {
	s.Helper()
	s.synced()
	r, err := s.member.Execute(s.ctx, p)
	if err != nil {
		s.Fatal(err)
	}
	if len(r.Objects) != len(p.Operations) {
		s.Fatalf("%d results for %d operations", len(r.Objects), len(p.Operations))
	}
	return r
}

func (s *stage) apply(manifests ...*unstructured.Unstructured) apply.Result {
	s.Helper()
	s.synced()
	return s.execute(s.plan(manifests...))
}

// quiet plans and executes until nothing is to do, and fails when that does not come.
func (s *stage) quiet(manifests ...*unstructured.Unstructured) {
	s.Helper()
	s.eventually("nothing is to do any more", func() error {
		s.synced()
		p := s.plan(manifests...)
		r, err := s.member.Execute(s.ctx, p)
		if err != nil {
			return err
		}
		if r.Writes > 0 || !r.Complete() {
			return fmt.Errorf("%d writes\n%s", r.Writes, describe(r))
		}
		return nil
	})
}

func (s *stage) held(m *unstructured.Unstructured) (plan.Held, bool) {
	if h := s.member.Inventory().Objects.Get(ref(m).Key()); h != nil {
		return *h, true
	}
	return plan.Held{}, false
}

// resource addresses a kind for the test's own client.
func (s *stage) resource(m *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := m.GroupVersionKind()
	plural := strings.ToLower(gvk.Kind) + "s"
	if strings.HasSuffix(plural, "ys") {
		plural = strings.TrimSuffix(plural, "ys") + "ies"
	}
	r := s.client.Resource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: plural})
	if m.GetNamespace() != "" {
		return r.Namespace(m.GetNamespace())
	}
	return r
}

// live reads an object past our own code.
func (s *stage) live(m *unstructured.Unstructured) *unstructured.Unstructured {
	s.Helper()
	u, err := s.resource(m).Get(s.ctx, m.GetName(), metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return u
}

func (s *stage) absent(m *unstructured.Unstructured) {
	s.Helper()
	if _, err := s.resource(m).Get(s.ctx, m.GetName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		s.Fatalf("%s should not be there: %v", ref(m), err)
	}
}

// create puts an object there as someone else.
func (s *stage) create(m *unstructured.Unstructured, manager string) {
	s.Helper()
	if _, err := s.resource(m).Create(s.ctx, m, metav1.CreateOptions{FieldManager: manager}); err != nil {
		s.Fatal(err)
	}
}

// edit patches an object as someone else.
func (s *stage) edit(m *unstructured.Unstructured, mergePatch string) {
	s.Helper()
	_, err := s.resource(m).Patch(s.ctx, m.GetName(), types.MergePatchType, []byte(mergePatch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) delete(m *unstructured.Unstructured) {
	s.Helper()
	if err := s.resource(m).Delete(s.ctx, m.GetName(), metav1.DeleteOptions{}); err != nil {
		s.Fatal(err)
	}
}

// parent reads the Secret at the head of a source's set.
func (s *stage) parent(source string) *unstructured.Unstructured {
	s.Helper()
	return s.live(object("v1", "Secret", apply.SystemNamespace, apply.ParentName(source, s.hub)))
}

func (s *stage) changeCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// outcome returns the result for an object.
func outcome(t testing.TB, r apply.Result, m *unstructured.Unstructured) apply.ObjectResult {
	t.Helper()
	for _, o := range r.Objects {
		if o.Key() == ref(m).Key() {
			return o
		}
	}
	t.Fatalf("no result for %s", ref(m))
	return apply.ObjectResult{}
}

func describe(r apply.Result) string {
	var b strings.Builder
	for _, o := range r.Objects {
		fmt.Fprintf(&b, "%s %s: %s %s %s\n", o.Action, o.ObjectReference, o.Outcome, o.Class, o.Message)
	}
	return b.String()
}

func ref(m *unstructured.Unstructured) v1alpha1.ObjectReference {
	return v1alpha1.ObjectReference{APIVersion: m.GetAPIVersion(), Kind: m.GetKind(), Namespace: m.GetNamespace(), Name: m.GetName()}
}

func digestOf(m *unstructured.Unstructured) string {
	if m.GetKind() == "Secret" {
		return apply.SecretDigest([]byte(secretKey), m)
	}
	content, err := json.Marshal(m.Object)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(content)
	return "v1:" + hex.EncodeToString(sum[:])
}

// owns tells whether a fieldsV1 document has every field of a manifest outside of lists.
func owns(m *unstructured.Unstructured, fields string) bool {
	var tree map[string]any
	if json.Unmarshal([]byte(fields), &tree) != nil {
		return false
	}
	var covered func(v map[string]any, node map[string]any) bool
	covered = func(v, node map[string]any) bool {
		for k, x := range v {
			child, ok := node["f:"+k].(map[string]any)
			if !ok {
				return false
			}
			if sub, isMap := x.(map[string]any); isMap && len(child) > 0 && !covered(sub, child) {
				return false
			}
		}
		return true
	}
	body := m.DeepCopy().Object
	if data, ok := body["stringData"]; ok {
		delete(body, "stringData")
		body["data"] = data
	}
	delete(body, "apiVersion")
	delete(body, "kind")
	metadata, _ := body["metadata"].(map[string]any)
	delete(metadata, "name")
	delete(metadata, "namespace")
	return covered(body, tree)
}

func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	if namespace != "" {
		u.SetNamespace(namespace)
	}
	return u
}

func configMap(namespace, name string, data ...string) *unstructured.Unstructured {
	u := object("v1", "ConfigMap", namespace, name)
	values := map[string]any{}
	for i := 0; i+1 < len(data); i += 2 {
		values[data[i]] = data[i+1]
	}
	u.Object["data"] = values
	return u
}

// manifest reads one YAML document; $NS stands for the scenario's namespace.
func (s *stage) manifest(text string) *unstructured.Unstructured {
	s.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(bytes.ReplaceAll([]byte(text), []byte("$NS"), []byte(s.ns)), &u.Object); err != nil {
		s.Fatal(err)
	}
	return u
}

func (s *stage) deployment(name, image string, replicas int) *unstructured.Unstructured {
	s.Helper()
	return s.manifest(fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: $NS, labels: {app: %[1]s}}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: main
        image: %[2]s
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 1000m, memory: 64Mi}}
`, name, image, replicas))
}
