package v1alpha1_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestDefaultsAreAsDocumented compares what SetDefaults fills in with what the comments of the fields
// promise ("Default 30s."), from which the reference is made.
func TestDefaultsAreAsDocumented(t *testing.T) {
	config := v1alpha1.ConfigSpec{}
	config.SetDefaults()
	source := v1alpha1.GitSourceSpec{Rollout: &v1alpha1.Rollout{}}
	source.SetDefaults()
	documented := documentedDefaults(t, "config.go", "gitsource.go")
	seen := 0
	for _, v := range []any{config.Health, config.Failover, config.Apply, config.Plan, source, *source.Limits, *source.Rollout} {
		value := reflect.ValueOf(v)
		for i := range value.NumField() {
			name := value.Type().Name() + "." + value.Type().Field(i).Name
			want, ok := documented[name]
			got := shown(value.Field(i))
			switch {
			case ok && got != want:
				t.Errorf("%s: the comment says %q, SetDefaults gives %q", name, want, got)
			case !ok && got != "" && name != "GitSourceSpec.Ref":
				t.Errorf("%s: SetDefaults gives %q, the comment says nothing", name, got)
			case ok:
				seen++
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d defaults were compared", seen)
	}
}

// documentedDefaults returns the defaults that comments of fields promise, by Type.Field.
func documentedDefaults(t *testing.T, files ...string) map[string]string {
	t.Helper()
	pattern := regexp.MustCompile(`(?s)Default ("[^"]*"|[^\s,;]+(?: MiB)?)[.,;\s]`)
	defaults := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range fields.Fields.List {
				match := pattern.FindStringSubmatch(field.Doc.Text() + " ")
				if match != nil && len(field.Names) == 1 {
					defaults[spec.Name.Name+"."+field.Names[0].Name] = strings.Trim(strings.TrimSuffix(match[1], "."), `"`)
				}
			}
			return true
		})
	}
	return defaults
}

// shown returns a default as comments write it.
func shown(value reflect.Value) string {
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return ""
		}
		value = value.Elem()
	}
	switch v := value.Interface().(type) {
	case metav1.Duration:
		s := v.Duration.String()
		if v.Duration%time.Minute == 0 {
			s = strings.TrimSuffix(s, "0s")
		}
		if v.Duration%time.Hour == 0 {
			s = strings.TrimSuffix(s, "0m")
		}
		if v.Duration == time.Minute {
			s = "60s"
		}
		return s
	case int64:
		if v > 0 && v%(1<<20) == 0 {
			return fmt.Sprintf("%d MiB", v>>20)
		}
		return fmt.Sprint(v)
	case int32:
		return fmt.Sprint(v)
	case bool:
		if v {
			return "true"
		}
	case string:
		return v
	case v1alpha1.DeletionPolicy:
		return string(v)
	}
	return ""
}

// TestPropagationDefaults states what an almost empty policy means.
func TestPropagationDefaults(t *testing.T) {
	spec := v1alpha1.PropagationSpec{
		Placement: v1alpha1.PlacementStrategy{
			ReplicaScheduling: &v1alpha1.ReplicaSchedulingStrategy{},
			SpreadConstraints: []v1alpha1.SpreadConstraint{{}, {SpreadByLabel: "tier", MinGroups: 2}},
		},
		Failover: &v1alpha1.FailoverBehavior{Application: &v1alpha1.ApplicationFailover{}, Cluster: &v1alpha1.ClusterFailover{}},
	}
	spec.SetDefaults()
	zero, one, no := int32(0), int64(1), false
	want := v1alpha1.PropagationSpec{
		Priority: &zero, ConflictResolution: v1alpha1.ConflictAbort, PreserveResourcesOnDeletion: &no,
		Placement: v1alpha1.PlacementStrategy{
			Failback: v1alpha1.FailbackManual, WhenUnsatisfiable: v1alpha1.DoNotSchedule,
			ReplicaScheduling: &v1alpha1.ReplicaSchedulingStrategy{ReplicaSchedulingType: v1alpha1.Divided, ReplicaDivisionPreference: v1alpha1.Weighted},
			SpreadConstraints: []v1alpha1.SpreadConstraint{{SpreadByField: v1alpha1.SpreadByCluster, MinGroups: 1}, {SpreadByLabel: "tier", MinGroups: 2}},
			Scorers:           []v1alpha1.Scorer{{Name: "Locality", Weight: &one}},
		},
		Failover: &v1alpha1.FailoverBehavior{
			Application: &v1alpha1.ApplicationFailover{PurgeMode: v1alpha1.PurgeGracefully},
			Cluster:     &v1alpha1.ClusterFailover{PurgeMode: v1alpha1.PurgeGracefully, Stateful: v1alpha1.StatefulNever},
		},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
	again := spec
	again.SetDefaults()
	if diff := cmp.Diff(spec, again); diff != "" {
		t.Errorf("defaults of defaults: %s", diff)
	}
	var none *v1alpha1.ReplicaSchedulingStrategy
	if none.Type() != v1alpha1.Duplicated {
		t.Error("without replicaScheduling a workload is duplicated")
	}
}

// TestDefaultsAreValid reads back what SetDefaults gives, as a user would write it.
func TestDefaultsAreValid(t *testing.T) {
	config := v1alpha1.Config{}
	config.Spec.SetDefaults()
	source := v1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.GitSourceSpec{URL: "https://git.example.com/a.git"}}
	source.Spec.SetDefaults()
	config.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindConfig}
	source.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindGitSource}
	for _, v := range []any{config, source} {
		docs, problems := v1alpha1.DecodeStream("d.json", []byte(marshal(t, v)))
		if len(docs) != 1 {
			t.Fatal(problems)
		}
		if _, problems := docs[0].Typed(); len(problems) > 0 {
			t.Error(problems)
		}
	}
}
