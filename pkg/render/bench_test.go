package render_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// benchDeployment is about 1.6 KB of JSON, the size of a Deployment of the Online Boutique.
func benchDeployment(i int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%d, namespace: shop, labels: {app: web-%[1]d, tier: front}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web-%[1]d}}
  template:
    metadata:
      labels: {app: web-%[1]d}
      annotations: {sidecar.istio.io/rewriteAppHTTPProbers: "true"}
    spec:
      serviceAccountName: web
      securityContext: {fsGroup: 1000, runAsGroup: 1000, runAsNonRoot: true, runAsUser: 1000}
      containers:
      - name: server
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, privileged: false, readOnlyRootFilesystem: true}
        image: registry.example/shop/web:1.0
        ports: [{containerPort: 8080}]
        readinessProbe: {initialDelaySeconds: 10, httpGet: {path: "/_healthz", port: 8080, httpHeaders: [{name: Cookie, value: shop_session-id=x-readiness-probe}]}}
        livenessProbe: {initialDelaySeconds: 10, httpGet: {path: "/_healthz", port: 8080, httpHeaders: [{name: Cookie, value: shop_session-id=x-liveness-probe}]}}
        env:
        - {name: PORT, value: "8080"}
        - {name: PRODUCT_CATALOG_SERVICE_ADDR, value: "productcatalogservice:3550"}
        - {name: CURRENCY_SERVICE_ADDR, value: "currencyservice:7000"}
        - {name: CART_SERVICE_ADDR, value: "cartservice:7070"}
        - {name: RECOMMENDATION_SERVICE_ADDR, value: "recommendationservice:8080"}
        - {name: SHIPPING_SERVICE_ADDR, value: "shippingservice:50051"}
        - {name: CHECKOUT_SERVICE_ADDR, value: "checkoutservice:5050"}
        - {name: AD_SERVICE_ADDR, value: "adservice:9555"}
        - {name: ENABLE_PROFILER, value: "0"}
        resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}
`, i)
}

func benchObjects(b *testing.B, n int) []render.Object {
	objects := make([]render.Object, 0, n)
	for i := range n {
		objects = append(objects, readObject(b, benchDeployment(i)))
	}
	return objects
}

const benchPatch = `{plaintext: [
  {path: /spec/replicas, operator: replace, value: %d},
  {path: /spec/template/spec/containers/0/env/8/value, operator: replace, value: "1"},
  {path: /spec/template/spec/containers/0/resources/limits/memory, operator: replace, value: 256Mi}]}`

// BenchmarkRenderDistinct renders without anything to remember: every operation is a result of its own.
func BenchmarkRenderDistinct(b *testing.B) {
	overrides := compile(b, policy("all", "{}", fmt.Sprintf(benchPatch, 5)))
	obj := readObject(b, benchDeployment(0))
	obj.ContentDigest = ""
	cluster := readCluster(b, "")
	start := processTime(b)
	for b.Loop() {
		if _, err := overrides.For(obj, cluster, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/(processTime(b)-start).Seconds(), "results/cpu-s")
}

// BenchmarkRenderPairs renders 200 objects for 100 clusters that fall into ten override classes, from
// nothing remembered.
func BenchmarkRenderPairs(b *testing.B) {
	var policies []string
	for i := range 10 {
		policies = append(policies, policy(fmt.Sprintf("class-%d", i),
			fmt.Sprintf("{labelSelector: {matchLabels: {class: c%d}}}", i), fmt.Sprintf(benchPatch, i+4)))
	}
	read := readPolicies(b, strings.Join(policies, "---\n"))
	var clusters []*v1alpha1.Cluster
	for i := range 100 {
		clusters = append(clusters, &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("c-%d", i), Labels: map[string]string{"class": fmt.Sprintf("c%d", i%10)},
		}})
	}
	objects := benchObjects(b, 200)
	pairs, start := 0, processTime(b)
	for b.Loop() {
		overrides, _ := render.NewRenderer(render.Options{}).Compile(render.SourcePolicies{Source: "shop", Policies: read})
		for _, o := range objects {
			for _, c := range clusters {
				if _, err := overrides.For(o, c, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
		pairs += len(objects) * len(clusters)
	}
	b.ReportMetric(float64(pairs)/(processTime(b)-start).Seconds(), "pairs/cpu-s")
}

// BenchmarkRenderUnchanged renders pairs that are all remembered: what a plan costs after a commit that
// changed something else.
func BenchmarkRenderUnchanged(b *testing.B) {
	overrides := compile(b, policy("all", "{}", fmt.Sprintf(benchPatch, 5)))
	obj, cluster := readObject(b, benchDeployment(0)), readCluster(b, "")
	for b.Loop() {
		if _, err := overrides.For(obj, cluster, nil); err != nil {
			b.Fatal(err)
		}
	}
}
