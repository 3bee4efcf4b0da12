package build_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
)

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: shop}\ndata: {a: b}\n"
}

func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func mustBuild(t testing.TB, b *build.Builder, files fs.FS, o build.Options) render.Tree {
	t.Helper()
	built, err := b.Build(context.Background(), files, o)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestKustomizationsEqualKustomizeBuild builds kustomizations with kustomize itself, from the disk, and
// compares.
func TestKustomizationsEqualKustomizeBuild(t *testing.T) {
	folders := []string{"testdata/boutique/overlays/eu", "testdata/features/overlay"}
	if shared, err := filepath.Abs("../../../../shared/data/online-boutique"); err == nil {
		if _, err := os.Stat(shared); err == nil {
			folders = append(folders, filepath.Join(shared, "kubernetes-manifests"), filepath.Join(shared, "kustomize"))
			podinfo := filepath.Join(filepath.Dir(shared), "podinfo")
			folders = append(folders, filepath.Join(podinfo, "kustomize"), filepath.Join(podinfo, "deploy/overlays/dev"), filepath.Join(podinfo, "deploy/overlays/production"))
		}
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			root, at := filepath.Dir(filepath.Dir(folder)), filepath.ToSlash(filepath.Join(filepath.Base(filepath.Dir(folder)), filepath.Base(folder)))
			got := mustBuild(t, build.New(), os.DirFS(root), build.Options{Source: "shop", Path: at})
			for _, p := range got.Problems {
				t.Errorf("problem: %s %s", p.Source, p.Message)
			}
			want, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Objects) != want.Size() {
				t.Fatalf("%d objects, kustomize has %d", len(got.Objects), want.Size())
			}
			for i, r := range want.Resources() {
				raw, err := r.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				var content map[string]any
				if err := utiljson.Unmarshal(raw, &content); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(content, got.Objects[i].Object); diff != "" {
					t.Errorf("%s differs (-kustomize +ours):\n%s", got.Objects[i].Reference(), diff)
				}
				if o := got.Objects[i].Origin; o.Kind != render.OriginKustomization || !strings.Contains(o.Source, ".yaml:") && !strings.HasSuffix(o.Source, "kustomization.yaml") {
					t.Errorf("%s has the origin %v, want a file and line", got.Objects[i].Reference(), o)
				}
			}
		})
	}
}

// countingFS counts what is read, and has digests as a source's tree has.
type countingFS struct {
	fstest.MapFS
	mu    sync.Mutex
	reads []string
}

func (c *countingFS) ReadFile(name string) ([]byte, error) {
	c.mu.Lock()
	c.reads = append(c.reads, path.Base(path.Dir(name))+"/"+path.Base(name))
	c.mu.Unlock()
	return c.MapFS.ReadFile(name)
}

func (c *countingFS) Digest(name string) string {
	f, ok := c.MapFS[name]
	if !ok {
		return ""
	}
	sum := sha256.Sum256(f.Data)
	return hex.EncodeToString(sum[:])
}

func TestOnlyWhatChangedIsBuiltAgain(t *testing.T) {
	files := &countingFS{MapFS: tree(map[string]string{
		"plain/a.yaml": configMap("a"), "plain/b.yaml": configMap("b"),
		"base/kustomization.yaml": "resources: [x.yaml]\n", "base/x.yaml": configMap("x"),
		"eu/kustomization.yaml": "resources: [../base]\nnamePrefix: eu-\n",
		"us/kustomization.yaml": "resources: [y.yaml]\n", "us/y.yaml": configMap("y"),
	})}
	builder := build.New()
	first := mustBuild(t, builder, files, build.Options{Source: "shop"})
	if len(first.Objects) != 4 || !first.Complete() {
		t.Fatalf("built %s", describe(first))
	}
	kustomizations := func() []string {
		var list []string
		for _, r := range files.reads {
			if !strings.HasSuffix(r, "kustomization.yaml") {
				list = append(list, r)
			}
		}
		files.reads = nil
		return list
	}
	kustomizations()
	again := mustBuild(t, builder, files, build.Options{Source: "shop"})
	if diff := cmp.Diff(describe(first), describe(again)); diff != "" {
		t.Errorf("the same content gave something else:\n%s", diff)
	}
	if reads := kustomizations(); len(reads) > 0 {
		t.Errorf("nothing changed, but %v were read", reads)
	}
	files.MapFS["base/x.yaml"] = &fstest.MapFile{Data: []byte(configMap("changed"))}
	changed := mustBuild(t, builder, files, build.Options{Source: "shop"})
	if !strings.Contains(describe(changed), "eu-changed") {
		t.Errorf("a change of a base is not seen: %s", describe(changed))
	}
	for _, r := range kustomizations() {
		if r != "base/x.yaml" {
			t.Errorf("%s did not change, but was read", r)
		}
	}
	files.MapFS["us/Kustomization"] = &fstest.MapFile{Data: []byte("resources: []\n")}
	if second := mustBuild(t, builder, files, build.Options{Source: "shop"}); len(second.FailedUnits) != 1 {
		t.Errorf("a second kustomization file is not seen: %s", describe(second))
	}
}

func TestConcurrentBuilds(t *testing.T) {
	files := tree(map[string]string{
		"a/kustomization.yaml": "resources: [x.yaml]\nnamePrefix: a-\n", "a/x.yaml": configMap("x"),
		"b/kustomization.yaml": "resources: [x.yaml]\nnamePrefix: b-\n", "b/x.yaml": configMap("x"),
	})
	shared := build.New()
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			builder := shared
			if i%2 == 0 {
				builder = build.New()
			}
			built, err := builder.Build(context.Background(), files, build.Options{Source: fmt.Sprint(i % 3)})
			if err != nil || len(built.Objects) != 2 || !built.Complete() {
				t.Errorf("error %v, %s", err, describe(built))
			}
		})
	}
	group.Wait()
}

func TestLinksAreNotFollowed(t *testing.T) {
	link := &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte("/etc/passwd")}
	files := tree(map[string]string{
		"a/kustomization.yaml": "resources: [link.yaml]\n", "x.yaml": configMap("x"),
	})
	files["a/link.yaml"], files["link.yaml"], files["folder"], files["picture.png"] = link, link, link, link
	built := mustBuild(t, build.New(), files, build.Options{Source: "shop"})
	if got := strings.Join(built.FailedUnits, " "); got != "a folder link.yaml" {
		t.Errorf("failed units %q, want the links that may stand for objects", got)
	}
	if len(built.Objects) != 1 {
		t.Errorf("objects: %s", describe(built))
	}
}

func TestLimits(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	files := tree(map[string]string{"a.yaml": configMap("a"), "b.yaml": configMap("b") + strings.Repeat("#\n", 200), "c.yaml": configMap("c")})
	cases := []struct {
		reason  string
		limits  v1alpha1.SourceLimits
		objects int
		failed  string
	}{
		{"within", v1alpha1.SourceLimits{}, 3, ""},
		{"one file is too large: the others are there", v1alpha1.SourceLimits{MaxFileBytes: number(300)}, 2, "b.yaml"},
		{"too many files: the rest is left out, and known to be", v1alpha1.SourceLimits{MaxFiles: number(2)}, 2, "c.yaml"},
		{"too much together", v1alpha1.SourceLimits{MaxTotalBytes: number(300)}, 1, "b.yaml"},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			built := mustBuild(t, build.New(), files, build.Options{Source: "shop", Limits: &tc.limits})
			if len(built.Objects) != tc.objects || strings.Join(built.FailedUnits, " ") != tc.failed {
				t.Errorf("got %s", describe(built))
			}
		})
	}
}

func TestACanceledBuildIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if built, err := build.New().Build(ctx, tree(map[string]string{"a.yaml": configMap("a")}), build.Options{}); err == nil {
		t.Errorf("no error, but %s", describe(built))
	}
}

func TestNoTokenOfARemoteBaseIsShown(t *testing.T) {
	built := mustBuild(t, build.New(), tree(map[string]string{
		"kustomization.yaml": "resources: [\"https://user:canary@example.com/a/b\"]\n",
	}), build.Options{})
	if text := describe(built); strings.Contains(text, "canary") || !strings.Contains(text, "example.com") {
		t.Errorf("got %s", text)
	}
}

// TestHostileTreesAreBounded holds every single tree to two seconds of processor time and 256 MB.
func TestHostileTreesAreBounded(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	nested := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	diamond, chain := map[string]string{}, map[string]string{}
	for i := range 40 {
		diamond[fmt.Sprintf("l%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%d, ../r%d]\nnamePrefix: l-\n", i+1, i+1)
		diamond[fmt.Sprintf("r%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%d, ../r%d]\nnamePrefix: r-\n", i+1, i+1)
	}
	for _, side := range []string{"l40", "r40"} {
		diamond[side+"/kustomization.yaml"], diamond[side+"/x.yaml"] = "resources: [x.yaml]\n", configMap("x")
	}
	for i := range 3000 {
		chain[fmt.Sprintf("c%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../c%d]\n", i+1)
	}
	chain["c3000/kustomization.yaml"], chain["c3000/x.yaml"] = "resources: [x.yaml]\n", configMap("x")
	cases := map[string]map[string]string{
		"alias bomb in a plain file":            {"x.yaml": bomb},
		"alias bomb in a kustomization":         {"kustomization.yaml": bomb + "resources: *a11\n"},
		"alias bomb in a resource":              {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap("x") + bomb},
		"alias bomb in a file of a generator":   {"kustomization.yaml": "configMapGenerator: [{name: x, files: [x.yaml]}]\n", "x.yaml": bomb},
		"10,000 levels in a plain file":         {"x.yaml": "a: " + nested + "\n"},
		"10,000 levels in a resource":           {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap("x") + "a: " + nested + "\n"},
		"an anchor that contains itself":        {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": "a: &a {b: *a}\n"},
		"merge keys that contain themselves":    {"kustomization.yaml": "resources: &a\n- <<: *a\n"},
		"kustomizations that double at a level": diamond,
		"a chain of kustomizations":             chain,
		"a large resource":                      {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap("x") + "b: " + strings.Repeat("x", 10<<20) + "\n"},
		"a large kustomization":                 {"kustomization.yaml": "resources: [" + strings.Repeat("x.yaml,", 1<<20) + "]\n", "x.yaml": configMap("x")},
		"a dense resource":                      {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap("x") + "b: [" + strings.Repeat("1,", 400_000) + "]\n"},
		"a dense plain file":                    {"x.yaml": "b: [" + strings.Repeat("1,", 5<<20) + "]\n"},
		"many small resources":                  {"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": strings.Repeat(configMap("x")+"---\n", 80_000)},
		"a list at the root of a patch":         {"kustomization.yaml": "resources: [x.yaml]\npatches:\n- patch: |\n    - $patch: delete\n", "x.yaml": configMap("x")},
		"NUL and BOM":                           {"x.yaml": "\ufeff\x00", "kustomization.yaml": "\x00"},
		"strange types in a kustomization":      {"kustomization.yaml": "resources: {a: [b]}\npatches: 3\nimages: {}\n"},
		"a kustomization that is a list":        {"kustomization.yaml": "[1, 2]\n"},
	}
	for name, files := range cases {
		t.Run(name, func(t *testing.T) {
			// The schema that kustomize parses once in a process is no part of the tree's cost.
			mustBuild(t, build.New(), tree(map[string]string{"kustomization.yaml": "resources: [x.yaml]\n", "x.yaml": configMap("x")}), build.Options{})
			peak := watchHeap(t)
			start := processTime(t)
			built := mustBuild(t, build.New(), tree(files), build.Options{Source: "shop"})
			took := processTime(t) - start
			if used := peak(); used > 256<<20 {
				t.Errorf("took %d MB", used>>20)
			}
			if took > 2*time.Second {
				t.Errorf("took %s", took)
			}
			if built.Complete() {
				t.Errorf("a hostile tree counts as complete: %s", describe(built))
			}
			for _, p := range built.Problems {
				if len(p.Message) > 1000 {
					t.Errorf("a message of %d bytes", len(p.Message))
				}
			}
		})
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

// watchHeap returns a function that tells by how much the heap grew at most since the call.
func watchHeap(t testing.TB) func() uint64 {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, m.HeapAlloc
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return peak - min(peak, before)
	}
}

func BenchmarkBuildBoutique(b *testing.B) {
	files := os.DirFS("testdata/boutique")
	for b.Loop() {
		mustBuild(b, build.New(), files, build.Options{Path: "overlays/eu"})
	}
}

func BenchmarkBuild1000PlainFiles(b *testing.B) {
	files := &countingFS{MapFS: fstest.MapFS{}}
	for i := range 1000 {
		files.MapFS[fmt.Sprintf("f%d.yaml", i)] = &fstest.MapFile{Data: []byte(configMap(fmt.Sprintf("c%d", i)))}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			mustBuild(b, build.New(), files, build.Options{})
		}
	})
	b.Run("again", func(b *testing.B) {
		builder := build.New()
		mustBuild(b, builder, files, build.Options{})
		for b.Loop() {
			mustBuild(b, builder, files, build.Options{})
		}
	})
}

// refusing is a file system that leaves something out.
type refusing struct{ fstest.MapFS }

func (refusing) Refused() map[string]string {
	return map[string]string{"sub/.GIT": "a name that some systems take for .git", "other/x": "too deep"}
}

// TestWhatTheTreeLeavesOutFailsAlone: nothing is pruned while the repository holds what cannot be read.
func TestWhatTheTreeLeavesOutFailsAlone(t *testing.T) {
	files := refusing{tree(map[string]string{"sub/a.yaml": configMap("a"), "b.yaml": configMap("b")})}
	for folder, want := range map[string]string{
		"":    "blocker build-failed other/x: it is left out: too deep\nblocker build-failed sub/.GIT: it is left out: a name that some systems take for .git\nfailed other/x\nfailed sub/.GIT\n",
		"sub": "blocker build-failed sub/.GIT: it is left out: a name that some systems take for .git\nfailed sub/.GIT\n",
	} {
		got := describe(mustBuild(t, build.New(), files, build.Options{Source: "shop", Path: folder}))
		if !strings.HasSuffix(got, want) || !strings.Contains(got, "object ConfigMap shop/a ") {
			t.Errorf("path %q: got\n%s", folder, got)
		}
	}
}
