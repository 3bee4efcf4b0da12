package v1alpha1_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestKarmadaDocuments reads documents of the shapes that Karmada documents, as they come out of its
// API server, and the same documents in our group and our spelling: the values must be equal.
func TestKarmadaDocuments(t *testing.T) {
	theirs := readAll(t, "testdata/karmada.yaml")
	ours := readAll(t, "testdata/ours.yaml")
	if len(theirs) != len(ours) || len(ours) == 0 {
		t.Fatalf("%d documents of Karmada, %d of ours", len(theirs), len(ours))
	}
	options := cmp.Options{
		cmpopts.IgnoreFields(v1alpha1.PropagationPolicy{}, "Position", "Lines"),
		cmpopts.IgnoreFields(v1alpha1.OverridePolicy{}, "Position", "Lines"),
		cmpopts.IgnoreFields(v1alpha1.Cluster{}, "Position"),
	}
	for i := range ours {
		if diff := cmp.Diff(ours[i], theirs[i], options); diff != "" {
			t.Errorf("document %d (-ours +Karmada's):\n%s", i+1, diff)
		}
	}
}

// readAll reads the documents of a file of ours. All that may be said about them is said in remarks, and
// that state preservation has no effect yet.
func readAll(t *testing.T, file string) []any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	docs, problems := v1alpha1.DecodeStream(file, data)
	var values []any
	for _, d := range docs {
		value, found := d.Typed()
		problems = append(problems, found...)
		values = append(values, value)
	}
	for _, p := range problems {
		if p.Severity != v1alpha1.SeverityInfo && p.Field != "spec.failover.application.statePreservation" {
			t.Error(p)
		}
	}
	return values
}

// TestLegacyRuleKeepsItsLines looks up the lines of a rule that was written in the deprecated form.
func TestLegacyRuleKeepsItsLines(t *testing.T) {
	const text = `apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: a, namespace: b}
spec:
  overriders:
    plaintext:
    - path: /spec/replicas
      operator: replace
      value: 1
  targetCluster: {clusterNames: [x]}
`
	docs, _ := v1alpha1.DecodeStream("o.yaml", []byte(text))
	value, problems := docs[0].Typed()
	policy, ok := value.(*v1alpha1.OverridePolicy)
	if !ok {
		t.Fatal(problems)
	}
	for path, want := range map[string]int{
		"spec.overrideRules[0]":                         5,
		"spec.overrideRules[0].targetCluster":           10,
		"spec.overrideRules[0].overriders.plaintext[0]": 7,
	} {
		if got := policy.Lines[path]; got != want {
			t.Errorf("%s is on line %d, want %d", path, got, want)
		}
	}
	if policy.Position.String() != "o.yaml:1" || len(policy.Spec.OverrideRules) != 1 || policy.Spec.Overriders != nil {
		t.Errorf("%+v", policy)
	}
}

// TestNamespaces states where a namespace comes from: a policy without one would be cluster-wide.
func TestNamespaces(t *testing.T) {
	cases := []struct {
		reason, kind, own, source, want string
	}{
		{"its own goes first", "PropagationPolicy", "a", "b", "a"},
		{"then the source's", "PropagationPolicy", "", "b", "b"},
		{"then default", "PropagationPolicy", "", "", "default"},
		{"an override policy has one too", "OverridePolicy", "", "b", "b"},
		{"a cluster-wide policy has none", "ClusterPropagationPolicy", "", "b", ""},
		{"nor has a cluster-wide override policy", "ClusterOverridePolicy", "", "b", ""},
	}
	for _, tc := range cases {
		text := "apiVersion: policy.karmada.io/v1alpha1\nkind: " + tc.kind + "\nmetadata: {name: x, namespace: '" + tc.own + "'}\n" +
			"spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}\n"
		docs, problems := v1alpha1.DecodeStream("n.yaml", []byte(text))
		if len(docs) != 1 {
			t.Fatal(problems)
		}
		docs[0].DefaultNamespace(tc.source)
		value, problems := docs[0].Typed()
		var got string
		switch v := value.(type) {
		case *v1alpha1.PropagationPolicy:
			got = v.Namespace
		case *v1alpha1.OverridePolicy:
			got = v.Namespace
		default:
			t.Fatal(problems)
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
		}
	}
}

// TestStatusOfPolicies accepts the status that an exported object of Karmada carries, and nothing of
// the kind in a document of ours.
func TestStatusOfPolicies(t *testing.T) {
	const text = `apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: x, namespace: shop}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
status: {anything: [at, all]}
`
	for _, tc := range []struct {
		text string
		ok   bool
	}{{text, true}, {strings.Replace(text, "policy.karmada.io", "armada-sync.io", 1), false}} {
		docs, _ := v1alpha1.DecodeStream("s.yaml", []byte(tc.text))
		if value, problems := docs[0].Typed(); (value != nil) != tc.ok {
			t.Error(problems)
		}
	}
}
