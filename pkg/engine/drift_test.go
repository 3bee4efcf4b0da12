package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

var (
	secretKind = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
)

const everythingOnC = `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: all, namespace: shop}
spec:
  resourceSelectors:
  - {apiVersion: v1, kind: Secret}
  - {apiVersion: v1, kind: ConfigMap}
  - {apiVersion: apps/v1, kind: Deployment}
  placement: {clusterAffinity: {clusterNames: [c]}}
`

// begin pushes files and returns when everything has arrived.
func (w *world) begin(files map[string]string) {
	w.t.Helper()
	w.push(files)
	if w.controller == nil {
		w.start()
	}
	w.eventually(time.Minute, w.rests)
}

// edit changes an object on cluster c as somebody else.
func (w *world) edit(manager string, kind schema.GroupVersionKind, name string, change func(map[string]any)) {
	w.t.Helper()
	if err := w.fleet.Cluster("c").EditAs(manager, kind, "shop", name, change); err != nil {
		w.t.Fatal(err)
	}
}

func setField(value any, path ...string) func(map[string]any) {
	return func(o map[string]any) {
		if err := unstructured.SetNestedField(o, value, path...); err != nil {
			panic(err)
		}
	}
}

// drifted waits until the drift of cluster c reads as wanted, one "handling kind/name path=manager,…" a line.
func (w *world) drifted(want ...string) {
	w.t.Helper()
	w.eventually(2*time.Minute, func() string {
		cycle, _ := w.controller.engine.Latest()
		var got []string
		for _, d := range cycle.Drift("c") {
			fields := make([]string, 0, len(d.Fields))
			for _, f := range d.Fields {
				fields = append(fields, f.Path+"="+f.Manager)
				if f.Since == nil {
					fields = append(fields, "since when?")
				}
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s/%s %s", d.Handling, d.Kind, d.Name, strings.Join(fields, ","))))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			return fmt.Sprintf("the drift is %q, not %q", got, want)
		}
		return ""
	})
}

// rests tells whether the latest plan left nothing to do.
func (w *world) rests() string {
	if c, ok := w.controller.engine.Latest(); !ok || !c.Settled {
		return "the plan is not settled"
	}
	return ""
}

// quiet tells that nothing is written for a minute.
func (w *world) quiet() {
	w.t.Helper()
	w.pass(5 * time.Second)
	w.resetTrace()
	w.pass(time.Minute)
	if n := w.writes(); n > 0 {
		w.t.Errorf("%d writes at rest", n)
	}
}

// A Secret that Git spells with stringData is the same in data: it rests, and an edit is put back.
func TestASecretWithStringDataRests(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"all.yaml": everythingOnC, "key.yaml": `
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: shop}
stringData: {password: canary-1}
`})
		w.quiet()
		w.edit("kubectl-edit", secretKind, "key", setField("b3RoZXI=", "data", "password"))
		w.eventually(time.Second, func() string {
			if got := string(get[*corev1.Secret](w, "c", secretKind, "key").Data["password"]); got != "canary-1" {
				return "the password is " + got
			}
			return ""
		})
		w.quiet()
		w.drifted()
		if strings.Contains(w.log.String(), "canary") || strings.Contains(w.log.String(), "Y2FuYXJ5") {
			t.Error("the log holds a value of the Secret")
		}
	})
}

const webOnC = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, annotations: {}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "example.com/web:1", resources: {requests: {cpu: 100m}}}
      - {name: side, image: "example.com/side:1"}
`

func (w *world) web() *appsv1.Deployment {
	return get[*appsv1.Deployment](w, "c", deploymentKind, "web")
}

// A manager that a rule names keeps what it takes: nothing is put back or reset, whatever else changes,
// and what it gives up is ours again.
func TestFieldsAreLeftToAManager(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"all.yaml": everythingOnC, "web.yaml": webOnC})
		w.reconfigured(func(c *engine.Configuration) {
			c.Sources[0].Spec.IgnoreDrift = []v1alpha1.IgnoreRule{{Managers: []string{"scaler"}}}
		})
		w.quiet()
		scaled := func(replicas int32, image string) func() string {
			return func() string {
				d := w.web()
				if *d.Spec.Replicas != replicas || d.Spec.Template.Spec.Containers[0].Image != image {
					return fmt.Sprintf("%d replicas of %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
				}
				return ""
			}
		}
		w.edit("scaler", deploymentKind, "web", setField(int64(7), "spec", "replicas"))
		w.drifted("ignored Deployment/web /spec/replicas=scaler")
		w.quiet()
		w.eventually(time.Second, scaled(7, "example.com/web:1"))
		// Somebody else is no such manager.
		w.edit("kubectl-edit", deploymentKind, "web", func(o map[string]any) {
			containers, _, _ := unstructured.NestedSlice(o, "spec", "template", "spec", "containers")
			containers[0].(map[string]any)["image"] = "example.com/web:evil"
			setField(containers, "spec", "template", "spec", "containers")(o)
		})
		w.eventually(time.Second, scaled(7, "example.com/web:1"))
		// A commit that changes something else leaves it alone.
		w.begin(map[string]string{"all.yaml": everythingOnC, "web.yaml": strings.ReplaceAll(webOnC, "web:1", "web:2")})
		w.eventually(time.Minute, scaled(7, "example.com/web:2"))
		w.quiet()
		// Without the rule it is drift like any other.
		w.reconfigured(func(c *engine.Configuration) {})
		w.eventually(time.Minute, scaled(3, "example.com/web:2"))
		w.drifted()
		w.quiet()
	})
}

// A field that a manager and we own alike is let go of with its value.
func TestASharedFieldIsHandedOver(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"all.yaml": everythingOnC, "web.yaml": webOnC})
		// It applies what is there already, in an item of a list, and becomes an owner beside us.
		w.edit("tuner", deploymentKind, "web", setField("tuned", "metadata", "annotations", "example.com/by"))
		share := func(o map[string]any) {
			containers, _, _ := unstructured.NestedSlice(o, "spec", "template", "spec", "containers")
			containers[0].(map[string]any)["resources"] = map[string]any{"requests": map[string]any{"cpu": "250m"}}
			setField(containers, "spec", "template", "spec", "containers")(o)
		}
		w.reconfigured(func(c *engine.Configuration) {
			c.Sources[0].Spec.IgnoreDrift = []v1alpha1.IgnoreRule{{Paths: []string{"/spec/template/spec/containers/0/resources/requests/cpu"}}}
		})
		w.eventually(time.Minute, w.rests)
		w.quiet()
		cpu := func(want string) func() string {
			return func() string {
				if got := w.web().Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().String(); got != want {
					return "the request is " + got
				}
				return ""
			}
		}
		// The value stayed when we let go of it, and stays what someone makes of it.
		w.eventually(time.Second, cpu("100m"))
		w.edit("tuner", deploymentKind, "web", share)
		w.drifted("ignored Deployment/web /spec/template/spec/containers/0/resources/requests/cpu=tuner")
		w.quiet()
		w.eventually(time.Second, cpu("250m"))
		w.begin(map[string]string{"all.yaml": everythingOnC, "web.yaml": strings.ReplaceAll(webOnC, "side:1", "side:2")})
		w.eventually(time.Minute, cpu("250m"))
		w.quiet()
	})
}

// What is only reported, or paused, stands in the list with the field and who changed it.
func TestDriftIsReportedOrPaused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"all.yaml": everythingOnC,
			"a.yaml": strings.Replace(settings, "namespace: shop", "namespace: shop, annotations: {armada-sync.io/drift: report}", 1),
			"b.yaml": strings.Replace(settings, "name: settings", "name: other", 1),
		})
		w.edit("kubectl-edit", configMapKind, "settings", setField("pink", "data", "color"))
		until := time.Now().Add(time.Hour)
		w.edit("kubectl-edit", configMapKind, "other", func(o map[string]any) {
			setField(until.UTC().Format(time.RFC3339), "metadata", "annotations", v1alpha1.AnnotationPausedUntil)(o)
			setField("pink", "data", "color")(o)
		})
		w.drifted("reported ConfigMap/settings /data/color=kubectl-edit", "paused ConfigMap/other /data/color=kubectl-edit")
		w.quiet()
		// The pause ends by itself; the report stands until someone decides.
		w.pass(time.Until(until) + time.Second)
		w.drifted("reported ConfigMap/settings /data/color=kubectl-edit")
		if got := w.data("c", "other", "color"); got != "blue" {
			t.Errorf("after the pause the color is %q", got)
		}
	})
}

// A fight stands in the list with who fights and is tried again once in a while; it ends when the other
// stops.
func TestAFightEndsWithTheOther(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"all.yaml": everythingOnC, "a.yaml": settings})
		stop, stopped := make(chan struct{}), make(chan struct{})
		defer func() {
			select {
			case <-stop:
			default:
				close(stop)
			}
			<-stopped
		}()
		go func() {
			defer close(stopped)
			for {
				_ = w.fleet.Cluster("c").EditAs("stubborn", configMapKind, "shop", "settings", setField("pink", "data", "color"))
				select {
				case <-stop:
					return
				case <-time.After(500 * time.Millisecond):
				}
			}
		}()
		w.drifted("fought ConfigMap/settings /data/color=stubborn")
		w.eventually(time.Minute, w.logged(`drift-fight`))
		w.eventually(time.Minute, w.logged(`/data/color by \"stubborn\"`))
		// A try each ten minutes, not six.
		before := w.fleet.Cluster("c").Count("patch", "configmaps")
		w.pass(35 * time.Minute)
		if n := w.fleet.Cluster("c").Count("patch", "configmaps") - before; n < 2 || n > 8 {
			t.Errorf("%d writes in 35 minutes of a fight", n)
		}
		close(stop)
		<-stopped
		w.eventually(15*time.Minute, func() string {
			if got := w.data("c", "settings", "color"); got != "blue" {
				return "the color is " + got
			}
			return ""
		})
		w.drifted()
		w.eventually(15*time.Minute, w.logged("solved"))
		w.pass(2 * time.Minute)
		// An edit by hand afterwards is put back at once.
		w.edit("kubectl-edit", configMapKind, "settings", setField("green", "data", "color"))
		w.eventually(time.Second, func() string {
			if got := w.data("c", "settings", "color"); got != "blue" {
				return "the color is " + got
			}
			return ""
		})
	})
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, namespace: shop}
spec: {size: 1}
---
apiVersion: armada-sync.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: widgets}
spec:
  resourceSelectors:
  - {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition}
  - {apiVersion: example.org/v1, kind: Widget}
  placement: {clusterAffinity: {clusterNames: [c]}}
`

// Rules for health come with the configuration and change while the engine runs.
func TestHealthRulesOfTheConfiguration(t *testing.T) {
	inWorld(t, func(w *world) {
		w.begin(map[string]string{"w.yaml": widgets})
		key := v1alpha1.ObjectKey{Group: "example.org", Kind: "Widget", Namespace: "shop", Name: "w"}
		health := func(want v1alpha1.Health, message string) {
			t.Helper()
			w.eventually(time.Minute, func() string {
				cycle, _ := w.controller.engine.Latest()
				h := cycle.Snapshot.Members["c"].Objects.Get(key)
				if h == nil {
					return "it is not there"
				}
				if h.Health != want || h.Detail().HealthMessage != message {
					return fmt.Sprintf("%s %q, not %s %q", h.Health, h.Detail().HealthMessage, want, message)
				}
				return ""
			})
		}
		health(v1alpha1.HealthHealthy, "")
		rule := v1alpha1.HealthRule{Group: "example.org", Kind: "Widget", Healthy: "object.status.phase == 'Up'", Message: "'is ' + object.status.phase"}
		w.reconfigured(func(c *engine.Configuration) { c.Config.Health.Rules = []v1alpha1.HealthRule{rule} })
		health(v1alpha1.HealthProgressing, "not known yet: no such key: status")
		status := func(phase string) {
			t.Helper()
			client, err := dynamic.NewForConfig(w.fleet.Cluster("c").RESTConfig())
			if err != nil {
				t.Fatal(err)
			}
			widgets := client.Resource(schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "widgets"}).Namespace("shop")
			patch := fmt.Appendf(nil, `{"status":{"phase":%s}}`, phase)
			if _, err := widgets.Patch(w.t.Context(), "w", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "operator"}, "status"); err != nil {
				t.Fatal(err)
			}
		}
		status(`"Up"`)
		health(v1alpha1.HealthHealthy, "")
		status(`"Down"`)
		health(v1alpha1.HealthProgressing, "is Down")
		// A rule that cannot judge what is there is reported, and nothing else suffers.
		status("7")
		rule.Healthy = "object.status.phase.startsWith('U')"
		w.reconfigured(func(c *engine.Configuration) { c.Config.Health.Rules = []v1alpha1.HealthRule{rule} })
		w.eventually(time.Minute, w.logged("the health rule of Widget.example.org cannot judge 1 of its objects, among them shop/w: healthy: no such overload"))
		w.reconfigured(func(c *engine.Configuration) {})
		health(v1alpha1.HealthHealthy, "")
	})
}
