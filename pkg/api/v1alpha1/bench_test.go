package v1alpha1_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// configMaps returns a stream of small documents.
func configMaps(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-%d\n  namespace: shop\n  labels:\n    app: web\ndata:\n  key: value\n  number: \"%d\"\n", i, i)
	}
	return b.Bytes()
}

func BenchmarkDecodeStream(b *testing.B) {
	workload, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
		docs int
	}{
		{"10000 ConfigMaps", configMaps(10_000), 10_000},
		{"1000 Deployments", bytes.Repeat(append([]byte("---\n"), workload...), 1000), 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for range b.N {
				if docs, problems := v1alpha1.DecodeStream("b.yaml", c.data); len(docs) != c.docs || len(problems) > 0 {
					b.Fatal(len(docs), problems)
				}
			}
		})
		b.Run(c.name+" by sigs.k8s.io/yaml", func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			documents := bytes.Split(c.data, []byte("---\n"))[1:]
			for range b.N {
				for _, d := range documents {
					var content map[string]any
					if err := yaml.Unmarshal(d, &content); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
