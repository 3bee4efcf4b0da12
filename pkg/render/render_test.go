package render_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/shop/web:1.0
        args: [--port=80]
        env: [{name: REGION, value: none}]
`

// policy makes an OverridePolicy in namespace shop with one rule for a cluster affinity.
func policy(name, affinity, overriders string) string {
	return fmt.Sprintf(`apiVersion: armada-sync.io/v1alpha1
kind: OverridePolicy
metadata: {name: %s, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  overrideRules:
  - targetCluster: %s
    overriders: %s
`, name, affinity, overriders)
}

func compile(t testing.TB, texts ...string) *render.Overrides {
	t.Helper()
	overrides, findings := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{
		Source: "shop", Policies: readPolicies(t, strings.Join(texts, "---\n")),
	})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	return overrides
}

func TestWithoutOverridesTheDigestIsThatOfTheObject(t *testing.T) {
	obj := readObject(t, deployment)
	rendered, err := compile(t).For(obj, readCluster(t, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	if rendered.Digest != render.Digest(obj.Unstructured) {
		t.Errorf("digest %s, want %s", rendered.Digest, render.Digest(obj.Unstructured))
	}
	if rendered.Object != obj.Unstructured {
		t.Error("an object that stays as it is was copied")
	}
	if rendered.Base != obj.Origin {
		t.Errorf("base origin %v, want %v", rendered.Base, obj.Origin)
	}
}

func TestDigestForm(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"b": "<&>", "a": int64(1)}}
	// printf '{"a":1,"b":"<&>"}' | sha256sum
	const want = "v1:58423312859781173daa50275e38277faf759caf2bc6fa307dd02d55f48cf012"
	if got := render.Digest(u); got != want {
		t.Errorf("digest %q, want %q", got, want)
	}
}

// TestOrderOfInputDoesNotMatter draws policies, shuffles them and compares everything that is said.
func TestOrderOfInputDoesNotMatter(t *testing.T) {
	obj := readObject(t, deployment)
	affinities := []string{"{}", "{clusterNames: [eu-1]}", "{clusterNames: [us-1]}", "{exclude: [us-1]}"}
	entries := []string{
		`{labelsOverrider: [{operator: add, value: {by: "TEXT"}}]}`,
		`{plaintext: [{path: /spec/replicas, operator: replace, value: NUMBER}]}`,
		`{imageOverrider: [{component: Tag, operator: add, value: "-TEXT"}]}`,
		`{argsOverrider: [{containerName: web, operator: add, value: ["TEXT"]}]}`,
		`{strategicMerge: [{spec: {template: {spec: {containers: [{name: web, env: [{name: "XNUMBER", value: "TEXT"}]}]}}}}]}`,
		`{jsonPatch: [{path: /spec/template/spec/containers/0/env/0, op: add, value: {name: REGION, value: "TEXT"}}]}`,
		`{jsonPatch: [{path: /metadata/labels/by, op: remove, ifMissing: skip}]}`,
	}
	rapid.Check(t, func(rt *rapid.T) {
		var policies []v1alpha1.OverridePolicy
		for i := range rapid.IntRange(0, 6).Draw(rt, "policies") {
			entry := strings.NewReplacer("TEXT", fmt.Sprintf("v%d", i), "NUMBER", fmt.Sprint(i)).Replace(rapid.SampledFrom(entries).Draw(rt, "entry"))
			text := policy(fmt.Sprintf("p%d", rapid.IntRange(0, 3).Draw(rt, "name")), rapid.SampledFrom(affinities).Draw(rt, "affinity"), entry)
			read := readPolicies(t, text)
			read[0].Position.File = fmt.Sprintf("p%d.yaml", i)
			policies = append(policies, read...)
		}
		shuffled := rapid.Permutation(policies).Draw(rt, "shuffled")
		renderer := render.NewRenderer(render.Options{})
		straight, _ := renderer.Compile(render.SourcePolicies{Source: "shop", Policies: policies})
		permuted, _ := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{Source: "shop", Policies: shuffled})
		for _, name := range []string{"eu-1", "us-1"} {
			cluster := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
			first, err1 := straight.For(obj, cluster, nil)
			again, _ := straight.For(obj, cluster, nil)
			second, err2 := permuted.For(obj, cluster, nil)
			if diff := cmp.Diff(first, second); diff != "" || fmt.Sprint(err1) != fmt.Sprint(err2) {
				rt.Fatalf("errors %v and %v, difference by order:\n%s", err1, err2, diff)
			}
			if diff := cmp.Diff(first, again); diff != "" {
				rt.Fatalf("difference the second time:\n%s", diff)
			}
		}
	})
}

func TestClustersUnderTheSameRulesShareTheManifest(t *testing.T) {
	overrides := compile(t, policy("eu", "{clusterNames: [eu-1, eu-2]}", `{labelsOverrider: [{operator: add, value: {region: eu}}]}`))
	obj := readObject(t, deployment)
	var rendered []render.Rendered
	for _, name := range []string{"eu-1", "eu-2", "us-1"} {
		r, err := overrides.For(obj, &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		rendered = append(rendered, r)
	}
	if rendered[0].Object != rendered[1].Object {
		t.Error("two clusters under the same rules have two copies")
	}
	if rendered[2].Object != obj.Unstructured {
		t.Error("a cluster that no rule is for does not have the base object")
	}
}

func TestAnErrorSaysWhichRulesMatched(t *testing.T) {
	overrides := compile(t, policy("bad", "{}", `{plaintext: [{path: /spec/nothing, operator: remove}]}`))
	rendered, err := overrides.For(readObject(t, deployment), readCluster(t, ""), nil)
	if err == nil || rendered.Object != nil {
		t.Fatalf("object %v, error %v, want an error and no object", rendered.Object, err)
	}
	if len(rendered.Matched) != 1 || rendered.Matched[0].Policy != "bad" {
		t.Errorf("matched %v, want the rule of policy bad", rendered.Matched)
	}
}

func TestEffects(t *testing.T) {
	overrides := compile(t,
		policy("everywhere", "{}", `{labelsOverrider: [{operator: add, value: {a: b}}, {operator: remove, value: {gone: ""}}]}`),
		policy("nowhere", "{clusterNames: [moon]}", `{labelsOverrider: [{operator: add, value: {c: d}}]}`),
		policy("same", "{}", `{plaintext: [{path: /spec/replicas, operator: replace, value: 3}]}`),
	)
	obj := readObject(t, deployment)
	var effects render.Effects
	for _, name := range []string{"eu-1", "us-1"} {
		r, err := overrides.For(obj, &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		effects.Add(r)
	}
	var got []string
	for _, f := range effects.Findings(overrides, overrides) {
		got = append(got, fmt.Sprintf("%s %s %s %s", f.Severity, f.ID, f.Source, f.Message))
	}
	want := []string{
		"caution override-no-match policies.yaml:16 OverridePolicy shop/nowhere: it matches no object on any cluster",
		`info override-no-op policies.yaml:25 OverridePolicy shop/same: rule 1: the rule changes nothing`,
		`info override-no-op policies.yaml:8 OverridePolicy shop/everywhere: rule 1: there is no label "gone"`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestCompileReportsAnInvalidPolicyAndGoesOn(t *testing.T) {
	good := readPolicies(t, policy("good", "{}", `{labelsOverrider: [{operator: add, value: {a: b}}]}`))
	bad := good[0]
	bad.Name = "bad"
	bad.Spec.OverrideRules = []v1alpha1.RuleWithCluster{{TargetCluster: &v1alpha1.ClusterAffinity{
		LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}},
	}}}
	overrides, findings := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{
		Source: "shop", Policies: append(good, bad),
	})
	if len(findings) != 1 || findings[0].ID != "invalid-policy" || findings[0].Severity != v1alpha1.SeverityBlocker {
		t.Fatalf("findings %v, want one invalid-policy", findings)
	}
	if n := len(overrides.Rules()); n != 1 {
		t.Errorf("%d rules, want that of the good policy", n)
	}
}

func TestWithNamespace(t *testing.T) {
	obj := readObject(t, strings.Replace(deployment, ", namespace: shop", "", 1))
	moved := obj.WithNamespace("bank")
	if moved.GetNamespace() != "bank" || obj.GetNamespace() != "" {
		t.Errorf("namespaces %q and %q, want bank for the copy alone", moved.GetNamespace(), obj.GetNamespace())
	}
	if moved.ContentDigest == obj.ContentDigest {
		t.Error("another content has the same content digest")
	}
}

func TestMaskSecret(t *testing.T) {
	obj := readObject(t, `apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: shop
  annotations: {kubectl.kubernetes.io/last-applied-configuration: canary}
data: {password: canary}
stringData: {user: canary}
`)
	masked := render.MaskSecret(obj.Unstructured)
	if text := fmt.Sprint(masked.Object); strings.Contains(text, "canary") || !strings.Contains(text, "password") || !strings.Contains(text, "user") {
		t.Errorf("masked to %s, want the keys without the values", text)
	}
	if !strings.Contains(fmt.Sprint(obj.Object), "canary") {
		t.Error("the object itself was changed")
	}
}

// processTime is the processor time that this process has used: unlike the time on the wall it does
// not depend on what else the machine does.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestHostileOverridesAreBounded gives each a second of processor time.
func TestHostileOverridesAreBounded(t *testing.T) {
	var doubling strings.Builder
	for i := range 60 {
		fmt.Fprintf(&doubling, "{op: copy, from: /metadata/labels, path: /metadata/labels/l%d},", i)
	}
	cases := map[string]string{
		"copy into itself":      "{jsonPatch: [" + doubling.String() + "]}",
		"a path of many levels": `{plaintext: [{path: "` + strings.Repeat("/a", 5000) + `", operator: add, value: 1}]}`,
		"index 1e9":             `{plaintext: [{path: /spec/template/spec/containers/1000000000, operator: replace, value: 1}]}`,
		"a negative index":      `{plaintext: [{path: /spec/template/spec/containers/-1, operator: replace, value: 1}]}`,
		"move below itself":     `{jsonPatch: [{op: move, from: /spec, path: /spec/template/x}]}`,
		"wrong types in merge":  `{strategicMerge: [{spec: {template: {spec: {containers: {name: x}}}}}]}`,
		"a list of lists":       `{strategicMerge: [{spec: {template: {spec: {containers: [[1]]}}}}]}`,
		"patch directives":      `{strategicMerge: [{spec: {template: {spec: {containers: [{$patch: replace}, {$patch: delete}], $setElementOrder/containers: [1]}}}}]}`,
	}
	for name, entry := range cases {
		t.Run(name, func(t *testing.T) {
			documents, problems := v1alpha1.DecodeStream("policies.yaml", []byte(policy("hostile", "{}", entry)))
			if v1alpha1.Blocked(problems) {
				return
			}
			value, problems := documents[0].Typed()
			if v1alpha1.Blocked(problems) {
				return
			}
			overrides, _ := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{
				Policies: []v1alpha1.OverridePolicy{*value.(*v1alpha1.OverridePolicy)},
			})
			start := processTime(t)
			rendered, err := overrides.For(readObject(t, deployment), readCluster(t, ""), nil)
			if took := processTime(t) - start; took > time.Second {
				t.Errorf("took %s", took)
			}
			if err == nil && len(fmt.Sprint(rendered.Object.Object)) > 64<<10 {
				t.Errorf("the object grew to %d bytes", len(fmt.Sprint(rendered.Object.Object)))
			}
		})
	}
}

func FuzzParseImage(f *testing.F) {
	for _, s := range []string{
		"nginx", "nginx:1.2", "a.b:5000/c/d:e@sha256:" + strings.Repeat("a", 64), "localhost/x", "[::1]:80/x", "A/b", "a//b", "a:b/c", "x@sha256:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := render.ParseImage(s)
		theirs, theirError := reference.Parse(s)
		if _, named := theirs.(reference.Named); theirError == nil && !named {
			// A bare digest names no image.
			theirError = reference.ErrReferenceInvalidFormat
		}
		if err != nil {
			// The distribution project takes any first component for a host, so it reads Upper/name.
			if theirError == nil && s == strings.ToLower(s) && !strings.Contains(s, "_") && !strings.Contains(s, "[") && len(s) < 255 {
				t.Fatalf("%q is refused (%v), but is a reference", s, err)
			}
			return
		}
		if theirError != nil {
			t.Fatalf("%q is accepted, but is no reference: %v", s, theirError)
		}
		if parsed.String() != s {
			t.Fatalf("%q reads as %q", s, parsed)
		}
	})
}

func FuzzOverrides(f *testing.F) {
	f.Add(`{plaintext: [{path: /spec/replicas, operator: replace, value: 1}]}`)
	f.Add(`{strategicMerge: [{spec: {template: {spec: {containers: [{name: web, $patch: delete}]}}}}]}`)
	f.Add(`{imageOverrider: [{component: Tag, operator: add, value: x}], jsonPatch: [{op: move, from: /spec, path: /a, ifMissing: create}]}`)
	f.Add(`{expression: [{path: /spec/replicas, cel: "size(cluster)"}], fieldOverrider: [{fieldPath: /kind, yaml: [{subPath: /a, operator: add, value: 1}]}]}`)
	f.Fuzz(func(t *testing.T, entry string) {
		documents, _ := v1alpha1.DecodeStream("policies.yaml", []byte(policy("fuzz", "{}", entry)))
		obj := readObject(t, deployment)
		for _, d := range documents {
			value, _ := d.Typed()
			p, ok := value.(*v1alpha1.OverridePolicy)
			if !ok {
				continue
			}
			overrides, _ := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{Policies: []v1alpha1.OverridePolicy{*p}})
			rendered, err := overrides.For(obj, readCluster(t, ""), nil)
			if err != nil {
				continue
			}
			if rendered.Object.GetName() != "web" || rendered.Object.GetKind() != "Deployment" {
				t.Fatalf("the object became %s %s", rendered.Object.GetKind(), rendered.Object.GetName())
			}
			if rendered.Digest != render.Digest(rendered.Object) {
				t.Fatal("the digest is not that of the object")
			}
		}
	})
}
