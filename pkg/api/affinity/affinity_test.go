package affinity_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func cluster(name, provider, region string, zones []string, labels map[string]string) *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       v1alpha1.ClusterSpec{Provider: provider, Region: region, Zones: zones},
	}
}

func field(key string, op corev1.NodeSelectorOperator, values ...string) *v1alpha1.FieldSelector {
	return &v1alpha1.FieldSelector{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

func labelled(key string, op metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
}

func TestMatcher(t *testing.T) {
	eu := cluster("eu-1", "aws", "eu-west-1", []string{"a", "b"}, map[string]string{"tier": "gold"})
	bare := cluster("bare", "", "", nil, nil)
	cases := []struct {
		reason   string
		affinity *v1alpha1.ClusterAffinity
		cluster  *v1alpha1.Cluster
		want     string // Explain; empty: matches
	}{
		{"nil selects every cluster", nil, bare, ""},
		{"the empty affinity selects every cluster", &v1alpha1.ClusterAffinity{}, bare, ""},
		{"a cluster that is named matches", &v1alpha1.ClusterAffinity{ClusterNames: []string{"eu-1"}}, eu, ""},
		{"a cluster that is not named does not", &v1alpha1.ClusterAffinity{ClusterNames: []string{"us-1", "ap-1"}}, eu, "not among clusterNames (ap-1, us-1)"},
		{"exclude beats clusterNames", &v1alpha1.ClusterAffinity{ClusterNames: []string{"eu-1"}, Exclude: []string{"eu-1"}}, eu, "excluded by name"},
		{"all present parts must match", &v1alpha1.ClusterAffinity{ClusterNames: []string{"eu-1"}, LabelSelector: labelled("tier", metav1.LabelSelectorOpIn, "silver")}, eu, "tier=gold not in (silver)"},
		{"an absent label is said to be absent", &v1alpha1.ClusterAffinity{LabelSelector: labelled("tier", metav1.LabelSelectorOpIn, "silver", "gold")}, bare, "no label tier, want in (gold, silver)"},
		{"NotIn holds for an absent label", &v1alpha1.ClusterAffinity{LabelSelector: labelled("tier", metav1.LabelSelectorOpNotIn, "gold")}, bare, ""},
		{"NotIn rejects", &v1alpha1.ClusterAffinity{LabelSelector: labelled("tier", metav1.LabelSelectorOpNotIn, "gold")}, eu, "tier=gold in (gold), want not in"},
		{"Exists rejects", &v1alpha1.ClusterAffinity{LabelSelector: labelled("tier", metav1.LabelSelectorOpExists)}, bare, "no label tier"},
		{"DoesNotExist rejects", &v1alpha1.ClusterAffinity{LabelSelector: labelled("tier", metav1.LabelSelectorOpDoesNotExist)}, eu, "tier=gold present, want absent"},
		{"an empty label selector restricts nothing", &v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{}}, bare, ""},
		{"region matches", &v1alpha1.ClusterAffinity{FieldSelector: field("region", corev1.NodeSelectorOpIn, "eu-west-1")}, eu, ""},
		{"provider rejects", &v1alpha1.ClusterAffinity{FieldSelector: field("provider", corev1.NodeSelectorOpIn, "gcp")}, eu, "provider=aws not in (gcp)"},
		{"an unset field is not in anything", &v1alpha1.ClusterAffinity{FieldSelector: field("provider", corev1.NodeSelectorOpIn, "gcp")}, bare, "no provider, want in (gcp)"},
		{"an unset field passes NotIn", &v1alpha1.ClusterAffinity{FieldSelector: field("provider", corev1.NodeSelectorOpNotIn, "gcp")}, bare, ""},
		{"several zones: In is any overlap", &v1alpha1.ClusterAffinity{FieldSelector: field("zone", corev1.NodeSelectorOpIn, "b", "c")}, eu, ""},
		{"several zones: NotIn is none", &v1alpha1.ClusterAffinity{FieldSelector: field("zone", corev1.NodeSelectorOpNotIn, "b", "c")}, eu, "zone=a,b in (b, c), want not in"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			m, err := affinity.Compile(tc.affinity)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Explain(tc.cluster); got != tc.want {
				t.Errorf("Explain = %q, want %q", got, tc.want)
			}
			if got := m.Match(tc.cluster); got != (tc.want == "") {
				t.Errorf("Match = %v, but Explain = %q", got, tc.want)
			}
		})
	}
}

func TestDeprecatedZoneIsTheOnlyZone(t *testing.T) {
	c := cluster("eu-1", "", "", nil, nil)
	c.Spec.Zone = "a"
	m, err := affinity.Compile(&v1alpha1.ClusterAffinity{FieldSelector: field("zone", corev1.NodeSelectorOpIn, "a")})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Match(c) {
		t.Errorf("spec.zone is not read: %s", m.Explain(c))
	}
}

func TestCompileRefuses(t *testing.T) {
	cases := []struct {
		reason   string
		affinity v1alpha1.ClusterAffinity
		want     string
	}{
		{"a field that clusters do not have", v1alpha1.ClusterAffinity{FieldSelector: field("country", corev1.NodeSelectorOpIn, "x")}, `fieldSelector.matchExpressions[0]: unknown key "country", want provider, region or zone`},
		{"an operator that fields do not take", v1alpha1.ClusterAffinity{FieldSelector: field("zone", corev1.NodeSelectorOpExists)}, `fieldSelector.matchExpressions[0]: unknown operator "Exists", want In or NotIn`},
		{"an expression without values", v1alpha1.ClusterAffinity{FieldSelector: field("zone", corev1.NodeSelectorOpIn)}, `fieldSelector.matchExpressions[0]: operator "In" of key "zone" needs values`},
		{"a label operator that Kubernetes does not know", v1alpha1.ClusterAffinity{LabelSelector: labelled("a", "Near", "b")}, `labelSelector: "Near" is not a valid label selector operator`},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			_, err := affinity.Compile(&tc.affinity)
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

func TestSelectorLevels(t *testing.T) {
	web := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	role := v1alpha1.ObjectReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "reader"}
	labels := map[string]string{"app": "web"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	other := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	deployment := func(s v1alpha1.ResourceSelector) v1alpha1.ResourceSelector {
		s.APIVersion, s.Kind = "apps/v1", "Deployment"
		return s
	}
	cases := []struct {
		reason    string
		selector  v1alpha1.ResourceSelector
		namespace string
		object    v1alpha1.ObjectReference
		want      affinity.MatchLevel
	}{
		{"the kind alone", deployment(v1alpha1.ResourceSelector{}), "", web, affinity.LevelAll},
		{"labels", deployment(v1alpha1.ResourceSelector{LabelSelector: selector}), "", web, affinity.LevelLabels},
		{"labels that differ", deployment(v1alpha1.ResourceSelector{LabelSelector: other}), "", web, affinity.LevelNone},
		{"an empty label selector is still a label selector", deployment(v1alpha1.ResourceSelector{LabelSelector: &metav1.LabelSelector{}}), "", web, affinity.LevelLabels},
		{"the name, and labels are not looked at", deployment(v1alpha1.ResourceSelector{Name: "web", LabelSelector: other}), "", web, affinity.LevelName},
		{"another name", deployment(v1alpha1.ResourceSelector{Name: "db"}), "", web, affinity.LevelNone},
		{"another namespace", deployment(v1alpha1.ResourceSelector{Namespace: "bank"}), "", web, affinity.LevelNone},
		{"another version of the API", v1alpha1.ResourceSelector{APIVersion: "apps/v1beta1", Kind: "Deployment"}, "", web, affinity.LevelNone},
		{"a namespaced policy reaches its namespace", deployment(v1alpha1.ResourceSelector{}), "shop", web, affinity.LevelAll},
		{"and no other", deployment(v1alpha1.ResourceSelector{}), "bank", web, affinity.LevelNone},
		{"even where its selector names that", deployment(v1alpha1.ResourceSelector{Namespace: "shop"}), "bank", web, affinity.LevelNone},
		{"a cluster-wide policy reaches cluster-scoped objects", v1alpha1.ResourceSelector{APIVersion: role.APIVersion, Kind: role.Kind}, "", role, affinity.LevelAll},
		{"a namespaced one does not", v1alpha1.ResourceSelector{APIVersion: role.APIVersion, Kind: role.Kind}, "shop", role, affinity.LevelNone},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			s, err := affinity.CompileSelector(tc.selector, tc.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Match(tc.object, labels); got != tc.want {
				t.Errorf("level %v, want %v", got, tc.want)
			}
		})
	}
}

// TestIndexAnswersWhatSelectorsDo compares the index with the plain loop over all policies.
func TestIndexAnswersWhatSelectorsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(label string, values ...string) string { return rapid.SampledFrom(values).Draw(t, label) }
		var index affinity.Index
		var policies []affinity.Selectors
		for id := range rapid.IntRange(0, 12).Draw(t, "policies") {
			var selectors []v1alpha1.ResourceSelector
			for range rapid.IntRange(1, 3).Draw(t, "selectors") {
				s := v1alpha1.ResourceSelector{
					APIVersion: "v1", Kind: pick("kind", "ConfigMap", "Secret"),
					Namespace: pick("ns", "", "a", "b"), Name: pick("name", "", "x", "y"),
				}
				switch pick("labels", "none", "empty", "equal", "set", "negative") {
				case "empty":
					s.LabelSelector = &metav1.LabelSelector{}
				case "equal":
					s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"k": pick("v", "1", "2"), "l": "1"}}
				case "set":
					s.LabelSelector = labelled("k", metav1.LabelSelectorOpIn, "1", "2")
				case "negative":
					s.LabelSelector = labelled("k", metav1.LabelSelectorOpNotIn, "1")
				}
				selectors = append(selectors, s)
			}
			compiled, err := affinity.CompileSelectors(selectors, pick("policyNamespace", "", "a", "b"))
			if err != nil {
				t.Fatal(err)
			}
			policies = append(policies, compiled)
			index.Add(id, compiled)
		}
		ref := v1alpha1.ObjectReference{
			APIVersion: "v1", Kind: pick("objectKind", "ConfigMap", "Secret"),
			Namespace: pick("objectNs", "", "a", "b"), Name: pick("objectName", "x", "y"),
		}
		have := map[string]string{}
		for _, k := range []string{"k", "l"} {
			if v := pick(k, "", "1", "2"); v != "" {
				have[k] = v
			}
		}
		var want []affinity.Hit
		for id, p := range policies {
			if level := p.Match(ref, have); level != affinity.LevelNone {
				want = append(want, affinity.Hit{ID: id, Level: level})
			}
		}
		if diff := cmp.Diff(want, index.Match(ref, have)); diff != "" {
			t.Fatalf("index differs from the loop (-loop +index):\n%s", diff)
		}
	})
}

func BenchmarkIndexMatch1000Policies(b *testing.B) {
	var index affinity.Index
	for id := range 1000 {
		s := v1alpha1.ResourceSelector{APIVersion: "apps/v1", Kind: "Deployment"}
		if id%2 == 0 {
			s.Name = fmt.Sprintf("web-%d", id)
		} else {
			s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("web-%d", id)}}
		}
		compiled, err := affinity.CompileSelectors([]v1alpha1.ResourceSelector{s}, "shop")
		if err != nil {
			b.Fatal(err)
		}
		index.Add(id, compiled)
	}
	ref := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web-10"}
	have := map[string]string{"app": "web-11", "tier": "gold"}
	for b.Loop() {
		if hits := index.Match(ref, have); len(hits) != 2 {
			b.Fatal(hits)
		}
	}
}
