package render

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func variablesCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{}
	c.Name, c.Labels = "eu-1", map[string]string{"tier": "gold", "example.com/rack": "r-7", "empty": ""}
	c.Annotations = map[string]string{"team": "shop"}
	c.Spec.Region, c.Spec.Zones = "eu-west-1", []string{"a", "b"}
	return c
}

func TestExpand(t *testing.T) {
	f := factsOf(variablesCluster())
	for _, tc := range []struct{ reason, text, want, err string }{
		{"a fact", "in ${armada:cluster.region}!", "in eu-west-1!", ""},
		{"several", "${armada:cluster.name}/${armada:cluster.name}", "eu-1/eu-1", ""},
		{"all zones", "${armada:cluster.zones}", "a,b", ""},
		{"a label", "${armada:cluster.labels.tier}", "gold", ""},
		{"a label with dots and a slash", "${armada:cluster.labels.example.com/rack}", "r-7", ""},
		{"a label that is set and empty", "[${armada:cluster.labels.empty:-x}]", "[]", ""},
		{"an annotation", "${armada:cluster.annotations.team}", "shop", ""},
		{"a default", "${armada:cluster.labels.none:-bronze}", "bronze", ""},
		{"an empty default", "[${armada:cluster.provider:-}]", "[]", ""},
		{"a default that is not needed", "${armada:cluster.region:-x}", "eu-west-1", ""},
		{"the escaped form", "$${armada:cluster.region} ${armada:cluster.name}", "${armada:cluster.region} eu-1", ""},
		{"variables of others", "${HOME} $(POD) {{ .Values }} ${armada", "${HOME} $(POD) {{ .Values }} ${armada", ""},
		{"a value is not expanded again", "${armada:cluster.labels.none:-$}{armada:cluster.name}", "${armada:cluster.name}", ""},
		{"not set", "${armada:cluster.provider}", "", `cluster.provider is not set on the cluster "eu-1"`},
		{"one zone where there are two", "${armada:cluster.zone}", "", "cluster.zone is not set"},
		{"a label that is not there", "${armada:cluster.labels.none}", "", "cluster.labels.none is not set"},
		{"unknown", "${armada:cluster.regoin}", "", `there is no variable "cluster.regoin"`},
		{"unknown with a default", "${armada:region:-x}", "", `there is no variable "region"`},
		{"a label without a key", "${armada:cluster.labels.}", "", "there is no variable"},
		{"not closed", "${armada:cluster.name", "", "not closed"},
		{"over lines", "${armada:cluster\n.name}", "", "not closed"},
	} {
		got, err := f.expand(tc.text)
		if tc.err == "" && (err != nil || got != tc.want) || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %q gives %q, %v; want %q %q", tc.reason, tc.text, got, err, tc.want, tc.err)
		}
	}
}

func variablesObject(kind string, content map[string]any) Object {
	object := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "x", "namespace": "shop"}}
	for key, value := range content {
		object[key] = value
	}
	u := &unstructured.Unstructured{Object: object}
	return Object{Unstructured: u, Origin: Origin{Kind: OriginFile, Source: "x.yaml:1"}, ContentDigest: Digest(u), Variables: true}
}

func TestVariablesOfAnObject(t *testing.T) {
	data := map[string]any{
		"region": "${armada:cluster.region}", "plain": "text", "${armada:cluster.name}": "a key stays",
		"list": []any{"a", "${armada:cluster.name}", int64(1)}, "number": int64(5),
	}
	o := variablesObject("ConfigMap", map[string]any{"data": data})
	before := runtime.DeepCopyJSON(o.Object)
	overrides, _ := NewRenderer(Options{}).Compile()
	for range 2 { // the second time it is remembered
		got, err := overrides.For(o, variablesCluster(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"region": "eu-west-1", "plain": "text", "${armada:cluster.name}": "a key stays",
			"list": []any{"a", "eu-1", int64(1)}, "number": int64(5),
		}
		if diff := cmp.Diff(want, got.Object.Object["data"]); diff != "" {
			t.Error(diff)
		}
		by := Origin{Kind: OriginVariable, Source: "x.yaml:1"}
		if got.OriginOf("/data/region") != by || got.OriginOf("/data/list/1") != by || got.OriginOf("/data/plain") != o.Origin {
			t.Errorf("origins: %v", got.Fields)
		}
	}
	if diff := cmp.Diff(before, o.Object); diff != "" {
		t.Errorf("the object itself was changed:\n%s", diff)
	}
	other := variablesCluster()
	other.Spec.Region = "us-east-1"
	got, err := overrides.For(o, other, nil)
	if data, _ := got.Object.Object["data"].(map[string]any); err != nil || data["region"] != "us-east-1" {
		t.Errorf("another cluster gets %v, %v", got.Object, err)
	}
	o.Variables = false
	got, err = overrides.For(o, other, nil)
	if data, _ := got.Object.Object["data"].(map[string]any); err != nil || data["region"] != "${armada:cluster.region}" {
		t.Errorf("without being asked for: %v, %v", got.Object, err)
	}
}

func TestVariablesThatFailHoldTheObject(t *testing.T) {
	overrides, _ := NewRenderer(Options{}).Compile()
	for _, tc := range []struct {
		reason  string
		kind    string
		content map[string]any
		want    string
	}{
		{"unknown", "ConfigMap", map[string]any{"data": map[string]any{"a": "${armada:nope}"}}, `x.yaml:1: /data/a: there is no variable "nope"`},
		{"in the name", "ConfigMap", map[string]any{"metadata": map[string]any{"name": "x-${armada:cluster.name}"}}, "the same kind, name and namespace"},
		{"in the namespace", "ConfigMap", map[string]any{"metadata": map[string]any{"name": "x", "namespace": "${armada:cluster.name}"}}, "the same kind, name and namespace"},
		{"in a Secret", "Secret", map[string]any{"stringData": map[string]any{"a": "${armada:canary}"}}, "/stringData/a has a variable that is unknown"},
	} {
		_, err := overrides.For(variablesObject(tc.kind, tc.content), variablesCluster(), nil)
		var failed *OverrideError
		if !errors.As(err, &failed) || failed.ID != v1alpha1.FindingVariableFailed || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error %q has a value of a Secret", tc.reason, err)
		}
	}
}

func TestHasVariables(t *testing.T) {
	for text, want := range map[string]bool{"${armada:x}": true, "$${armada:x}": true, "${x}": false, "": false} {
		if got := HasVariables(map[string]any{"a": []any{int64(1), map[string]any{"b": text}}}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"${armada:cluster.name}", "$${armada:x}", "${armada:cluster.labels.a:-b}", "${armada:"} {
		f.Add(seed)
	}
	facts := factsOf(variablesCluster())
	f.Fuzz(func(t *testing.T, text string) {
		got, err := facts.expand(text)
		again, errAgain := facts.expand(text)
		if got != again || (err == nil) != (errAgain == nil) {
			t.Errorf("%q gives %q and then %q", text, got, again)
		}
		if !strings.Contains(text, variableOpen) && got != text {
			t.Errorf("%q became %q", text, got)
		}
		escaped := strings.ReplaceAll(text, variableOpen, variableEscaped)
		if back, err := facts.expand(escaped); err != nil || !strings.Contains(text, variableEscaped) && back != text {
			t.Errorf("%q escaped as %q gives %q, %v", text, escaped, back, err)
		}
	})
}
