package build_test

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
)

// BenchmarkOneFile changes one of 10,000 files, each with an object, builds the tree and renders the objects that are
// not those of the build before, for 100 clusters. What did not change is known by being the same object.
func BenchmarkOneFile(b *testing.B) {
	files := &countingFS{MapFS: fstest.MapFS{}}
	for i := range 10_000 {
		files.MapFS[fmt.Sprintf("d%d/f%d.yaml", i%100, i)] = &fstest.MapFile{Data: []byte(configMap(fmt.Sprintf("c%d", i)))}
	}
	var clusters []*v1alpha1.Cluster
	for i := range 100 {
		clusters = append(clusters, &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%d", i)}})
	}
	builder, known := build.New(), map[*unstructured.Unstructured]bool{}
	overrides, _ := render.NewRenderer(render.Options{}).Compile()
	touch := func() (touched int) {
		for _, o := range mustBuild(b, builder, files, build.Options{Source: "shop"}).Objects {
			if known[o.Unstructured] {
				continue
			}
			known[o.Unstructured] = true
			touched++
			for _, c := range clusters {
				if _, err := overrides.For(o, c, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
		return touched
	}
	touch()
	changes, touched, start := 0, 0, processTime(b)
	for b.Loop() {
		changes++
		files.MapFS["d7/f7.yaml"] = &fstest.MapFile{Data: []byte(configMap(fmt.Sprintf("changed-%d", changes)))}
		touched += touch()
	}
	took := processTime(b) - start
	b.ReportMetric(float64(took)/float64(time.Millisecond)/float64(changes), "cpu-ms/change")
	b.ReportMetric(float64(touched)/float64(changes), "renders/change")
}
