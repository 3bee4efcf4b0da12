package health_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// expectation is the first document of a case.
type expectation struct {
	Reason  string          `json:"reason"`
	Health  v1alpha1.Health `json:"health"`
	Message string          `json:"message"`
}

// Each file testdata/<group>/<Kind>/<case>.yaml is an object as an API server sends it, after what is to
// be said of it. A folder has a healthy object and, under the name new, one as it is right after it was
// made, which must not be healthy; of kinds without a rule of their own nothing is known then.
func TestCases(t *testing.T) {
	var rules health.Rules
	seen := map[string]map[string]v1alpha1.Health{}
	err := filepath.WalkDir("testdata", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".yaml") {
			return err
		}
		name, _ := strings.CutSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/"), ".yaml")
		parts := strings.Split(name, "/")
		t.Run(name, func(t *testing.T) {
			want, object := readCase(t, file)
			gk := object.GroupVersionKind().GroupKind()
			if group := strings.TrimPrefix(parts[0], "core"); gk != (schema.GroupKind{Group: group, Kind: parts[1]}) {
				t.Fatalf("the folder is %s/%s and the object %s", parts[0], parts[1], gk)
			}
			rule := rules.For(gk, true)
			if rule == nil {
				t.Fatalf("%s has no rule", gk)
			}
			before := object.DeepCopy()
			got := rule(object)
			if got.Health != want.Health || got.Message != want.Message || got.Failure != "" {
				t.Errorf("%s\n got %s %q\nwant %s %q\n(%s)", want.Reason, got.Health, got.Message, want.Health, want.Message, got.Failure)
			}
			if !equalObjects(before, object) {
				t.Error("the rule changed the object")
			}
		})
		folder := parts[0] + "/" + parts[1]
		if seen[folder] == nil {
			seen[folder] = map[string]v1alpha1.Health{}
		}
		want, _ := readCase(t, file)
		seen[folder][parts[2]] = want.Health
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, cases := range seen {
		has := map[v1alpha1.Health]bool{}
		for _, h := range cases {
			has[h] = true
		}
		if h, there := cases["new"]; folder != "example.org/Database" && (!there || h == v1alpha1.HealthHealthy) {
			t.Errorf("%s: there must be a case new, and it must not be healthy", folder)
		}
		if !has[v1alpha1.HealthHealthy] || len(has) < 2 {
			t.Errorf("%s: there must be a healthy case and another", folder)
		}
	}
}

func equalObjects(a, b *unstructured.Unstructured) bool {
	x, err1 := a.MarshalJSON()
	y, err2 := b.MarshalJSON()
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func readCase(t *testing.T, file string) (expectation, *unstructured.Unstructured) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, found := strings.Cut(string(data), "\n---\n")
	if !found {
		t.Fatalf("%s has no two documents", file)
	}
	var want expectation
	if err := yaml.UnmarshalStrict([]byte(head), &want); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if want.Reason == "" {
		t.Errorf("%s gives no reason", file)
	}
	return want, parse(t, body)
}

// parse reads an object with the types that an API server's answer has.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// What a plan waits for has a rule, and what is watched in full is worth it.
func TestWhichKindsAreJudged(t *testing.T) {
	var rules *health.Rules
	for _, gk := range plan.JudgedKinds() {
		if rules.For(gk, true) == nil {
			t.Errorf("a plan waits for the health of %s, which has no rule", gk)
		}
	}
	for _, c := range []struct {
		group, kind string
		hasStatus   bool
		reason      string
	}{
		{"", "ConfigMap", false, "is healthy by existing"},
		{"", "Service", true, "works without a load balancer's address"},
		{"", "Namespace", true, "is there when it is there"},
		{"networking.k8s.io", "Ingress", true, "many controllers never write an address"},
		{"batch", "CronJob", true, "a fix must not wait for the next run"},
		{"rbac.authorization.k8s.io", "Role", false, "has no state"},
		{"storage.k8s.io", "VolumeAttachment", true, "is Kubernetes' own"},
		{"gateway.networking.k8s.io", "ReferenceGrant", false, "has no status"},
		{"example.org", "Settings", false, "nobody reports on it"},
		{"argoproj.io", "AppProject", true, "is configuration"},
		{"aws.upbound.io", "ProviderConfig", true, "is configuration"},
		{"keda.sh", "TriggerAuthentication", true, "is configuration"},
	} {
		if rules.For(schema.GroupKind{Group: c.group, Kind: c.kind}, c.hasStatus) != nil {
			t.Errorf("%s.%s is judged, though it %s", c.kind, c.group, c.reason)
		}
	}
}
