package apply

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var (
	// errStopped tells that the context of Execute was done before the operation could start.
	errStopped = errors.New("stopped before it was tried")
	// errOverruled tells that a later plan no longer wants what this one does.
	errOverruled = fmt.Errorf("%w: a later plan keeps the object", errStopped)
	// errGate tells that an operation waited in vain.
	errGate = errors.New("waits")
)

// rank groups kinds between which the order matters to the API server: within a rank everything goes
// out at once, in the order of the plan.
type rank int

const (
	// rankScopes are what other objects live in or are instances of.
	rankScopes rank = iota
	// rankRights are what an admission check of other objects looks up.
	rankRights
	rankRest
	// rankHooks can refuse everything that comes after them.
	rankHooks
)

// ranks are the kinds that do not belong to the rest.
func rankOf(gk schema.GroupKind) rank {
	switch gk {
	case crdKind, schema.GroupKind{Kind: "Namespace"}:
		return rankScopes
	case schema.GroupKind{Kind: "ServiceAccount"}, schema.GroupKind{Kind: "ResourceQuota"}, schema.GroupKind{Kind: "LimitRange"}:
		return rankRights
	}
	switch gk.Group {
	case "rbac.authorization.k8s.io":
		return rankRights
	case "scheduling.k8s.io", "node.k8s.io", "storage.k8s.io":
		return rankRights
	case "networking.k8s.io":
		if gk.Kind == "IngressClass" {
			return rankRights
		}
	case "gateway.networking.k8s.io":
		if gk.Kind == "GatewayClass" {
			return rankRights
		}
	case "admissionregistration.k8s.io", "apiregistration.k8s.io":
		return rankHooks
	}
	return rankRest
}

// pruneRank orders removals: traffic is taken away before what serves it, and what others live in goes
// last.
func pruneRank(gk schema.GroupKind) int {
	switch rankOf(gk) {
	case rankHooks:
		return 0
	case rankRights:
		return 3
	case rankScopes:
		return 4
	case rankRest:
	}
	if gk.Kind == "Service" && gk.Group == "" || gk.Kind == "Ingress" || gk.Group == "gateway.networking.k8s.io" {
		return 1
	}
	return 2
}

// waves carries the writes out: wave by wave, and in each rank by rank. A wave starts when all that
// the waves before it changed is applied and healthy.
func (r *run) waves(todo []job) {
	for start := 0; start < len(todo); {
		wave := todo[start].Wave
		end := start
		for end < len(todo) && todo[end].Wave == wave {
			end++
		}
		jobs := todo[start:end]
		if err := r.awaitWaves(wave); err != nil {
			for _, j := range jobs {
				r.failed(j, err)
			}
		} else {
			r.ranks(jobs)
		}
		start = end
	}
}

// ranks carries the writes of one wave out. What waits for a gate waits beside the rest.
func (r *run) ranks(jobs []job) {
	var gated sync.WaitGroup
	for level := rankScopes; level <= rankHooks; level++ {
		var free []job
		for _, j := range jobs {
			if rankOf(gkOf(j.Operation)) != level {
				continue
			}
			if r.open(j) {
				free = append(free, j)
				continue
			}
			gated.Go(func() {
				if err := r.await(j); err != nil {
					r.failed(j, err)
					return
				}
				r.apply(j)
			})
		}
		r.parallel(free, r.apply)
	}
	gated.Wait()
}

// parallel does jobs in their order with as many at a time as may be in flight. It returns when all
// are done.
func (r *run) parallel(jobs []job, do func(job)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(r.m.opts.Concurrency, len(jobs)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				do(jobs[i])
			}
		})
	}
	wg.Wait()
}

// open tells whether an operation can go out now.
func (r *run) open(j job) bool { return r.blocked(j) == "" }

// blocked says what an operation waits for; empty: nothing.
func (r *run) blocked(j job) string {
	if _, err := r.m.mapper.lookup(gkOf(j.Operation), versionOf(j.APIVersion)); err != nil && r.kindIsComing(j) {
		return fmt.Sprintf("for kind %s to be served", j.GroupKind())
	}
	for _, dep := range j.DependsOn {
		if why := r.unmet(dep); why != "" {
			return why
		}
	}
	return ""
}

// kindIsComing tells whether waiting for a kind makes sense: the plan says so, or holds its CRD.
func (r *run) kindIsComing(j job) bool {
	if j.Gate.Kind() == v1alpha1.GateCRDEstablished {
		return true
	}
	for i := range r.plan.Operations {
		op := &r.plan.Operations[i]
		if gkOf(op) == crdKind && op.Manifest != nil && definedKind(op.Manifest.Object) == gkOf(j.Operation) {
			return true
		}
	}
	return false
}

// unmet says why a dependency is not met yet; empty: it is.
func (r *run) unmet(dep v1alpha1.ObjectReference) string {
	if result, ok := r.resultOf(dep.Key()); ok && result.Class != ClassNone {
		return fmt.Sprintf("for %s, which %s", dep, map[bool]string{true: "failed", false: "waits, too"}[result.Outcome == OutcomeFailed])
	}
	for i := range r.plan.Operations {
		if op := &r.plan.Operations[i]; op.Key() == dep.Key() {
			if _, done := r.resultOf(dep.Key()); !done {
				return fmt.Sprintf("for %s to be applied", dep)
			}
			break
		}
	}
	held, ok := r.m.state.held(dep.Key())
	switch {
	case !ok:
		return fmt.Sprintf("for %s to be there", dep)
	case held.Health != v1alpha1.HealthHealthy:
		return fmt.Sprintf("for %s to be healthy (%s)", dep, held.Detail().HealthMessage)
	}
	return ""
}

// await waits until an operation can go out.
func (r *run) await(j job) error {
	return r.until(func() string { return r.blocked(j) })
}

// awaitWaves waits until everything in waves before the given one is applied and healthy. Objects that
// are put back as they were hold nobody up.
func (r *run) awaitWaves(wave int) error {
	return r.until(func() string {
		for i := range r.plan.Operations {
			op := &r.plan.Operations[i]
			if op.Wave >= wave || op.Action == v1alpha1.ActionPrune || op.Action == v1alpha1.ActionSkip || op.Gate.NeedsReplan() {
				continue
			}
			if op.Action == v1alpha1.ActionConfigure && op.Digest != "" && op.Digest == op.ExpectedDigest {
				continue
			}
			if why := r.unmet(op.ObjectReference); why != "" {
				return fmt.Sprintf("in wave %d %s of wave %d", wave, why, op.Wave)
			}
		}
		return ""
	})
}

// until waits for a condition, which is looked at again whenever something happened that may have
// changed it.
func (r *run) until(blocked func() string) error {
	timer := time.NewTimer(time.Until(r.deadline))
	defer timer.Stop()
	for {
		moved, settled, served := r.m.state.moved.next(), r.settled.next(), r.m.served.next()
		why := blocked()
		if why == "" {
			return nil
		}
		select {
		case <-moved:
		case <-settled:
		case <-served:
		case <-r.interrupted:
			return fmt.Errorf("%w %s; the cluster changed meanwhile", errGate, why)
		case <-timer.C:
			return fmt.Errorf("%w %s", errGate, why)
		case <-r.stop.Done():
			return errStopped
		}
	}
}

// prunes removes what the plan prunes, rank by rank.
func (r *run) prunes(jobs []job) {
	slices.SortStableFunc(jobs, func(a, b job) int { return pruneRank(gkOf(a.Operation)) - pruneRank(gkOf(b.Operation)) })
	for start := 0; start < len(jobs); {
		end := start
		for end < len(jobs) && pruneRank(gkOf(jobs[end].Operation)) == pruneRank(gkOf(jobs[start].Operation)) {
			end++
		}
		r.parallel(jobs[start:end], r.prune)
		start = end
	}
}

// definedKind is the kind that a CRD's manifest defines.
func definedKind(crd map[string]any) schema.GroupKind {
	spec, _ := crd["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	return schema.GroupKind{Group: group, Kind: kind}
}

// versionOf is the version in an apiVersion.
func versionOf(apiVersion string) string {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return apiVersion
	}
	return gv.Version
}
