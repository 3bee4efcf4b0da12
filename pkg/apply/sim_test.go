package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestMain silences the API server's handlers inside of simfleet: their error handler sleeps between two
// errors by a clock that one bubble hands on to the next.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = nil
	m.Run()
}

// onSim runs a test on a simulated cluster, with a clock that jumps whenever everyone waits.
func onSim(t *testing.T, tweak func(*apply.Options), run func(*stage, *simfleet.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		cluster := fleet.Clusters()[0]
		run(newStage(t, cluster.RESTConfig(), "sim", time.Minute, tweak), cluster)
	})
}

func TestScenariosOnSimfleet(t *testing.T) {
	for _, c := range scenarios() {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Log(c.reason)
			onSim(t, c.tweak, func(s *stage, _ *simfleet.Cluster) { c.run(s) })
		})
	}
}

// many returns n ConfigMaps.
func many(n int, value string) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for i := range n {
		out = append(out, configMap("sim", fmt.Sprintf("c-%03d", i), "k", value))
	}
	return out
}

func TestDriftShowsWithinASecond(t *testing.T) {
	web := func(s *stage) *unstructured.Unstructured { return s.deployment("web", "example.com/web:1", 2) }
	a := configMap("sim", "a", "k", "1")
	for _, c := range []struct {
		name string
		hurt func(*stage)
	}{
		{"a hand edit", func(s *stage) { s.edit(web(s), `{"spec":{"replicas":3}}`) }},
		{"a lost label", func(s *stage) { s.edit(a, `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`) }},
		{"a deletion", func(s *stage) { s.delete(a) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSim(t, nil, func(s *stage, _ *simfleet.Cluster) {
				s.quietAfter(a, web(s))
				pass(time.Hour)
				before, start := s.changeCount(), time.Now()
				c.hurt(s)
				s.eventually("it is told", func() error {
					if s.changeCount() == before {
						return errors.New("not yet")
					}
					return nil
				})
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
				s.quietAfter(a, web(s))
			})
		})
	}
}

func TestNothingHappensAtRest(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		objects := append(many(20, "1"), s.deployment("web", "example.com/web:1", 2))
		s.quietAfter(objects...)
		s.eventually("the Deployment is healthy", func() error {
			if h, _ := s.held(objects[20]); h.Health != v1alpha1.HealthHealthy {
				return fmt.Errorf("%s: %s", h.Health, h.Detail().HealthMessage)
			}
			return nil
		})
		synctest.Wait()
		before := s.changeCount()
		c.ResetTrace()
		pass(time.Hour)
		synctest.Wait()
		for _, r := range c.Requests() {
			if r.Verb != "watch" && (r.Verb != "get" || r.Resource == "") {
				t.Errorf("%s %s", r.Verb, r.Path)
			}
		}
		// An hour is a 24th of the day in which each of the objects is compared once.
		if n := c.Count("get", "configmaps"); n > 2 {
			t.Errorf("%d ConfigMaps were read", n)
		}
		if n := s.changeCount() - before; n > 0 {
			t.Errorf("%d changes were told", n)
		}
	})
}

// Kinds go out one after another, so that what uses others finds them; one that is not answered for holds
// nobody up.
func TestKindsTakeTurns(t *testing.T) {
	for latency, atMost := range map[time.Duration]time.Duration{200 * time.Millisecond: 250 * time.Millisecond, 10 * time.Second: 1100 * time.Millisecond} {
		t.Run(latency.String(), func(t *testing.T) {
			onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
				s.apply(configMap(s.ns, "before"))
				c.ResetTrace()
				c.SetFaults(simfleet.Faults{Latency: latency})
				s.apply(
					s.manifest("{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: $NS}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}}"),
					s.deployment("web", "example.com/web:1", 0),
					s.manifest("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: $NS}, spec: {ports: [{port: 80}]}}"),
					configMap(s.ns, "web"), configMap(s.ns, "more"),
				)
				sent := map[string]simfleet.Request{}
				for _, r := range c.Requests() {
					if r.Verb == "patch" && r.Namespace == s.ns {
						sent[r.Resource] = r
					}
				}
				order := []string{"configmaps", "services", "deployments", "horizontalpodautoscalers"}
				for i, resource := range order[1:] {
					pause := sent[resource].Time.Sub(sent[order[i]].Time)
					if pause < min(latency, time.Second) || pause > atMost {
						t.Errorf("%s follow %s after %s", resource, order[i], pause)
					}
				}
			})
		})
	}
}

func TestEveryFaultIsOvercome(t *testing.T) {
	for name, faults := range map[string]simfleet.Faults{
		"429":          {TooManyRequests: 0.3, Verbs: []string{"patch", "create", "delete"}},
		"500":          {InternalErrors: 0.3},
		"503":          {Unavailable: 0.3},
		"409":          {Conflicts: 0.3},
		"lost replies": {LostReplies: 0.2},
		"cut watches":  {CutWatches: 0.5},
		"stale lists":  {StaleLists: 30, CutWatches: 0.3},
		"slow":         {Latency: 2 * time.Second, Jitter: 3 * time.Second},
		"all of it":    {TooManyRequests: 0.1, InternalErrors: 0.1, Unavailable: 0.1, Conflicts: 0.1, LostReplies: 0.1, CutWatches: 0.2, Jitter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
				s.patience = 20 * time.Minute
				s.synced()
				c.SetFaults(faults)
				s.insist(many(60, "1")...)
				c.CutConnections()
				s.insist(many(40, "2")...)
				c.SetFaults(simfleet.Faults{})
				s.quiet(many(40, "2")...)
				live, err := s.resource(configMap("sim", "x")).List(s.ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelPartOf})
				if err != nil {
					t.Fatal(err)
				}
				if len(live.Items) != 40 {
					t.Errorf("%d objects", len(live.Items))
				}
				for i := range live.Items {
					if got, _, _ := unstructured.NestedString(live.Items[i].Object, "data", "k"); got != "2" {
						t.Errorf("%s: k is %q", live.Items[i].GetName(), got)
					}
				}
			})
		})
	}
}

// insist plans and executes as the engine does, with probes beside, until everything is done.
func (s *stage) insist(manifests ...*unstructured.Unstructured) {
	s.Helper()
	s.every(2*time.Second, "everything is done", func() error {
		probe, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		if err := s.member.Probe(probe); err != nil {
			return err
		}
		if !s.member.Inventory().Known {
			return fmt.Errorf("not known: %v", s.member.Problems())
		}
		r, err := s.member.Execute(s.ctx, s.plan(manifests...))
		if err != nil {
			return err
		}
		if !r.Complete() {
			return errors.New(describe(r))
		}
		return nil
	})
}

func TestDeadCluster(t *testing.T) {
	for name, kill := range map[string]func(*simfleet.Cluster) (back func()){
		"stopped": func(c *simfleet.Cluster) func() {
			c.Stop()
			return func() {
				if err := c.Start(); err != nil {
					t.Error(err)
				}
			}
		},
		"partitioned": func(c *simfleet.Cluster) func() { c.Partition(); return c.Heal },
	} {
		t.Run(name, func(t *testing.T) {
			onSim(t, func(o *apply.Options) { o.RequestTimeout = 5 * time.Second }, func(s *stage, c *simfleet.Cluster) {
				objects := many(50, "1")
				s.quietAfter(objects...)
				changed := s.plan(many(50, "2")...)
				back := kill(c)
				start := time.Now()
				r, err := s.member.Execute(s.ctx, changed)
				if err == nil && r.Complete() {
					t.Fatal("a dead cluster took the writes")
				}
				if took := time.Since(start); took > 40*time.Second {
					t.Errorf("Execute took %v", took)
				}
				for range 3 {
					probe, cancel := context.WithTimeout(s.ctx, time.Second)
					if s.member.Probe(probe) == nil {
						t.Error("a dead cluster answers")
					}
					cancel()
				}
				if inv := s.member.Inventory(); inv.Reachable || inv.Objects.Len() != 50 {
					t.Errorf("reachable %v, %d objects", inv.Reachable, inv.Objects.Len())
				}
				if _, err := s.member.Execute(s.ctx, changed); !errors.Is(err, apply.ErrUnreachable) {
					t.Errorf("the error is %v", err)
				}
				pass(30 * time.Minute)
				back()
				if err := s.member.Probe(s.ctx); err != nil {
					t.Fatal(err)
				}
				start = time.Now()
				s.synced()
				if took := time.Since(start); took > time.Second {
					t.Errorf("after it came back the inventory took %v", took)
				}
				s.insist(many(50, "2")...)
				s.quiet(many(50, "2")...)
			})
		})
	}
}

func TestDeadFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		c := fleet.Clusters()[0]
		c.Stop()
		s := newStage(t, c.RESTConfig(), "sim", time.Minute, nil)
		pass(time.Hour)
		if inv := s.member.Inventory(); inv.Known || inv.Reachable {
			t.Errorf("known %v, reachable %v", inv.Known, inv.Reachable)
		}
		if len(s.member.Problems()) == 0 {
			t.Error("nobody says why")
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.member.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.quietAfter(many(3, "1")...)
		if p := s.member.Problems(); len(p) > 0 {
			t.Errorf("problems stay: %v", p)
		}
	})
}

// Problems of watches end with the outage, not when the watches end next.
func TestProblemsEndWithAnOutage(t *testing.T) {
	onSim(t, func(o *apply.Options) { o.Capacity = true }, func(s *stage, c *simfleet.Cluster) {
		s.quietAfter(many(3, "1")...)
		c.Stop()
		pass(time.Minute)
		if len(s.member.Problems()) == 0 {
			s.Error("nobody says that watches fail")
		}
		if err := c.Start(); err != nil {
			s.Fatal(err)
		}
		if err := s.member.Probe(s.ctx); err != nil {
			s.Fatal(err)
		}
		pass(2 * time.Second)
		if p := s.member.Problems(); len(p) > 0 {
			s.Errorf("problems stay: %v", p)
		}
	})
}

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	onSim(t, func(o *apply.Options) { o.Concurrency = 4 }, func(s *stage, c *simfleet.Cluster) {
		first := many(1, "1")
		s.quietAfter(first...)
		c.ResetTrace()
		objects := many(40, "1")
		p := s.plan(objects...)
		c.SetFaults(simfleet.Faults{Latency: time.Second})
		ctx, cancel := context.WithCancel(s.ctx)
		time.AfterFunc(5500*time.Millisecond, cancel)
		r, err := s.member.Execute(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Stopped || r.Count(apply.OutcomeFailed) > 0 || r.Count(apply.OutcomeApplied) == 0 || r.Count(apply.OutcomeSkipped) == 0 {
			t.Errorf("stopped %v\n%s", r.Stopped, describe(r))
		}
		c.SetFaults(simfleet.Faults{})
		if got := c.Count("patch", "configmaps"); got != r.Count(apply.OutcomeApplied) {
			t.Errorf("%d requests, %d applied", got, r.Count(apply.OutcomeApplied))
		}
		s.restart(nil)
		s.quietAfter(objects...)
	})
}

// TestCrashAtAnyMoment breaks an apply off at many moments, as SIGKILL does, and looks whether the next
// process finds everything.
func TestCrashAtAnyMoment(t *testing.T) {
	for moment := range 40 {
		onSim(t, func(o *apply.Options) { o.Concurrency, o.StopGrace = 3, time.Nanosecond }, func(s *stage, c *simfleet.Cluster) {
			s.quietAfter(append(many(5, "1"), s.deployment("old", "example.com/web:1", 0))...)
			want := append(many(8, "2")[2:], s.manifest("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: sim}, spec: {ports: [{port: 80}]}}"))
			p := s.plan(want...)
			c.SetFaults(simfleet.Faults{Latency: 10 * time.Millisecond})
			ctx, cancel := context.WithCancel(s.ctx)
			time.AfterFunc(time.Duration(moment)*3*time.Millisecond, cancel)
			_, err := s.member.Execute(ctx, p)
			if err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			c.SetFaults(simfleet.Faults{})
			listed := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]
			for _, probe := range []*unstructured.Unstructured{configMap("sim", "x"), s.deployment("x", "", 0), object("v1", "Service", "sim", "x")} {
				found, err := s.resource(probe).List(s.ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelPartOf})
				if err != nil {
					t.Fatal(err)
				}
				if len(found.Items) > 0 && !slices.Contains(strings.Split(listed, ","), ref(probe).GroupKind()) {
					t.Errorf("moment %d: there are objects of %s and the set lists %q", moment, ref(probe).GroupKind(), listed)
				}
			}
			s.restart(nil)
			s.insist(want...)
			s.quiet(want...)
			if n := s.member.Inventory().Objects.Len(); n != len(want) {
				t.Errorf("moment %d: %d objects, want %d", moment, n, len(want))
			}
		})
	}
}

func TestWavesWaitForHealth(t *testing.T) {
	onSim(t, nil, func(s *stage, _ *simfleet.Cluster) {
		s.synced()
		web, after := s.deployment("web", "example.com/web:1", 2), configMap("sim", "after")
		p := s.plan(web, after)
		p.Operations[1].Wave = 1
		start := time.Now()
		s.execute(p)
		if took := time.Since(start); took < time.Second/2 {
			t.Errorf("wave 1 went out after %v, before the Deployment was healthy", took)
		}
		hangs := s.deployment("hangs", "example.com/web:1", 2)
		hangs.SetAnnotations(map[string]string{"simfleet.armada-sync.io/behaviour": "hang"})
		later := configMap("sim", "later")
		p = s.plan(web, after, hangs, later)
		p.Operations[3].DependsOn = []v1alpha1.ObjectReference{ref(hangs)}
		var editing sync.WaitGroup
		defer editing.Wait()
		editing.Go(func() {
			pass(5 * time.Second)
			s.edit(after, `{"data":{"x":"y"},"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`)
		})
		start = time.Now()
		r := s.try(p)
		if o := outcome(t, r, later); o.Outcome != apply.OutcomeSkipped || o.Class != apply.ClassWait || !strings.Contains(o.Message, "Deployment sim/hangs to be healthy") {
			t.Errorf("%s %s %q", o.Outcome, o.Class, o.Message)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("drift elsewhere waited %v for a gate", took)
		}
	})
}

func TestFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "east", Nodes: []simfleet.NodeSpec{{Count: 2}}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		s := newStage(t, fleet.Cluster("east").RESTConfig(), "sim", time.Minute, func(o *apply.Options) { o.Capacity, o.CapacityInterval = true, time.Second })
		// Simulated Deployments have no pods, so the pods come one by one.
		for i := range 3 {
			pod := s.manifest("{apiVersion: v1, kind: Pod, metadata: {namespace: default}, spec: {nodeName: node-1, containers: [{name: c, image: i, resources: {limits: {cpu: '1'}}}]}}")
			pod.SetName(fmt.Sprint("pod-", i))
			s.create(pod, "someone")
		}
		s.eventually("the pods are counted", func() error {
			facts, err := s.member.Facts(t.Context())
			if err != nil {
				return err
			}
			if facts.ResourceSummary == nil {
				return errors.New("no summary")
			}
			cpu := facts.ResourceSummary.Allocated[corev1.ResourceCPU]
			pods := facts.ResourceSummary.Allocated[corev1.ResourcePods]
			if cpu.String() != "3" || pods.Value() != 3 {
				return fmt.Errorf("cpu %s, pods %s", cpu.String(), pods.String())
			}
			allocatable := facts.ResourceSummary.Allocatable[corev1.ResourceCPU]
			if allocatable.String() != "8" || facts.NodeSummary.ReadyNum != 2 {
				return fmt.Errorf("allocatable %s, %d nodes ready", allocatable.String(), facts.NodeSummary.ReadyNum)
			}
			return nil
		})
		facts, err := s.member.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range facts.APIEnablements {
			for _, r := range e.Resources {
				found = found || e.GroupVersion == "apps/v1" && r.Kind == "Deployment" && *r.Namespaced
			}
		}
		if !found || facts.KubernetesVersion != "v1.36.0" {
			t.Errorf("version %q, Deployments served: %v", facts.KubernetesVersion, found)
		}
	})
}

func TestDailyComparison(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		objects := many(5, "1")
		s.quietAfter(objects...)
		c.ResetTrace()
		pass(25 * time.Hour)
		if n := c.Count("get", "configmaps"); n < len(objects) || n > 2*len(objects) {
			t.Errorf("%d objects were compared %d times in a day", len(objects), n)
		}
	})
}

func TestNewKindsAreNoticed(t *testing.T) {
	onSim(t, nil, func(s *stage, _ *simfleet.Cluster) {
		s.synced()
		crd := s.crd("Gadget")
		before := s.changeCount()
		s.create(crd, "someone")
		s.eventually("the kind is among the facts", func() error {
			facts, err := s.member.Facts(s.ctx)
			if err != nil {
				return err
			}
			for _, e := range facts.APIEnablements {
				if e.GroupVersion == "sim.example.com/v1" && s.changeCount() > before {
					return nil
				}
			}
			return errors.New("not yet")
		})
		s.quietAfter(s.manifest("{apiVersion: sim.example.com/v1, kind: Gadget, metadata: {name: g, namespace: sim}, spec: {size: 1}}"))
	})
}

// pass lets the time of a bubble pass.
func pass(d time.Duration) { <-time.After(d) }
