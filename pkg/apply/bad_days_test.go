package apply_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// proxy stands between the member and its API server, and may spoil what passes. A nil tamper passes all.
type proxy struct {
	next   http.RoundTripper
	tamper atomic.Pointer[func(*http.Request, *http.Response) (*http.Response, error)]
}

func (p *proxy) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.next.RoundTrip(req)
	tamper := p.tamper.Load()
	if err != nil || tamper == nil {
		return resp, err
	}
	return (*tamper)(req, resp)
}

func (p *proxy) set(tamper func(*http.Request, *http.Response) (*http.Response, error)) {
	p.tamper.Store(&tamper)
}

func (p *proxy) off() { p.tamper.Store(nil) }

// behind has the member reach its cluster through a proxy.
func behind(p *proxy) func(*apply.Options) {
	return func(o *apply.Options) {
		o.RESTConfig = rest.CopyConfig(o.RESTConfig)
		o.RESTConfig.Wrap(func(next http.RoundTripper) http.RoundTripper { p.next = next; return p })
	}
}

func isWatch(req *http.Request) bool { return req.URL.Query().Get("watch") == "true" }

func isList(req *http.Request, resource string) bool {
	return req.Method == http.MethodGet && !isWatch(req) && strings.HasSuffix(req.URL.Path, "/"+resource)
}

// said answers a request with other words.
func said(resp *http.Response, code int, body string) *http.Response {
	_ = resp.Body.Close()
	resp.StatusCode, resp.Status = code, fmt.Sprint(code)
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	resp.Header = http.Header{"Content-Type": {"application/json"}}
	return resp
}

// emptyList leaves nothing in a list but its version.
func emptyList(kind, version string) string {
	return fmt.Sprintf(`{"kind":%q,"apiVersion":"v1","metadata":{"resourceVersion":%q},"items":[]}`, kind, version)
}

// A LIST without items that is not true, from a broken API server or a proxy, is no proof that objects
// are gone: they stay known, nothing is removed, and nothing is written.
func TestAnEmptyListProvesNothing(t *testing.T) {
	for _, c := range []struct{ name, resource, reason string }{
		{"of objects", "configmaps", "a look at each by name finds it"},
		{"of ApplySets", "secrets", "what they listed stays known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &proxy{}
			onSim(t, behind(p), func(s *stage, cluster *simfleet.Cluster) {
				objects := many(20, "1")
				s.quietAfter(objects...)
				p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isList(req, c.resource) && resp.StatusCode == http.StatusOK {
						return said(resp, http.StatusOK, emptyList("PartialObjectMetadataList", "1000000")), nil
					}
					return resp, nil
				})
				cluster.ResetTrace()
				cluster.Compact()
				cluster.CutConnections()
				pass(time.Minute)
				s.synced()
				if n := s.member.Inventory().Objects.Len(); n != len(objects) {
					t.Errorf("%d objects are known, want %d: %s", n, len(objects), c.reason)
				}
				s.execute(s.plan(objects...))
				for _, r := range cluster.Requests() {
					// A set whose parent seems to be gone gets a new one, unless there is one.
					if r.Write() && r.Code < http.StatusBadRequest {
						t.Errorf("%s %s: %d", r.Verb, r.Path, r.Code)
					}
				}
				p.off()
				s.quiet(objects...)
			})
		})
	}
}

// From the first list on, that of a controller that has just started, a lie may make objects unknown. They
// are found when they are created anew, and not one is removed.
func TestAnEmptyListAtTheStartRemovesNothing(t *testing.T) {
	p := &proxy{}
	onSim(t, behind(p), func(s *stage, cluster *simfleet.Cluster) {
		objects := many(20, "1")
		s.quietAfter(objects...)
		uid := s.live(objects[3]).GetUID()
		p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if (isList(req, "configmaps") || isList(req, "secrets")) && resp.StatusCode == http.StatusOK {
				return said(resp, http.StatusOK, emptyList("PartialObjectMetadataList", "1000000")), nil
			}
			return resp, nil
		})
		cluster.ResetTrace()
		s.restart(behind(p))
		s.execute(s.plan(objects[:19]...))
		p.off()
		if n := cluster.Count("delete", "configmaps"); n != 0 {
			t.Errorf("%d objects were removed on the word of an empty list", n)
		}
		s.eventually("the truth is believed again", func() error {
			cluster.CutConnections()
			if n := s.member.Inventory().Objects.Len(); n != len(objects) {
				return fmt.Errorf("%d objects", n)
			}
			return nil
		})
		s.quiet(objects...)
		if s.live(objects[3]).GetUID() != uid {
			t.Error("an object was made anew")
		}
	})
}

// A cluster that was restored from a backup gives out resource versions a second time. What the backup holds is
// taken for what it is, and then made what Git says.
func TestAMemberIsRestoredFromAnOldBackup(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		first := append(many(10, "1"), s.deployment("old", "example.com/web:1", 0))
		s.quietAfter(first...)
		backup := c.Backup()
		// Since then objects have changed many times, left, and come, a kind that was unknown among them.
		for _, v := range []string{"2", "3", "4", "5", "6", "7", "8", "9"} {
			s.apply(append(many(10, v), s.deployment("old", "example.com/web:"+v, 0))...)
		}
		latest := append(many(8, "9"),
			s.manifest("{apiVersion: v1, kind: Service, metadata: {name: new, namespace: sim}, spec: {ports: [{port: 80}]}}"),
			configMap("sim", "later", "k", "9"))
		s.quietAfter(latest...)
		c.Restore(backup)
		if err := s.member.Probe(s.ctx); err != nil {
			t.Fatal(err)
		}
		s.becomes(latest...)
		s.quiet(latest...)
		for _, gone := range []*unstructured.Unstructured{first[8], first[9], first[10]} {
			s.absent(gone)
		}
		if n := s.member.Inventory().Objects.Len(); n != len(latest) {
			t.Errorf("%d objects are known, want %d", n, len(latest))
		}
		if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Service" {
			t.Errorf("the set lists %q", got)
		}
	})
}

// A watch that somebody on the way has forgotten says nothing any more, not even that it ended. It is
// opened again, and what happened meanwhile is told.
func TestASilentWatchIsOpenedAgain(t *testing.T) {
	p := &proxy{}
	onSim(t, behind(p), func(s *stage, c *simfleet.Cluster) {
		a := configMap("sim", "a", "k", "1")
		s.quietAfter(a)
		p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isWatch(req) {
				resp.Body = &swallowing{resp.Body, req}
			}
			return resp, nil
		})
		c.CutConnections()
		pass(10 * time.Second)
		s.edit(a, `{"data":{"k":"edited"}}`)
		pass(time.Second)
		if h, _ := s.held(a); !owns(a, h.OwnedFields) {
			t.Fatal("the watch is not silent")
		}
		p.off()
		start := time.Now()
		s.patience = 5 * time.Minute
		s.eventually("the edit is told", func() error {
			if h, _ := s.held(a); owns(a, h.OwnedFields) {
				return errors.New("not yet")
			}
			return nil
		})
		t.Logf("told after %v", time.Since(start))
		s.quietAfter(a)
	})
}

// swallowing is a body from which nothing comes until the request is given up.
type swallowing struct {
	io.ReadCloser
	req *http.Request
}

func (s *swallowing) Read([]byte) (int, error) {
	<-s.req.Context().Done()
	return 0, s.req.Context().Err()
}

// Answers that break off in the middle, or are no answers at all, cost attempts and nothing else.
func TestAnswersThatBreakOff(t *testing.T) {
	html := "<html><body>Please log in to the network</body></html>"
	for name, spoil := range map[string]func(n int64, resp *http.Response) *http.Response{
		"reset in mid-response": func(_ int64, resp *http.Response) *http.Response {
			resp.Body = &breaking{ReadCloser: resp.Body, left: 40}
			return resp
		},
		"a proxy's page with 200": func(_ int64, resp *http.Response) *http.Response { return said(resp, http.StatusOK, html) },
		"a proxy's page with 502": func(_ int64, resp *http.Response) *http.Response { return said(resp, http.StatusBadGateway, html) },
		"another kind of object": func(_ int64, resp *http.Response) *http.Response {
			return said(resp, http.StatusOK, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","uid":"y","resourceVersion":"7"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &proxy{}
			onSim(t, behind(p), func(s *stage, _ *simfleet.Cluster) {
				s.patience = 30 * time.Minute
				s.quietAfter(many(30, "1")...)
				var n atomic.Int64
				p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if i := n.Add(1); i%3 == 0 && req.URL.Path != "/readyz" && !isWatch(req) {
						return spoil(i, resp), nil
					}
					return resp, nil
				})
				s.insist(many(20, "2")...)
				p.off()
				s.insist(many(20, "2")...)
				s.quiet(many(20, "2")...)
				s.holds(many(20, "2"))
			})
		})
	}
}

// breaking is a body that breaks off after some bytes.
type breaking struct {
	io.ReadCloser
	left int
}

func (b *breaking) Read(buf []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("connection reset by peer")
	}
	n, err := b.ReadCloser.Read(buf[:min(len(buf), b.left)])
	b.left -= n
	return n, err
}

// becomes plans and executes again and again until each object is on the cluster as its manifest says.
func (s *stage) becomes(want ...*unstructured.Unstructured) {
	s.Helper()
	s.every(2*time.Second, "the cluster is as Git says", func() error {
		s.insist(want...)
		for _, m := range want {
			live, err := s.resource(m).Get(s.ctx, m.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			wanted, _, _ := unstructured.NestedFieldNoCopy(m.Object, "data", "k")
			if got, _, _ := unstructured.NestedFieldNoCopy(live.Object, "data", "k"); got != wanted {
				return fmt.Errorf("%s: k is %q, want %q", ref(m), got, wanted)
			}
		}
		return nil
	})
}

// holds wants exactly these ConfigMaps of ours on the cluster, each as its manifest says.
func (s *stage) holds(want []*unstructured.Unstructured) {
	s.Helper()
	live, err := s.resource(configMap("sim", "x")).List(s.ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelPartOf})
	if err != nil {
		s.Fatal(err)
	}
	if len(live.Items) != len(want) {
		s.Errorf("%d objects, want %d", len(live.Items), len(want))
	}
	for _, m := range want {
		wanted, _, _ := unstructured.NestedString(m.Object, "data", "k")
		if got, _, _ := unstructured.NestedString(s.live(m).Object, "data", "k"); got != wanted {
			s.Errorf("%s: k is %q, want %q", ref(m), got, wanted)
		}
	}
}

// While an API server asks to be left alone it is, and the rest comes afterwards.
func TestRetryAfterIsObeyed(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		s.quietAfter(many(1, "1")...)
		c.SetFaults(simfleet.Faults{TooManyRequests: 1, RetryAfter: 20 * time.Second, Verbs: []string{"patch"}})
		c.ResetTrace()
		p := s.plan(many(60, "1")...)
		time.AfterFunc(5*time.Second, func() { c.SetFaults(simfleet.Faults{}) })
		start := time.Now()
		s.execute(p)
		if took := time.Since(start); took < 20*time.Second || took > 40*time.Second {
			t.Errorf("it took %v, and the API server asked for 20s", took)
		}
		// Those that were in flight are told, and nobody else asks within the pause.
		if n := c.Count("patch", "configmaps"); n > 59+32 {
			t.Errorf("%d requests for 59 objects with 32 in flight", n)
		}
	})
}

// An API server that has forgotten the version of a watch has everything listed again, once.
func TestForgottenVersions(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		objects := append(many(20, "1"), s.deployment("web", "example.com/web:1", 0))
		s.quietAfter(objects...)
		pass(time.Minute)
		c.ResetTrace()
		s.stage410(c)
		s.quiet(objects...)
		lists := 0
		for _, r := range c.Requests() {
			// The question how far the cluster is counts for nothing.
			if r.Verb == "list" && r.Resource == "configmaps" && !strings.Contains(r.Path, "limit=1") {
				lists++
			}
		}
		if lists != 1 {
			t.Errorf("%d lists of ConfigMaps", lists)
		}
	})
}

// stage410 changes an object of ours and others while nobody watches, and forgets how.
func (s *stage) stage410(c *simfleet.Cluster) {
	s.Helper()
	c.Partition()
	c.CutConnections()
	if err := c.EditAs("kubectl-edit", configMap("sim", "c-003").GroupVersionKind(), "sim", "c-003", func(o map[string]any) {
		o["data"] = map[string]any{"k": "edited"}
	}); err != nil {
		s.Fatal(err)
	}
	c.Compact()
	c.Heal()
	s.eventually("the edit is told", func() error {
		if h, _ := s.held(configMap("sim", "c-003", "k", "1")); owns(configMap("sim", "c-003", "k", "1"), h.OwnedFields) {
			return errors.New("not yet")
		}
		return nil
	})
}

// An extension API server that is down keeps its own kinds waiting and nothing else, also when the
// controller has just started: the rest is applied and removed, its sets stay listed, and no namespace
// goes that may hold what nobody can see.
func TestAnExtensionServerIsDown(t *testing.T) {
	p := &proxy{}
	onSim(t, behind(p), func(s *stage, _ *simfleet.Cluster) {
		s.create(s.crd("Widget"), "someone")
		widget := s.manifest("{apiVersion: sim.example.com/v1, kind: Widget, metadata: {name: w, namespace: sim}, spec: {size: 3}}")
		ns := s.manifest("{apiVersion: v1, kind: Namespace, metadata: {name: extra, annotations: {armada-sync.io/prune: confirm}}}")
		s.insist(append(many(5, "1"), ns, widget)...)
		s.quiet(append(many(5, "1"), ns, widget)...)
		p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
			return withoutGroup(req, resp, "sim.example.com")
		})
		s.restart(func(o *apply.Options) { behind(p)(o); o.WaitTimeout = 2 * time.Second })
		if problems := strings.Join(s.member.Problems(), "\n"); !strings.Contains(problems, "sim.example.com") {
			t.Errorf("nobody says what is down: %q", problems)
		}
		plan := s.plan(append(many(4, "2"), widget)...)
		r := s.try(plan)
		for _, m := range many(5, "2") {
			if o := outcome(t, r, m); o.Class != apply.ClassNone {
				t.Errorf("%s: %s %s %s", o.ObjectReference, o.Outcome, o.Class, o.Message)
			}
		}
		if o := outcome(t, r, widget); o.Class != apply.ClassRetry || !strings.Contains(o.Message, "sim.example.com") {
			t.Errorf("%s %s %q", o.Outcome, o.Class, o.Message)
		}
		if o := outcome(t, r, ns); o.Class != apply.ClassWait || !strings.Contains(o.Message, "sim.example.com") {
			t.Errorf("a namespace whose content nobody can tell: %s %s %q", o.Outcome, o.Class, o.Message)
		}
		if got := s.parent("shop").GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; !strings.Contains(got, "Widget.sim.example.com") {
			t.Errorf("the set lists %q, and there is a Widget", got)
		}
		s.live(widget)
		p.off()
		s.restart(nil)
		s.insist(append(many(4, "2"), widget)...)
		s.quiet(append(many(4, "2"), widget)...)
		s.absent(ns)
	})
}

// withoutGroup has discovery say that a group cannot be asked for, as for an APIService whose server is down,
// and its paths answer 503.
func withoutGroup(req *http.Request, resp *http.Response, group string) (*http.Response, error) {
	path := req.URL.Path
	if strings.HasPrefix(path, "/apis/"+group) {
		return said(resp, http.StatusServiceUnavailable, "service unavailable"), nil
	}
	if path != "/apis" && path != "/api" || resp.StatusCode != http.StatusOK {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if i := bytes.Index(body, []byte(`"name":"`+group+`"`)); i >= 0 {
		tail := bytes.Replace(body[i:], []byte(`"freshness":"Current"`), []byte(`"freshness":"Stale"`), 1)
		body = append(body[:i:i], tail...)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// Two controllers that take themselves for the only one, after a failover of the hub that went wrong, do not
// remove what either of them wants, and end in one state when one of them is gone.
func TestTwoControllersAtOnce(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		s.quietAfter(many(30, "1")...)
		twin := newStage(s.TB, s.cfg, "sim", s.patience, nil)
		twin.hub = s.hub
		twin.stop()
		twin.start(nil)
		twin.synced()
		c.ResetTrace()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 5 {
				// The result may be a stale plan or lost races; both are found out before anything is written.
				_, _ = twin.member.Execute(twin.ctx, twin.plan(many(30, "2")...))
			}
		}()
		for range 5 {
			_, _ = s.member.Execute(s.ctx, s.plan(many(30, "2")...))
		}
		<-done
		if n := c.Count("delete", "configmaps"); n != 0 {
			t.Errorf("%d removals", n)
		}
		twin.stop()
		s.insist(many(30, "2")...)
		s.quiet(many(30, "2")...)
		s.holds(many(30, "2"))
	})
}

// A definition that somebody removed takes its objects along; both come back, and what is not of that
// kind does not notice.
func TestADefinitionIsRemovedByHand(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		crd := s.crd("Widget")
		widget := s.manifest("{apiVersion: sim.example.com/v1, kind: Widget, metadata: {name: w, namespace: sim}, spec: {size: 3}}")
		objects := append(many(5, "1"), crd, widget)
		s.insist(objects...)
		s.quiet(objects...)
		uid := s.live(objects[0]).GetUID()
		s.delete(crd)
		s.eventually("the definition is gone", func() error {
			if _, held := s.held(crd); held {
				return errors.New("still held")
			}
			return nil
		})
		s.becomes(objects...)
		s.quiet(objects...)
		if s.live(objects[0]).GetUID() != uid {
			t.Error("an object of another kind was made anew")
		}
		if n := c.Count("delete", "configmaps"); n != 0 {
			t.Errorf("%d ConfigMaps were removed", n)
		}
	})
}

// The parent of a set that somebody edits or removes is put right where it is still ours, and stops us
// where it says that it belongs to another hub. No object goes either way.
func TestAParentThatPeopleTouch(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		// refused tells that nothing of the source may be written afterwards.
		refused bool
		reason  string
	}{
		{"kinds emptied", `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":""}}}`, false, "they are listed again"},
		{"kinds nonsense", `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":",,.,Nothing.example.com"}}}`, false, "what is not served holds nothing"},
		{"namespaces removed", `{"metadata":{"annotations":{"applyset.kubernetes.io/additional-namespaces":null}}}`, false, "they are listed again"},
		{"label removed", `{"metadata":{"labels":{"applyset.kubernetes.io/id":null}}}`, false, "a look by name finds it"},
		{"source removed", `{"metadata":{"annotations":{"armada-sync.io/source":null}}}`, false, "the name says it, too"},
		{"another hub", `{"metadata":{"annotations":{"armada-sync.io/hub":"another"}}}`, true, "two hubs must not fight"},
		{"another tool", `{"metadata":{"annotations":{"applyset.kubernetes.io/tooling":"kubectl/v1.36"}}}`, true, "kubectl may prune by it"},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restarted-%v", c.name, restarted), func(t *testing.T) {
				onSim(t, nil, func(s *stage, cluster *simfleet.Cluster) {
					objects := append(many(5, "1"), s.deployment("web", "example.com/web:1", 0))
					s.quietAfter(objects...)
					s.edit(s.parent("shop"), c.patch)
					pass(5 * time.Second)
					if restarted {
						s.stop()
						s.start(nil)
						s.synced()
					}
					changed := append(many(5, "2"), s.deployment("web", "example.com/web:2", 0))
					_, err := s.member.Execute(s.ctx, s.plan(changed...))
					if c.refused != errors.Is(err, apply.ErrForeignApplySet) {
						t.Fatalf("%s: %v", c.reason, err)
					}
					if n := cluster.Count("delete", "configmaps") + cluster.Count("delete", "deployments"); n != 0 {
						t.Errorf("%d removals", n)
					}
					if c.refused {
						s.holds(many(5, "1"))
						return
					}
					s.insist(changed...)
					s.quiet(changed...)
					p := s.parent("shop")
					if got := p.GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Deployment.apps" {
						t.Errorf("%s: the set lists %q", c.reason, got)
					}
					if p.GetLabels()["applyset.kubernetes.io/id"] == "" || p.GetAnnotations()["armada-sync.io/source"] == "" {
						t.Errorf("%s: labels %v, annotations %v", c.reason, p.GetLabels(), p.GetAnnotations())
					}
				})
			})
		}
	}
}

// A parent that somebody removes or edits comes back by itself, with one write: a controller that starts before
// the next write of the source must still know of what Git drops meanwhile.
func TestAParentIsPutBackAtRest(t *testing.T) {
	for _, c := range []struct {
		name  string
		touch func(*stage)
	}{
		{"removed", func(s *stage) { s.delete(s.parent("shop")) }},
		{"kinds emptied", func(s *stage) {
			s.edit(s.parent("shop"), `{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":""}}}`)
		}},
		{"label stolen", func(s *stage) {
			s.edit(s.parent("shop"), `{"metadata":{"labels":{"applyset.kubernetes.io/id":"stolen"}}}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSim(t, nil, func(s *stage, cluster *simfleet.Cluster) {
				web := s.deployment("web", "example.com/web:1", 0)
				s.quietAfter(append(many(5, "1"), web)...)
				c.touch(s)
				before := cluster.Count("patch", "secrets")
				pass(5 * time.Second)
				p := s.parent("shop")
				if got := p.GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != "ConfigMap,Deployment.apps" {
					t.Errorf("the set lists %q", got)
				}
				if got := p.GetLabels()["applyset.kubernetes.io/id"]; got != s.live(web).GetLabels()["applyset.kubernetes.io/part-of"] {
					t.Errorf("its id is %q", got)
				}
				pass(5 * time.Minute)
				if n := cluster.Count("patch", "secrets") - before; n != 1 {
					t.Errorf("%d writes to put it back", n)
				}
				s.restart(nil)
				s.apply(many(5, "1")...)
				s.absent(web)
			})
		})
	}
}

// An object for which the API server waits for a webhook in vain is tried once in an Execute: more attempts
// would take the places of objects that the webhook is not for.
func TestAWebhookThatHangsIsNotWaitedForAgain(t *testing.T) {
	p := &proxy{}
	onSim(t, behind(p), func(s *stage, cluster *simfleet.Cluster) {
		s.apply(configMap(s.ns, "first"))
		p.set(func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if req.Method != http.MethodPatch || !strings.Contains(req.URL.Path, "/configmaps/c-") {
				return resp, nil
			}
			pass(10 * time.Second)
			return said(resp, http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"reason":"InternalError",`+
				`"message":"Internal error occurred: failed calling webhook \"x.example.com\": failed to call webhook: context deadline exceeded"}`), nil
		})
		began := time.Now()
		r := s.try(s.plan(append(many(60, "1"), s.deployment("web", "example.com/web:1", 0))...))
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		o := outcome(s, r, many(60, "1")[59])
		if o.Class != apply.ClassRetry || !strings.Contains(o.Message, `"x.example.com"`) {
			t.Errorf("%s %q", o.Class, o.Message)
		}
		s.live(s.deployment("web", "", 0))
	})
}
