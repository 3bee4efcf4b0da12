package apply

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// checkers is how many objects of one member are looked at by name at the same time.
const checkers = 4

// check asks to look at one object by name: whether it is really gone or, with compare, whether it is
// as desired where metadata does not show it.
type check struct {
	kind    schema.GroupKind
	name    types.NamespacedName
	compare bool
}

// checks is the queue of objects to look at. An object is in it at most once for each purpose.
type checks struct {
	mu      sync.Mutex
	pending map[check]bool
	queue   []check
	more    chan struct{}
}

func newChecks() *checks {
	return &checks{pending: map[check]bool{}, more: make(chan struct{}, 1)}
}

func (c *checks) add(k check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[k] {
		return
	}
	c.pending[k] = true
	c.queue = append(c.queue, k)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take removes what is queued.
func (c *checks) take() []check {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.queue
	c.queue = nil
	clear(c.pending)
	return out
}

// runChecks looks at what is queued until ctx is done. What fails is queued again after a pause.
func (m *Member) runChecks(ctx context.Context) {
	pause := time.Duration(0)
	for {
		select {
		case <-m.checks.more:
		case <-ctx.Done():
			return
		}
		failed := m.lookAt(ctx, m.checks.take())
		if len(failed) == 0 {
			pause = 0
			continue
		}
		wake := m.wake.next()
		pause = min(max(2*pause, 200*time.Millisecond), m.opts.MaxBackoff)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-wake:
		case <-ctx.Done():
		}
		timer.Stop()
		for _, k := range failed {
			m.checks.add(k)
		}
	}
}

// lookAt looks at several objects side by side and returns those that no answer was had for.
func (m *Member) lookAt(ctx context.Context, list []check) (failed []check) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		next = make(chan check)
	)
	for range min(checkers, len(list)) {
		wg.Go(func() {
			for k := range next {
				if err := m.look(ctx, k); err != nil {
					mu.Lock()
					failed = append(failed, k)
					mu.Unlock()
				}
			}
		})
	}
	for _, k := range list {
		next <- k
	}
	close(next)
	wg.Wait()
	return failed
}

// look gets one object by name and takes in what it says.
func (m *Member) look(ctx context.Context, k check) error {
	r, err := m.mapper.lookup(k.kind, "")
	if errors.Is(err, errNotServed) {
		// With its kind the object has gone. The kind's watch may go on from where it was once it is
		// served again, and would not say so any more.
		m.state.gone(k.kind, k.name, "")
		return nil
	}
	if err != nil {
		return err
	}
	kind := kindID{GroupKind: k.kind, apiVersion: r.GroupVersion().String()}
	accept := acceptMetadata
	if k.compare {
		accept = acceptJSON
	}
	ans, err := m.client.do(ctx, call{
		verb: "get", method: http.MethodGet, path: r.path(k.name.Namespace, k.name.Name), accept: accept,
	})
	if apierrors.IsNotFound(err) {
		m.state.gone(k.kind, k.name, "")
		if k.kind == crdKind {
			m.mapper.forget(k.name.Name)
			m.rediscover()
		}
		return nil
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		m.report("look at "+k.kind.String(), err)
		return nil
	}
	if err != nil {
		return err
	}
	if !k.compare {
		o, err := fromAnswer(kind, ans.body)
		if err != nil || o == nil {
			return err
		}
		m.took(o, m.state.see(o))
		return nil
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(ans.body, &u.Object); err != nil {
		return err
	}
	o := m.keepState(fromObject(kind, u, m.opts.Health.For(k.kind, r.hasStatus)))
	if m.state.see(o) != lookGone {
		m.compare(o)
	}
	return nil
}

// compare compares a whole object with what is desired and takes in the result.
func (m *Member) compare(o *observed) {
	desired := m.desired.Load()
	if desired == nil {
		m.state.compared(o, nil)
		return
	}
	manifest, ok := (*desired)(o.key)
	if !ok {
		m.state.compared(o, nil)
		return
	}
	m.state.compared(o, Differences(manifest.Object, o.object.Object, o.owned))
}

// compareSteps is in how many steps the objects of a member are compared in one interval.
const compareSteps = 288

// compareAll compares some objects at each step, so that each is compared about once in an interval.
func (m *Member) compareAll(ctx context.Context) {
	step := max(m.opts.FullCompareInterval/compareSteps, time.Second)
	var last v1alpha1.ObjectKey
	due := 0.0
	for sleep(ctx, step) == nil {
		objects := m.state.all()
		due += float64(objects.Len()) * step.Seconds() / m.opts.FullCompareInterval.Seconds()
		for ; due >= 1; due-- {
			// The last one may be gone meanwhile; what comes after its key is known all the same.
			last = objects.After(last).Key()
			m.checks.add(check{kind: gkOfKey(last), name: nameOf(last), compare: true})
		}
	}
}
