package build_test

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render/build"
)

// TestChartsEqualHelmTemplate compares with what helm v4.2.4 gives. A golden file NAME.golden.yaml is what
//
//	helm template RELEASE CHART -n default --kube-version v1.37.0 --include-crds --no-hooks
//
// wrote, with helm built from tools/clients. Two charts are not kept here and are compared where the shared
// manifests are at hand.
func TestChartsEqualHelmTemplate(t *testing.T) {
	for name, dir := range map[string]string{
		"shop":            "testdata/charts/shop",
		"online-boutique": "../../../../shared/data/online-boutique/helm-chart",
		"podinfo":         "../../../../shared/data/podinfo/charts/podinfo",
	} {
		if _, err := os.Stat(dir); err != nil && name != "shop" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			golden, err := os.ReadFile(filepath.Join("testdata", "charts", name+".golden.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]map[string]any{}
			documents, problems := v1alpha1.DecodeStream(name, golden)
			for _, d := range documents {
				want[describeObject(d.Content)] = d.Content
			}
			if len(problems) > 0 || len(want) == 0 {
				t.Fatalf("the golden file: %v", problems)
			}
			built := mustBuild(t, build.New(), os.DirFS(filepath.Dir(dir)), build.Options{Source: "shop", Path: filepath.Base(dir)})
			for _, p := range built.Problems {
				t.Errorf("problem: %s %s", p.Source, p.Message)
			}
			if crds := built.CRDs(); name == "shop" && (len(crds) != 1 || crds[0].GetName() != "baskets.shop.example.com") {
				t.Errorf("the definitions are %v", crds)
			}
			got := map[string]map[string]any{}
			for _, o := range built.Objects {
				got[describeObject(o.Object)] = o.Object
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs (-helm +ours):\n%s", diff)
			}
		})
	}
}

func describeObject(content map[string]any) string {
	metadata, _ := content["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	kind, _ := content["kind"].(string)
	return kind + " " + name
}

// TestChartIsBuiltOncePerContent changes files of a chart, listed by nobody, and other files.
func TestChartIsBuiltOncePerContent(t *testing.T) {
	files := tree(map[string]string{
		"web/Chart.yaml":            "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"web/values.yaml":           "a: one\n",
		"web/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.a }}}\n",
		"other.yaml":                configMap("other"),
	})
	b := build.New()
	names := func() string {
		var list []string
		for _, o := range mustBuild(t, b, files, build.Options{Source: "shop"}).Objects {
			list = append(list, o.GetName())
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	if got := names(); got != "one other" {
		t.Errorf("at first: %s", got)
	}
	first := mustBuild(t, b, files, build.Options{Source: "shop"})
	files["other.yaml"] = &fstest.MapFile{Data: []byte(configMap("changed"))}
	second := mustBuild(t, b, files, build.Options{Source: "shop"})
	if first.Objects[1].Unstructured != second.Objects[1].Unstructured {
		t.Error("the chart was built again for a change elsewhere")
	}
	files["web/values.yaml"] = &fstest.MapFile{Data: []byte("a: two\n")}
	if got := names(); got != "changed two" {
		t.Errorf("after a change of values: %s", got)
	}
	files["web/templates/more.yaml"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(configMap("more"), "\n---", ""))}
	if got := names(); got != "changed more two" {
		t.Errorf("after a new template: %s", got)
	}
	delete(files, "web/templates/config.yaml")
	if got := names(); got != "changed more" {
		t.Errorf("after a template went: %s", got)
	}
}

// TestChartRefusesLinks tries to make a chart read what is not in its folder.
func TestChartRefusesLinks(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "values.yaml"), []byte("a: canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"values.yaml", "templates/x.yaml", "charts/sub", "conf", "crds/a.yaml"} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"web/Chart.yaml":            "apiVersion: v2\nname: web\nversion: 1.0.0\n",
			"web/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.a }}}\n",
			"web/crds/b.yaml":           "",
		} {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		at := filepath.Join(dir, "web", filepath.FromSlash(link))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		target := outside
		if strings.HasSuffix(link, ".yaml") {
			target = filepath.Join(outside, "values.yaml")
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
		built := mustBuild(t, build.New(), os.DirFS(dir), build.Options{Source: "shop"})
		if len(built.Objects) > 0 || len(built.Problems) != 1 || !strings.Contains(built.Problems[0].Message, "is not followed") {
			t.Errorf("%s: %d objects, problems %v", link, len(built.Objects), built.Problems)
		}
	}
}

// FuzzChart renders charts of which the template and the values are anything.
func FuzzChart(f *testing.F) {
	_ = fs.WalkDir(os.DirFS("testdata/charts/shop"), "templates", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path.Join("testdata/charts/shop", name))
		f.Add(string(data), "a: 1")
		return err
	})
	f.Fuzz(func(t *testing.T, template, values string) {
		files := tree(map[string]string{
			"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "web/values.yaml": values, "web/templates/a.yaml": template,
		})
		one, err := build.New().Build(context.Background(), files, build.Options{Source: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		two := mustBuild(t, build.New(), files, build.Options{Source: "shop"})
		if diff := cmp.Diff(describe(one), describe(two)); diff != "" {
			t.Errorf("two builds differ:\n%s", diff)
		}
	})
}
