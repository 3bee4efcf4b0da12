//go:build e2e

package apply_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/apply"
)

// oddSpellings are manifests as people write them, which the API server spells otherwise, and what others do to them
// that is none of our business.
func oddSpellings() []struct{ manifest, theirs string } {
	return []struct{ manifest, theirs string }{
		{`
apiVersion: v1
kind: Service
metadata: {name: odd, namespace: $NS, creationTimestamp: null, finalizers: [], annotations: null}
spec:
  type: NodePort
  clusterIP: ""
  externalIPs: []
  ports: [{name: a, port: 53, nodePort: 0}, {name: b, port: 53, protocol: UDP, targetPort: dns}]
status: {loadBalancer: {}}`, `{"spec":{"sessionAffinity":"ClientIP"}}`},
		{`
apiVersion: apps/v1
kind: Deployment
metadata: {name: odd, namespace: $NS, generation: 7, resourceVersion: "1", uid: abc}
spec:
  replicas: 0
  selector: {matchLabels: {app: odd}, matchExpressions: []}
  template:
    metadata: {creationTimestamp: null, labels: {app: odd}}
    spec:
      overhead: {cpu: 1000m}
      securityContext: {}
      volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {sizeLimit: 0.5Gi, medium: ""}}]
      containers:
      - name: c
        image: example.com/odd
        args: []
        env: [{name: A, value: ""}, {name: B, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "0.001"}}}]
        resources: {requests: {cpu: 1000m, memory: 0.5Gi}, limits: {cpu: 1.0}}
        ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}]`, `{"spec":{"minReadySeconds":1}}`},
		{`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: odd, namespace: $NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}
  maxReplicas: 5
  behavior: {scaleUp: {tolerance: "0.05"}}
  metrics: [{type: External, external: {metric: {name: x}, target: {type: Value, value: "0.5"}}}]`,
			`{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":10}}}}`},
		{`
apiVersion: v1
kind: ConfigMap
metadata: {name: odd, namespace: $NS, ownerReferences: [], annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"data":{"x":"y"}}'}}
binaryData: {a: "AAEC/w==", b: ""}
data: {empty: "", "null": null}`, `{"metadata":{"labels":{"theirs":"x"}}}`},
		{`
apiVersion: v1
kind: Secret
metadata: {name: odd, namespace: $NS}
data: {a: YQ==}
stringData: {a: over, b: ""}`, `{"metadata":{"labels":{"theirs":"x"}}}`},
	}
}

// What the API server spells otherwise is no difference, also after others changed something beside it.
func oddlySpelled(s *stage) {
	var all []*unstructured.Unstructured
	for _, o := range oddSpellings() {
		all = append(all, s.manifest(o.manifest))
	}
	s.apply(all...)
	for i, o := range oddSpellings() {
		s.edit(all[i], o.theirs)
		live := s.live(all[i])
		s.eventually("the change is known", func() error {
			if h, _ := s.held(all[i]); h.ResourceVersion != live.GetResourceVersion() {
				return fmt.Errorf("%s is at %s", ref(all[i]), h.ResourceVersion)
			}
			return nil
		})
		h, _ := s.held(all[i])
		if differs := apply.Differences(all[i].Object, live.Object, []byte(h.OwnedFields)); len(differs) > 0 {
			s.Errorf("%s differs in %v", ref(all[i]), differs)
		}
	}
}

// A definition that is removed by hand takes its objects along. While it goes, the API server refuses them with words of
// its own, and that is no denial that only people could lift.
func definitionRemovedByHand(s *stage) {
	crd := s.crd("Lever")
	crd.SetFinalizers([]string{"example.com/wait"})
	lever := s.manifest("{apiVersion: $NS.example.com/v1, kind: Lever, metadata: {name: l, namespace: $NS}, spec: {size: 3}}")
	other := s.manifest("{apiVersion: $NS.example.com/v1, kind: Lever, metadata: {name: m, namespace: $NS}, spec: {size: 3}}")
	s.insist(crd, lever)
	s.quiet(crd, lever)
	s.delete(crd)
	s.eventually("it is terminating", func() error {
		if h, _ := s.held(crd); !h.Terminating {
			return errors.New("not yet")
		}
		return nil
	})
	s.every(200*time.Millisecond, "an object is refused", func() error {
		o := outcome(s, s.try(s.plan(configMap(s.ns, "a"), other)), other)
		if !strings.Contains(o.Message, "definition is terminating") {
			return fmt.Errorf("%s %q", o.Class, o.Message)
		}
		if o.Class != apply.ClassWait {
			s.Errorf("it is %s: %s", o.Class, o.Message)
		}
		return nil
	})
	s.edit(crd, `{"metadata":{"finalizers":null}}`)
	crd.SetFinalizers(nil)
	s.every(200*time.Millisecond, "all come back", func() error {
		s.synced()
		if r := s.try(s.plan(crd, lever, other)); !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
}

// The parent of a set that somebody removes at rest comes back, so that a controller that starts later knows what to prune.
func parentRemovedByHand(s *stage) {
	a, gone := configMap(s.ns, "a", "k", "1"), s.manifest("{apiVersion: v1, kind: ServiceAccount, metadata: {name: gone, namespace: $NS}}")
	s.quietAfter(a, gone)
	p := s.parent("shop")
	s.delete(p)
	s.eventually("it comes back", func() error {
		_, err := s.resource(p).Get(s.ctx, p.GetName(), metav1.GetOptions{})
		return err
	})
	s.restart(nil)
	s.apply(a)
	s.absent(gone)
	s.quiet(a)
}
