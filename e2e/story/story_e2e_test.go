//go:build e2e

package story_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

const (
	// soon bounds what takes the controller some seconds on a machine with other things to do.
	soon = 30 * time.Second
	// driftLimit bounds the time in which a hand edit is put back. A second is the aim; the rest is for
	// the machine.
	driftLimit = 5 * time.Second
	// secretCanary is in a Secret of the repository.
	secretCanary = "canary-in-a-secret"
	// copiedObject is someone else's, with our label and annotations copied onto it.
	copiedObject = "ConfigMap shop/copied"
)

// story is what the steps share.
type story struct {
	// log outlives the steps.
	log         *testing.T
	binary, dir string
	members     []*member
	eu, us, ap  *member
	shop, plain *repository
	run         *child.Controller
	// before are the controllers that have ended.
	before []*child.Controller
	// want are the names of the objects that are to be on each member.
	want map[string]map[string]bool
}

func TestStory(t *testing.T) {
	s := newStory(t)
	steps := []struct {
		name string
		play func(*story, *testing.T)
	}{
		{"a push places, divides, overrides and applies", (*story).firstPush},
		{"a changed override writes exactly what it changes", (*story).changeOverride},
		{"a removed file is pruned, a broken one holds everything of its source", (*story).prune},
		{"hand edits are put back, fields that are not ours are left alone", (*story).drift},
		{"an object of someone else is reported, or adopted on request", (*story).conflict},
		{"bad input costs one clear line each, and nothing else", (*story).badInput},
		{"a member dies, its share moves; it comes back", (*story).failover},
		{"a member hangs, the others go on", (*story).hang},
		{"SIGKILL in the middle of an apply loses nothing", (*story).kill},
		{"SIGTERM finishes what is in flight", (*story).terminate},
		{"metrics, healthz and readyz answer", (*story).observe},
		{"https and ssh, with credentials that nobody sees", (*story).remotes},
	}
	for i, step := range steps {
		t.Run(fmt.Sprintf("%02d %s", i+1, step.name), func(t *testing.T) {
			began := time.Now()
			t.Logf("step %d/%d: %s", i+1, len(steps), step.name)
			step.play(s, t)
			t.Logf("step %d/%d: seen, after %s", i+1, len(steps), time.Since(began).Round(100*time.Millisecond))
		})
	}
}

// newStory starts the members, makes the repositories and writes the configuration.
func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{log: t, dir: t.TempDir(), want: map[string]map[string]bool{}}
	s.binary = fleet.CommandT(t, "../..", "./cmd/armada-sync")
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"eu-1", "us-1", "ap-1"}, WithControllers: true, WithNodes: 2,
		Users:    []fleet.User{{Name: user, Groups: []string{"system:masters"}}},
		Progress: t.Output(),
	})
	for _, c := range f.Clusters {
		s.members = append(s.members, newMember(t, c))
		s.want[c.Name] = map[string]bool{}
	}
	s.eu, s.us, s.ap = s.members[0], s.members[1], s.members[2]
	s.shop, s.plain = &repository{gitrepo.New(t, s.dir, "shop")}, &repository{gitrepo.New(t, s.dir, "plain")}
	s.fillRepositories(t)
	s.configure(t)
	return s
}

// boutique is the folder with the Online Boutique, or with the sample that has its shape.
func boutique(t *testing.T) string {
	t.Helper()
	full := filepath.Join("..", "..", "..", "shared", "data", "online-boutique")
	if _, err := os.Stat(full); err == nil && os.Getenv("STORY_SAMPLE") == "" {
		t.Log("the manifests are those of the Online Boutique")
		return full
	}
	t.Log("the manifests are the sample in testdata/boutique")
	return filepath.Join("testdata", "boutique")
}

// fillRepositories makes the first commit of both repositories: the Online Boutique as a kustomization
// with our policies in one, as plain manifests in the other.
func (s *story) fillRepositories(t *testing.T) {
	t.Helper()
	from := boutique(t)
	kustomize, plain := filepath.Join(from, "kustomize"), filepath.Join(from, "kubernetes-manifests")
	s.shop.copyFolder(t, kustomize, "shop/boutique")
	s.shop.copyFolder(t, filepath.Join("testdata", "repository", "shop"), "shop")
	s.plain.copyFolder(t, plain, "manifests")
	// Without it the folder is plain manifests; with it, it would be built as one unit.
	s.plain.remove(t, "manifests/kustomization.yaml")
	s.plain.copyFolder(t, filepath.Join("testdata", "repository", "plain"), "")

	shop := manifestsIn(t, "shop", filepath.Join(kustomize, "base", "*.yaml"))
	shop = append(shop, manifestsIn(t, "shop", filepath.Join(kustomize, "components", "network-policies", "*.yaml"))...)
	shop = append(shop, manifestsIn(t, "shop", filepath.Join("testdata", "repository", "shop", "platform", "*.yaml"))...)
	cart := []string{"Deployment shop/cartservice", "Deployment shop/redis-cart", "Service shop/cartservice", "Service shop/redis-cart"}
	for _, m := range s.members {
		for _, name := range shop {
			// The cart goes where the label says gold.
			if m != s.ap || !slices.Contains(cart, name) {
				s.want[m.Name][name] = true
			}
		}
	}
	for _, name := range manifestsIn(t, "plain", filepath.Join(plain, "*.yaml")) {
		s.want[s.us.Name][name] = true
	}
}

const configuration = `apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: story}
spec:
  health: {failureThreshold: 2s, recoveryThreshold: 2s, probeInterval: 500ms, probeTimeout: 2s}
  failover: {implicitTolerationSeconds: 2, drainSeconds: 1, evictionsPerSecond: "50"}
  apply: {concurrency: 8}
  metrics: {bindAddress: "127.0.0.1:0"}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop}
spec: {url: %q, path: ./shop, interval: 500ms}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: plain}
spec: {url: %q, interval: 500ms, targetNamespace: plain}
`

// configure writes the configuration, with more documents behind it.
func (s *story) configure(t *testing.T, more ...string) {
	t.Helper()
	docs := append([]string{fmt.Sprintf(configuration, s.shop.url(), s.plain.url()), s.clusters()}, more...)
	s.writeFile(t, "fleet.yaml", strings.Join(docs, "---\n"))
}

// clusters are the documents of the members.
func (s *story) clusters() string {
	places := map[string]string{
		"eu-1": "labels: {tier: gold}}\nspec: {provider: aws, region: eu-west-1, zones: [a, b]",
		"us-1": "labels: {tier: gold}}\nspec: {provider: gcp, region: us-east1",
		"ap-1": "labels: {tier: silver}}\nspec: {provider: azure, region: southeastasia",
	}
	var docs []string
	for _, m := range s.members {
		docs = append(docs, fmt.Sprintf("apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s, %s, kubeconfigFile: %q}\n",
			m.Name, places[m.Name], m.UserKubeconfig(user)))
	}
	return strings.Join(docs, "---\n")
}

func (s *story) writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs a controller on the configuration of fleet.yaml.
func (s *story) start(t *testing.T) {
	t.Helper()
	s.run = s.startController(t, "fleet.yaml", "state")
}

// stop ends the controller with SIGTERM, which must succeed.
func (s *story) stop(t *testing.T) {
	t.Helper()
	code := s.run.End(t, syscall.SIGTERM)
	s.before = append(s.before, s.run)
	if code != 0 {
		t.Fatalf("the controller ends with code %d after SIGTERM, want 0", code)
	}
}

// expect says that objects are to be on every member from now on; gone that they are on none.
func (s *story) expect(names ...string) {
	for _, m := range s.members {
		for _, n := range names {
			s.want[m.Name][n] = true
		}
	}
}

func (s *story) gone(names ...string) {
	for _, m := range s.members {
		for _, n := range names {
			delete(s.want[m.Name], n)
		}
	}
}

// awaitInventory waits until the members hold exactly what is wanted, and returns it.
func (s *story) awaitInventory(t *testing.T, members ...*member) map[string]map[string]*unstructured.Unstructured {
	t.Helper()
	held := make([]map[string]*unstructured.Unstructured, len(s.members))
	await.That(t, time.Minute, "inventory as wanted", func() error {
		return on(members, func(m *member) error {
			objects, err := m.labelled(t.Context())
			if err != nil {
				return err
			}
			held[slices.Index(s.members, m)] = objects
			if d := missingAndMore(keys(objects), s.want[m.Name]); d != "" {
				return fmt.Errorf("%s: %s", m.Name, d)
			}
			return nil
		})
	})
	all := map[string]map[string]*unstructured.Unstructured{}
	for _, m := range members {
		all[m.Name] = held[slices.Index(s.members, m)]
	}
	return all
}

// awaitRollouts waits until every Deployment of ours runs what it asks for, so that nothing but a write
// changes its resource version.
func (s *story) awaitRollouts(t *testing.T) map[string]map[string]*unstructured.Unstructured {
	t.Helper()
	var held map[string]map[string]*unstructured.Unstructured
	await.That(t, time.Minute, "rollout of every Deployment", func() error {
		held = s.awaitInventory(t, s.members...)
		var errs []error
		for _, m := range s.members {
			for name, u := range held[m.Name] {
				if u.GetKind() != "Deployment" {
					continue
				}
				asked := field(u, "spec", "replicas")
				for _, f := range []string{"replicas", "updatedReplicas", "availableReplicas"} {
					if got := field(u, "status", f); got != asked {
						errs = append(errs, fmt.Errorf("%s on %s: %v %s of %v", name, m.Name, got, f, asked))
					}
				}
				if field(u, "status", "observedGeneration") != u.GetGeneration() {
					errs = append(errs, fmt.Errorf("%s on %s: its controller has not seen it", name, m.Name))
				}
			}
		}
		return errors.Join(errs...)
	})
	return held
}

// awaitShares waits for the shares of the divided workload.
func (s *story) awaitShares(t *testing.T, timeout time.Duration, want map[*member]any) time.Duration {
	t.Helper()
	return await.That(t, timeout, "shares of the frontend", func() error {
		var errs []error
		for m, share := range want {
			u, err := m.resource("Deployment", "shop").Get(t.Context(), "frontend", metav1.GetOptions{})
			if err != nil {
				errs = append(errs, err)
			} else if got := field(u, "spec", "replicas"); got != share {
				errs = append(errs, fmt.Errorf("%v on %s, want %v", got, m.Name, share))
			}
		}
		return errors.Join(errs...)
	})
}

// marks are the ends of the audit logs.
func (s *story) marks(t *testing.T) map[*member]int {
	t.Helper()
	marks := map[*member]int{}
	for _, m := range s.members {
		marks[m] = m.auditMark(t)
	}
	return marks
}

// settle waits until a controller that wanted to write something would have done so.
func (s *story) settle(t *testing.T, members ...*member) {
	t.Helper()
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	s.awaitQuiet(t, names...)
	for _, m := range members {
		m.awaitProbes(t)
	}
}

// noDeletes checks that the controller deleted nothing after the marks.
func (s *story) noDeletes(t *testing.T, marks map[*member]int) {
	t.Helper()
	for m, mark := range marks {
		deletes := slices.DeleteFunc(m.writesSince(t, mark), func(w string) bool { return !strings.HasPrefix(w, "delete") })
		if len(deletes) > 0 {
			t.Errorf("%d deletes on %s, such as %q", len(deletes), m.Name, deletes[:min(3, len(deletes))])
		}
	}
}

// checkSame checks that what a member holds are the very objects that it held before.
func checkSame(t *testing.T, m *member, before, after map[string]map[string]*unstructured.Unstructured) {
	t.Helper()
	var remade []string
	for name, u := range after[m.Name] {
		if u.GetUID() != before[m.Name][name].GetUID() {
			remade = append(remade, name)
		}
	}
	if slices.Sort(remade); len(remade) > 0 {
		t.Errorf("%d objects on %s were deleted and made anew, such as %q", len(remade), m.Name, remade[:min(3, len(remade))])
	}
}

// webster divides seats by weights with divisors 1, 3, 5, …, one seat after the other; ties go to fewer
// seats, then to the lower name. It is deliberately as simple as can be.
func webster(seats int, weights map[*member]int) map[*member]any {
	got := map[*member]int{}
	order := slices.SortedFunc(maps.Keys(weights), func(a, b *member) int { return strings.Compare(a.Name, b.Name) })
	for range seats {
		var best *member
		for _, m := range order {
			if best == nil {
				best = m
				continue
			}
			left, right := weights[m]*(2*got[best]+1), weights[best]*(2*got[m]+1)
			if left > right || left == right && got[m] < got[best] {
				best = m
			}
		}
		got[best]++
	}
	shares := map[*member]any{}
	for m, n := range got {
		shares[m] = int64(n)
	}
	return shares
}

// firstPush is step 1.
func (s *story) firstPush(t *testing.T) {
	s.start(t)
	began := time.Now()
	s.plain.Push(t, "The Online Boutique as plain manifests")
	s.shop.Push(t, "The Online Boutique, with policies")
	held := s.awaitInventory(t, s.members...)
	for _, m := range s.members {
		t.Logf("%s holds %d objects, exactly those that are to be there, %s after the push", m.Name, len(held[m.Name]), time.Since(began).Round(100*time.Millisecond))
	}
	s.checkOwnership(t, held)
	s.checkParents(t, held)
	s.checkNamespaces(t)
	s.checkOverrides(t, held)

	shares := webster(9, map[*member]int{s.eu: 4, s.us: 2, s.ap: 1})
	s.awaitShares(t, soon, shares)
	for _, m := range s.members {
		frontend, adservice := held[m.Name]["Deployment shop/frontend"], held[m.Name]["Deployment shop/adservice"]
		if got, want := frontend.GetAnnotations()[sharesAnnotation], fmt.Sprint(shares[m]); got != want {
			t.Errorf("%s: the recorded share of the frontend is %q, want %q", m.Name, got, want)
		}
		if got := field(adservice, "spec", "replicas"); got != int64(2) {
			t.Errorf("%s: the duplicated adservice has %v replicas, want 2", m.Name, got)
		}
		if cart := held[m.Name]["Deployment shop/cartservice"]; cart != nil {
			if fields, _ := applied(cart); owns(fields, "spec", "replicas") {
				t.Errorf("%s: the controller owns replicas of a Deployment that sets none", m.Name)
			}
		}
	}
	t.Logf("9 replicas of the frontend are divided 4:2:1 into %v, %v and %v; the adservice has 2 on each", shares[s.eu], shares[s.us], shares[s.ap])
	s.awaitRollouts(t)
	t.Log("every Deployment is available on every member")
}

// checkOwnership looks at what makes every object ours.
func (s *story) checkOwnership(t *testing.T, held map[string]map[string]*unstructured.Unstructured) {
	t.Helper()
	digest := regexp.MustCompile(`^v1:[0-9a-f]{64}$`)
	n := 0
	for cluster, objects := range held {
		for name, u := range objects {
			if name == copiedObject {
				continue
			}
			n++
			if _, ok := applied(u); !ok {
				t.Errorf("%s on %s: no Apply entry of %s in managedFields", name, cluster, manager)
			}
			if d := u.GetAnnotations()[digestAnnotation]; !digest.MatchString(d) {
				t.Errorf("%s on %s: the digest is %q", name, cluster, d)
			}
			want := systemNamespace + "/shop"
			if u.GetNamespace() == "plain" {
				want = systemNamespace + "/plain"
			}
			if source := u.GetAnnotations()[sourceAnnotation]; source != want {
				t.Errorf("%s on %s: the source is %q, want %q", name, cluster, source, want)
			}
			if _, set := u.GetLabels()["app.kubernetes.io/managed-by"]; set {
				t.Errorf("%s on %s: managed-by is the user's and was set", name, cluster)
			}
		}
	}
	t.Logf("all %d objects have an Apply entry of %s, the label of their ApplySet, a digest and their source", n, manager)
}

// checkParents looks at the parents of the ApplySets as KEP-3659 asks for them.
func (s *story) checkParents(t *testing.T, held map[string]map[string]*unstructured.Unstructured) {
	t.Helper()
	for _, m := range s.members {
		list, err := m.typed.CoreV1().Secrets(systemNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: setIDLabel})
		if err != nil {
			t.Fatal(err)
		}
		parents := map[string]bool{}
		for _, p := range list.Items {
			id := applySetID(p.Name)
			parents[id] = true
			if p.Labels[setIDLabel] != id {
				t.Errorf("%s: the parent %s has the id %q, KEP-3659 asks for %q", m.Name, p.Name, p.Labels[setIDLabel], id)
			}
			if tool := p.Annotations[toolingNote]; !strings.HasPrefix(tool, "armada-sync/") {
				t.Errorf("%s: the tooling of %s is %q; kubectl must see that the set is not its own", m.Name, p.Name, tool)
			}
			if p.Annotations[hubAnnotation] == "" {
				t.Errorf("%s: the parent %s does not say which hub it belongs to", m.Name, p.Name)
			}
			kinds, namespaces := map[string]bool{}, map[string]bool{}
			for _, u := range held[m.Name] {
				if u.GetLabels()[partOfLabel] == id {
					kinds[u.GroupVersionKind().GroupKind().String()] = true
					namespaces[u.GetNamespace()] = true
				}
			}
			delete(namespaces, "")
			for note, want := range map[string]map[string]bool{groupKindsNote: kinds, namespacesNote: namespaces} {
				if got := p.Annotations[note]; got != strings.Join(slices.Sorted(maps.Keys(want)), ",") {
					t.Errorf("%s: %s of %s is %q, its objects are %v", m.Name, note, p.Name, got, slices.Sorted(maps.Keys(want)))
				}
			}
			t.Logf("%s: ApplySet %s lists %s in %s", m.Name, p.Name, p.Annotations[groupKindsNote], p.Annotations[namespacesNote])
		}
		for name, u := range held[m.Name] {
			if !parents[u.GetLabels()[partOfLabel]] {
				t.Errorf("%s on %s belongs to an ApplySet without a parent", name, m.Name)
			}
		}
	}
}

// checkNamespaces looks at the namespace that Git declares and at the one that it does not.
func (s *story) checkNamespaces(t *testing.T) {
	t.Helper()
	plain := s.us.get(t, "Namespace", "", "plain")
	if len(plain.GetLabels()) != 1 { // Kubernetes labels every namespace with its name.
		t.Errorf("the namespace that Git does not declare has labels %v", plain.GetLabels())
	}
	if _, err := s.eu.resource("Namespace", "").Get(t.Context(), "plain", metav1.GetOptions{}); err == nil {
		t.Error("a namespace was made on a cluster to which nothing in it goes")
	}
	if team := s.eu.get(t, "Namespace", "", "shop").GetLabels()["team"]; team != "shop" {
		t.Errorf("the namespace that Git declares has team %q", team)
	}
	t.Log("namespace shop is as Git declares it, with its objects everywhere; plain was made on us-1 alone, unlabelled")
}

// checkOverrides looks at what each cluster has of its own.
func (s *story) checkOverrides(t *testing.T, held map[string]map[string]*unstructured.Unstructured) {
	t.Helper()
	const google, mirror = "us-central1-docker.pkg.dev", "eu.registry.example.com"
	for _, c := range []struct {
		reason string
		object string
		get    func(*unstructured.Unstructured) any
		by     map[*member]any
	}{
		{"imageOverrider by region", "Deployment shop/adservice",
			func(u *unstructured.Unstructured) any { return field(u, firstContainer("image")...) },
			map[*member]any{
				s.eu: mirror + "/online-boutique-ci/microservices-demo/adservice:v0.10.6",
				s.us: google + "/online-boutique-ci/microservices-demo/adservice:v0.10.6",
				s.ap: google + "/online-boutique-ci/microservices-demo/adservice:v0.10.6",
			}},
		{"imageOverrider on an image without a registry", "Deployment shop/redis-cart",
			func(u *unstructured.Unstructured) any { return field(u, firstContainer("image")...) },
			map[*member]any{s.eu: mirror + "/redis:alpine", s.us: "redis:alpine"}},
		{"labelsOverrider", "Deployment shop/frontend",
			func(u *unstructured.Unstructured) any { return u.GetLabels()["example.com/region"] },
			map[*member]any{s.eu: "eu", s.us: "us", s.ap: "ap"}},
		{"annotationsOverrider", "Deployment shop/frontend",
			func(u *unstructured.Unstructured) any { return u.GetAnnotations()["example.com/pager"] },
			map[*member]any{s.eu: "", s.us: "", s.ap: "asia"}},
		{"strategicMerge", "Deployment shop/frontend",
			func(u *unstructured.Unstructured) any { return environment(u, "CURRENCY") },
			map[*member]any{s.eu: "EUR", s.us: "USD", s.ap: ""}},
		{"strategicMerge keeps the other variables", "Deployment shop/frontend",
			func(u *unstructured.Unstructured) any { return environment(u, "PORT") },
			map[*member]any{s.eu: "8080", s.us: "8080", s.ap: "8080"}},
		{"jsonPatch", "Deployment shop/cartservice",
			func(u *unstructured.Unstructured) any {
				return field(u, "spec", "template", "spec", "terminationGracePeriodSeconds")
			},
			map[*member]any{s.eu: int64(5), s.us: int64(20)}},
		{"plaintext", "ConfigMap shop/settings",
			func(u *unstructured.Unstructured) any { return field(u, "data", "currency") },
			map[*member]any{s.eu: "USD", s.us: "USD", s.ap: "JPY"}},
	} {
		for m, want := range c.by {
			if got := c.get(held[m.Name][c.object]); got != want {
				t.Errorf("%s: %s on %s has %v, want %v", c.reason, c.object, m.Name, got, want)
			}
		}
	}
	t.Log("images, labels, annotations, merged environment and patched fields are each cluster's own")
}

// changeOverride is step 2.
func (s *story) changeOverride(t *testing.T) {
	before, marks := s.awaitRollouts(t), s.marks(t)
	s.shop.replace(t, "shop/overrides/frontend.yaml", "value: EUR", "value: CHF")
	s.shop.Push(t, "Prices in francs on eu-1")
	took := await.That(t, soon, "the new currency on eu-1", func() error {
		if got := environment(s.eu.get(t, "Deployment", "shop", "frontend"), "CURRENCY"); got != "CHF" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	s.settle(t, s.members...)
	want := map[*member][]string{s.eu: {"patch deployments/frontend 200"}}
	for _, m := range s.members {
		if got := m.writesSince(t, marks[m]); !slices.Equal(got, want[m]) {
			t.Errorf("the audit log of %s has writes %q, want %q", m.Name, got, want[m])
		}
	}
	after := s.awaitRollouts(t)
	same := 0
	for _, m := range s.members {
		old, now := versions(before[m.Name]), versions(after[m.Name])
		for name, version := range now {
			changed := m == s.eu && name == "Deployment shop/frontend"
			if (version != old[name]) != changed {
				t.Errorf("%s on %s: resourceVersion %s, before %s", name, m.Name, version, old[name])
			}
			if !changed {
				same++
			}
		}
	}
	t.Logf("%s after the push: one write in three audit logs, that of the frontend on eu-1; %d other objects have their old resourceVersion",
		took.Round(100*time.Millisecond), same)
}

// prune is step 3.
func (s *story) prune(t *testing.T) {
	banner := s.eu.get(t, "ConfigMap", "shop", "banner")
	foreign := s.eu.create(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: foreign, namespace: shop}}")
	// As the EndpointSlice controller and careless people do: a copy with all labels and annotations.
	copied := s.eu.create(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: copied, namespace: shop, labels: {%s: %q}, annotations: {%s: %q, %s: %q}}}",
		partOfLabel, banner.GetLabels()[partOfLabel], digestAnnotation, banner.GetAnnotations()[digestAnnotation],
		sourceAnnotation, banner.GetAnnotations()[sourceAnnotation]))
	s.want[s.eu.Name][copiedObject] = true
	marks := s.marks(t)

	s.shop.remove(t, "shop/platform/banner.yaml")
	s.shop.Push(t, "No banner any more")
	s.gone("ConfigMap shop/banner")
	s.awaitInventory(t, s.members...)
	s.settle(t, s.members...)
	for _, m := range s.members {
		if got := m.writesSince(t, marks[m]); !slices.Equal(got, []string{"delete configmaps/banner 200"}) {
			t.Errorf("the audit log of %s has writes %q, want the delete of the banner alone", m.Name, got)
		}
	}
	for _, theirs := range []*unstructured.Unstructured{foreign, copied} {
		if now := s.eu.get(t, "ConfigMap", "shop", theirs.GetName()); now.GetResourceVersion() != theirs.GetResourceVersion() {
			t.Errorf("%s of someone else was touched", nameOf(theirs))
		}
	}
	t.Log("the banner is gone on all members; a ConfigMap of someone else, and one with our labels copied onto it, were not touched")

	marks, line := s.marks(t), s.run.Mark()
	s.shop.Write(t, "shop/platform/motd.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: motd\n  namespace: shop\ndata:\n  text: [unclosed\n")
	s.shop.remove(t, "shop/platform/season.yaml")
	s.shop.replace(t, "shop/platform/settings.yaml", "greeting: hello", "greeting: good day")
	s.shop.Push(t, "A broken file, a removed file and a good change in one commit")
	s.awaitGreeting(t, "good day", s.members...)
	problem := s.run.AwaitLine(t, line, soon, "problem", "platform/motd.yaml:")
	if !regexp.MustCompile(`platform/motd\.yaml:[67]\b`).MatchString(problem) {
		t.Errorf("the problem does not name line 6 or 7 of the file: %s", problem)
	}
	s.settle(t, s.members...)
	s.noDeletes(t, marks)
	s.awaitInventory(t, s.members...)
	t.Logf("the good change is there, nothing was pruned, and stderr says: %s", problem)

	line = s.run.Mark()
	s.shop.Write(t, "shop/platform/motd.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, namespace: shop}\ndata: {text: welcome back}\n")
	s.shop.Push(t, "Mend the file")
	s.gone("ConfigMap shop/season")
	s.awaitInventory(t, s.members...)
	s.run.AwaitLine(t, line, soon, "solved", "platform/motd.yaml:")
	if text := field(s.ap.get(t, "ConfigMap", "shop", "motd"), "data", "text"); text != "welcome back" {
		t.Errorf("the mended file was not applied: %v", text)
	}
	t.Log("mended: the file is applied, what was removed beside it is pruned now, and stderr says that it is solved")
}

// awaitGreeting waits for the value in the settings, which is how the steps see that a push arrived.
func (s *story) awaitGreeting(t *testing.T, want string, members ...*member) time.Duration {
	t.Helper()
	return await.That(t, soon, fmt.Sprintf("greeting %q", want), func() error {
		var errs []error
		for _, m := range members {
			u, err := m.resource("ConfigMap", "shop").Get(t.Context(), "settings", metav1.GetOptions{})
			if err != nil {
				errs = append(errs, err)
			} else if got := field(u, "data", "greeting"); got != want {
				errs = append(errs, fmt.Errorf("it is %q on %s", got, m.Name))
			}
		}
		return errors.Join(errs...)
	})
}

// greet pushes another greeting and waits for it.
func (s *story) greet(t *testing.T, greeting string, members ...*member) time.Duration {
	t.Helper()
	s.shop.Write(t, "shop/platform/settings.yaml", regexp.MustCompile(`greeting: .*`).
		ReplaceAllLiteralString(s.shop.read(t, "shop/platform/settings.yaml"), "greeting: "+greeting))
	s.shop.Push(t, "Say "+greeting)
	return s.awaitGreeting(t, greeting, members...)
}

// drift is step 4.
func (s *story) drift(t *testing.T) {
	image := field(s.us.get(t, "Deployment", "shop", "frontend"), firstContainer("image")...)
	service := s.us.get(t, "Service", "shop", "adservice")
	set := s.eu.get(t, "ConfigMap", "shop", "motd").GetLabels()[partOfLabel]
	for _, c := range []struct {
		what   string
		m      *member
		change func()
		back   func() (any, error)
		want   any
	}{
		{"a field that someone changed", s.eu,
			func() { s.eu.patch(t, "ConfigMap", "shop", "settings", `{"data": {"greeting": "hacked"}}`) },
			s.reads(t, s.eu, "ConfigMap", "settings", "data", "greeting"), "good day"},
		{"an image that someone rolled out", s.us,
			func() {
				s.us.patchList(t, "Deployment", "shop", "frontend", `[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}]`)
			},
			s.reads(t, s.us, "Deployment", "frontend", firstContainer("image")...), image},
		{"a label that someone removed", s.ap,
			func() { s.ap.patch(t, "ConfigMap", "shop", "settings", `{"metadata": {"labels": {"part": null}}}`) },
			s.reads(t, s.ap, "ConfigMap", "settings", "metadata", "labels", "part"), "settings"},
		{"the label of the ApplySet that someone removed", s.eu,
			func() {
				s.eu.patch(t, "ConfigMap", "shop", "motd", `{"metadata": {"labels": {"`+partOfLabel+`": null}}}`)
			},
			s.reads(t, s.eu, "ConfigMap", "motd", "metadata", "labels", partOfLabel), set},
		{"an object that someone deleted", s.us,
			func() {
				if err := s.us.resource("Service", "shop").Delete(t.Context(), "adservice", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			s.reads(t, s.us, "Service", "adservice", "metadata", "name"), "adservice"},
		{"data of a Secret that someone changed", s.ap,
			func() { s.ap.patch(t, "Secret", "shop", "credentials", `{"stringData": {"password": "mine"}}`) },
			s.readsSecret(t, s.ap), secretCanary},
	} {
		c.change()
		took := await.That(t, driftLimit, c.what+" put back on "+c.m.Name, func() error {
			got, err := c.back()
			if err == nil && got != c.want {
				err = fmt.Errorf("it is %v", got)
			}
			return err
		})
		t.Logf("%s on %s is put back after %s", c.what, c.m.Name, took.Round(10*time.Millisecond))
	}
	if s.us.get(t, "Service", "shop", "adservice").GetUID() == service.GetUID() {
		t.Error("the Service was never away")
	}

	s.settle(t, s.members...)
	marks := s.marks(t)
	s.ap.patch(t, "Deployment", "shop", "adservice", `{"metadata": {"annotations": {"example.com/note": "by hand"}}, "spec": {"revisionHistoryLimit": 3}}`)
	s.settle(t, s.ap)
	adservice := s.ap.get(t, "Deployment", "shop", "adservice")
	if adservice.GetAnnotations()["example.com/note"] != "by hand" || field(adservice, "spec", "revisionHistoryLimit") != int64(3) {
		t.Error("fields that Git does not set were taken back")
	}
	if writes := s.ap.writesSince(t, marks[s.ap]); len(writes) > 0 {
		t.Errorf("the controller wrote %q after a change of fields that are not its own", writes)
	}
	t.Log("an annotation and a field that Git does not set are left alone, without a write")
	s.awaitInventory(t, s.members...)
}

// reads returns a reader of one field on a member.
func (s *story) reads(t *testing.T, m *member, kind, name string, path ...any) func() (any, error) {
	t.Helper()
	return func() (any, error) {
		u, err := m.resource(kind, "shop").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return field(u, path...), nil
	}
}

func (s *story) readsSecret(t *testing.T, m *member) func() (any, error) {
	t.Helper()
	return func() (any, error) {
		secret, err := m.typed.CoreV1().Secrets("shop").Get(t.Context(), "credentials", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return string(secret.Data["password"]), nil
	}
}

// conflict is step 5.
func (s *story) conflict(t *testing.T) {
	theirs := s.us.create(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: greeter, namespace: shop}, data: {text: theirs, more: theirs}}")
	line := s.run.Mark()
	s.shop.Write(t, "shop/platform/greeter.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: greeter, namespace: shop}, data: {text: ours}}\n")
	s.shop.Push(t, "A ConfigMap that us-1 has already")
	problem := s.run.AwaitLine(t, line, soon, "problem", "us-1", "ConfigMap shop/greeter", "conflict")
	s.expect("ConfigMap shop/greeter")
	delete(s.want[s.us.Name], "ConfigMap shop/greeter")
	s.awaitInventory(t, s.members...)
	s.us.awaitProbes(t)
	if now := s.us.get(t, "ConfigMap", "shop", "greeter"); now.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Errorf("the object of someone else was touched: %v", now.Object)
	}
	t.Logf("on us-1 the object of someone else is untouched, elsewhere ours is there, and stderr says: %s", problem)

	line = s.run.Mark()
	s.shop.Write(t, "shop/policies/greeter.yaml", `apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: greeter, namespace: shop}
spec:
  conflictResolution: Overwrite
  resourceSelectors:
    - {apiVersion: v1, kind: ConfigMap, name: greeter}
`)
	s.shop.Push(t, "Adopt it")
	s.expect("ConfigMap shop/greeter")
	took := await.That(t, soon, "adoption", func() error {
		u, err := s.us.getIf(t.Context(), "ConfigMap", "shop", "greeter")
		if err == nil && field(u, "data", "text") != "ours" {
			err = fmt.Errorf("its text is %v", field(u, "data", "text"))
		}
		return err
	})
	if took > driftLimit {
		t.Errorf("the commit that resolves the conflict waits %s", took)
	}
	s.awaitInventory(t, s.members...)
	now := s.us.get(t, "ConfigMap", "shop", "greeter")
	if now.GetUID() != theirs.GetUID() {
		t.Error("the object was deleted and made anew, not adopted")
	}
	if fields, _ := applied(now); field(now, "data", "text") != "ours" || !owns(fields, "data", "text") {
		t.Errorf("the adopted object has %v", now.Object["data"])
	}
	s.run.AwaitLine(t, line, soon, "solved", "ConfigMap shop/greeter")
	t.Logf("with conflictResolution: Overwrite it is adopted in place after %s, and stderr says that it is solved", took.Round(100*time.Millisecond))
}

// badInput is step 6.
func (s *story) badInput(t *testing.T) {
	marks := s.marks(t)
	s.stop(t)
	s.configure(t, "apiVersion: armada-sync.io/v1alpha1\nkind: GitSource\nmetadata: {name: dead}\nspec: {url: \"https://127.0.0.1:1/dead.git\", interval: 1s}\n")
	s.start(t)
	t.Logf("a repository that cannot be reached: %s", s.run.AwaitLine(t, 0, soon, "problem", "armada-system/dead"))

	line := s.run.Mark()
	s.shop.Write(t, "shop/platform/widget.yaml", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: lonely, namespace: shop}\n")
	s.shop.Write(t, "shop/policies/widgets.yaml", `apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: widgets, namespace: shop}
spec:
  resourceSelectors:
    - {apiVersion: example.com/v1, kind: Widget}
`)
	s.shop.Write(t, "shop/policies/typo.yaml", `apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: typo, namespace: shop}
spec:
  resourceSelectors:
    - {apiVersion: v1, kind: ConfigMap, name: motd}
  placment:
    clusterAffinity: {clusterNames: [eu-1]}
`)
	took := s.greet(t, "good evening", s.members...)
	t.Logf("the rest of the commit arrives, %s after the push", took.Round(100*time.Millisecond))
	t.Logf("a policy with an unknown field: %s", s.run.AwaitLine(t, line, soon, "problem", "policies/typo.yaml:7", "placment"))
	t.Logf("a policy for a kind that no member serves: %s", s.run.AwaitLine(t, line, soon, "problem", "serves no example.com/v1 Widget", ".yaml:"))

	line = s.run.Mark()
	away := s.plain.Bare + ".away"
	if err := os.Rename(s.plain.Bare, away); err != nil {
		t.Fatal(err)
	}
	t.Logf("a repository that goes away: %s", s.run.AwaitLine(t, line, soon, "problem", "armada-system/plain"))
	s.greet(t, "good night", s.members...)
	s.settle(t, s.members...)
	s.awaitInventory(t, s.members...)
	if err := os.Rename(away, s.plain.Bare); err != nil {
		t.Fatal(err)
	}
	t.Logf("and comes back: %s", s.run.AwaitLine(t, line, soon, "solved", "armada-system/plain"))
	s.noDeletes(t, marks)
	for _, part := range []string{"placment", "armada-system/dead"} {
		if n := count(s.run.Since(0), "problem", part); n != 1 {
			t.Errorf("%d lines on stderr name %q, want one while the problem stands", n, part)
		}
	}
	t.Log("nothing was pruned in all of that, and every other change arrived")

	s.shop.remove(t, "shop/platform/widget.yaml")
	s.shop.remove(t, "shop/policies/widgets.yaml")
	s.shop.remove(t, "shop/policies/typo.yaml")
	s.shop.Push(t, "Away with the bad input")
	s.run.AwaitLine(t, line, soon, "solved", "placment")
}

func count(lines []string, parts ...string) (n int) {
	for _, line := range lines {
		if child.Contains(line, parts...) {
			n++
		}
	}
	return n
}

// failover is step 7.
func (s *story) failover(t *testing.T) {
	before := s.awaitRollouts(t)
	s.settle(t, s.members...)
	marks, line := s.marks(t), s.run.Mark()
	if err := s.us.StopAPIServer(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server of us-1 is killed: %s", s.run.AwaitLine(t, line, soon, "problem", "us-1", "not-ready"))
	shares := webster(9, map[*member]int{s.eu: 4, s.ap: 1})
	took := s.awaitShares(t, soon, shares)
	t.Logf("%s later its share of the frontend has moved: %v on eu-1, %v on ap-1", took.Round(100*time.Millisecond), shares[s.eu], shares[s.ap])
	s.settle(t, s.eu, s.ap)
	for _, m := range []*member{s.eu, s.ap} {
		if got := m.writesSince(t, marks[m]); !slices.Equal(got, []string{"patch deployments/frontend 200"}) {
			t.Errorf("the audit log of %s has writes %q, want one to the frontend alone", m.Name, got)
		}
	}
	t.Log("that took one write on each of the other members; nothing else was touched")

	line = s.run.Mark()
	if err := s.us.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.run.AwaitLine(t, line, soon, "solved", "us-1", "not-ready")
	took = s.awaitShares(t, soon, webster(9, map[*member]int{s.eu: 4, s.us: 2, s.ap: 1}))
	s.settle(t, s.members...)
	after := s.awaitRollouts(t)
	checkSame(t, s.us, before, after)
	s.noDeletes(t, marks)
	t.Logf("us-1 is back: its share returns %s later, and every object there is the one that was there before", took.Round(100*time.Millisecond))
}

// hang is step 8.
func (s *story) hang(t *testing.T) {
	before, line := s.awaitRollouts(t), s.run.Mark()
	if err := s.ap.Pause(); err != nil {
		t.Fatal(err)
	}
	took := s.greet(t, "patience", s.eu, s.us)
	if took > driftLimit {
		t.Errorf("a hanging member delays the others by %s", took)
	}
	t.Logf("ap-1 hangs (SIGSTOP): eu-1 and us-1 have the next commit after %s", took.Round(100*time.Millisecond))
	t.Logf("it is found out: %s", s.run.AwaitLine(t, line, soon, "problem", "ap-1", "not-ready"))
	s.awaitShares(t, soon, webster(9, map[*member]int{s.eu: 4, s.us: 2}))
	if took = s.greet(t, "composure", s.eu, s.us); took > driftLimit {
		t.Errorf("a member that is known to hang delays the others by %s", took)
	}
	t.Logf("its share has moved, and the commit after that takes %s", took.Round(100*time.Millisecond))

	line = s.run.Mark()
	if err := s.ap.Resume(); err != nil {
		t.Fatal(err)
	}
	took = s.awaitGreeting(t, "composure", s.ap)
	s.run.AwaitLine(t, line, soon, "solved", "ap-1", "not-ready")
	s.awaitShares(t, soon, webster(9, map[*member]int{s.eu: 4, s.us: 2, s.ap: 1}))
	after := s.awaitInventory(t, s.members...)
	checkSame(t, s.ap, before, after)
	t.Logf("ap-1 goes on: it has the last commit %s later, its share returns, and nothing was removed there", took.Round(100*time.Millisecond))
}

// bulk is how many ConfigMaps a large push has.
const bulk = 300

// pushBulk pushes many objects in one commit.
func (s *story) pushBulk(t *testing.T, batch string) {
	t.Helper()
	for part := range 3 {
		var docs []string
		for i := range bulk / 3 {
			name := fmt.Sprintf("bulk-%s-%03d", batch, part*bulk/3+i)
			docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: shop, labels: {example.com/bulk: %q}}\ndata: {number: \"%d\"}\n", name, batch, i))
			s.expect(object("ConfigMap", "shop", name))
		}
		s.shop.Write(t, fmt.Sprintf("shop/bulk/%s-%d.yaml", batch, part), strings.Join(docs, "---\n"))
	}
	s.shop.Push(t, fmt.Sprintf("%d ConfigMaps", bulk))
}

// pushUntil pushes a batch and returns as soon as a member holds some of it.
func (s *story) pushUntil(t *testing.T, batch string, some int) {
	t.Helper()
	watch, err := s.us.typed.CoreV1().ConfigMaps("shop").Watch(t.Context(), metav1.ListOptions{LabelSelector: "example.com/bulk=" + batch})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	s.pushBulk(t, batch)
	deadline := time.After(soon)
	for n := range some {
		select {
		case _, ok := <-watch.ResultChan():
			if !ok {
				t.Fatal("the watch ended")
			}
		case <-deadline:
			t.Fatalf("%d objects after %s", n, soon)
		}
	}
}

// arrived counts the objects of a batch on each member.
func (s *story) arrived(t *testing.T, batch string) (counts map[string]int, all bool) {
	t.Helper()
	counts, all = map[string]int{}, true
	for _, m := range s.members {
		list, err := m.typed.CoreV1().ConfigMaps("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "example.com/bulk=" + batch})
		if err != nil {
			t.Fatal(err)
		}
		counts[m.Name] = len(list.Items)
		all = all && len(list.Items) == bulk
	}
	return counts, all
}

// kill is step 9.
func (s *story) kill(t *testing.T) {
	s.pushUntil(t, "a", 30)
	if code := s.run.End(t, syscall.SIGKILL); code != -1 {
		t.Fatalf("the controller ended with code %d before it was killed", code)
	}
	s.before = append(s.before, s.run)
	counts, all := s.arrived(t, "a")
	if all {
		t.Fatal("the controller was faster than the kill: make the batch larger")
	}
	t.Logf("killed in the middle: of %d objects there are %v", bulk, counts)
	s.start(t)
	held := s.awaitInventory(t, s.members...)
	s.checkOwnership(t, held)
	s.checkParents(t, held)
	s.settle(t, s.members...)
	t.Log("after a restart all objects are there, once each, and nothing else; the ApplySets list all kinds and namespaces")

	s.stop(t)
	marks := s.marks(t)
	before := s.awaitInventory(t, s.members...)
	s.start(t)
	s.settle(t, s.members...)
	for _, m := range s.members {
		if writes := m.writesSince(t, marks[m]); len(writes) > 0 {
			t.Errorf("the audit log of %s has %d writes after a restart with nothing new: %q", m.Name, len(writes), writes[:min(5, len(writes))])
		}
	}
	after := s.awaitInventory(t, s.members...)
	for _, m := range s.members {
		if !maps.Equal(versions(before[m.Name]), versions(after[m.Name])) {
			t.Errorf("resource versions on %s are not what they were before the restart", m.Name)
		}
	}
	t.Log("another restart with nothing new: no write in any audit log")
}

// terminate is step 10.
func (s *story) terminate(t *testing.T) {
	s.pushUntil(t, "b", 30)
	began := time.Now()
	s.stop(t)
	counts, all := s.arrived(t, "b")
	if all {
		t.Error("everything was written before the end: SIGTERM is not to begin anything new")
	}
	if count(s.run.Since(0), "nothing is in flight") == 0 {
		t.Error("stderr does not say that nothing is in flight")
	}
	t.Logf("SIGTERM in the middle: exit code 0 after %s; of %d objects there are %v", time.Since(began).Round(10*time.Millisecond), bulk, counts)
	for _, m := range s.members {
		held, err := m.labelled(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, u := range held {
			if _, ok := applied(u); !ok && name != copiedObject {
				t.Errorf("%s on %s is half written", name, m.Name)
			}
		}
	}
	s.start(t)
	s.awaitInventory(t, s.members...)
	t.Log("the next start writes the rest")
}

// observe is step 11.
func (s *story) observe(t *testing.T) {
	s.settle(t, s.members...)
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusOK, "/metrics": http.StatusOK, "/": http.StatusNotFound} {
		if code, _, err := s.run.Get(t.Context(), path); err != nil || code != want {
			t.Errorf("%s answers %d, %v; want %d", path, code, err, want)
		}
	}
	s.eu.patch(t, "ConfigMap", "shop", "settings", `{"data": {"greeting": "hacked"}}`)
	s.awaitGreeting(t, "composure", s.eu)
	s.settle(t, s.members...)
	samples, err := s.run.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]float64{
		`armada_sync_commit_to_applied_seconds_count{source="armada-system/shop"}`:       1,
		`armada_sync_plan_seconds_count`:                                                 1,
		`armada_sync_apply_requests_total{cluster="eu-1",result="applied"}`:              1,
		`armada_sync_drift_repaired_total{cluster="eu-1"}`:                               1,
		`armada_sync_cluster_ready{cluster="us-1"}`:                                      1,
		`armada_sync_failover_vetoes_total`:                                              0,
		`armada_sync_source_last_success_timestamp_seconds{source="armada-system/shop"}`: 1,
		`armada_sync_source_failures_total{source="armada-system/dead"}`:                 1,
		objectsMetric("ap-1", "unchanged"):                                               1,
		`armada_sync_findings{severity="blocker"}`:                                       0,
	} {
		if got, ok := samples[name]; !ok || got < least {
			t.Errorf("/metrics: %s is %v (there: %t), want at least %v", name, got, ok, least)
		}
	}
	for _, m := range s.members {
		want := float64(len(s.want[m.Name]))
		if m == s.eu {
			want-- // The copy of someone else is not counted as ours.
		}
		if got := samples[objectsMetric(m.Name, "unchanged")]; got != want {
			t.Errorf("/metrics counts %v objects in place on %s, there are %v", got, m.Name, want)
		}
	}
	for name := range samples {
		if strings.HasPrefix(name, "armada_sync_") && strings.Contains(name, "bulk-") {
			t.Errorf("an object's name is a label: %s", name)
		}
	}
	t.Log("/metrics, /healthz and /readyz answer with the documented metrics")
}
