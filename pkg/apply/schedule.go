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
	"github.com/armada-sync/armada-sync/pkg/plan"
)

var (
	// errStopped tells that the context of Execute was done before the operation could start.
	errStopped = errors.New("stopped before it was tried")
	// errOverruled tells that a later plan no longer wants what this one does.
	errOverruled = fmt.Errorf("%w: a later plan keeps the object", errStopped)
	// errGate tells that an operation waited in vain.
	errGate = errors.New("waits")
	// errOrder is an errGate that waits for other operations or objects: events tell when it is over.
	errOrder = fmt.Errorf("%w", errGate)
)

// rank groups kinds between which the order matters to the API server: each waits for all of the one before. Within
// the rest kinds go out in the order of the plan, as far as none keeps the others waiting; see inTurn.
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

// waves carries the writes out: wave by wave, and in each rank by rank. A wave of a source starts when all that
// the waves of the source before it changed is applied and healthy; sources do not wait for each other.
func (r *run) waves(todo []job) {
	var waiting sync.WaitGroup
	for start := 0; start < len(todo); {
		wave := todo[start].Wave
		end := start
		for end < len(todo) && todo[end].Wave == wave {
			end++
		}
		var free []job
		waits, later := map[string]bool{}, map[string][]job{}
		for _, j := range todo[start:end] {
			if _, asked := waits[j.Source]; !asked {
				waits[j.Source] = r.behind(j.Source, wave).why != ""
			}
			if waits[j.Source] && !j.PutsBack {
				later[j.Source] = append(later[j.Source], j)
				continue
			}
			free = append(free, j)
		}
		for source, jobs := range later {
			waiting.Go(func() { r.wave(source, wave, jobs, &waiting) })
		}
		r.ranks(free, &waiting)
		start = end
	}
	waiting.Wait()
}

// wave waits for the waves before one of a source, and carries it out.
func (r *run) wave(source string, wave int, jobs []job, waiting *sync.WaitGroup) {
	err := r.until(func() obstacle { return r.behind(source, wave) })
	if err == nil {
		r.ranks(jobs, waiting)
		return
	}
	for _, j := range jobs {
		r.failed(j, err)
	}
}

// ranks carries the writes of one wave out. What waits for a gate waits beside the rest, and may do so still
// when ranks returns.
func (r *run) ranks(jobs []job, waiting *sync.WaitGroup) {
	for level := rankScopes; level <= rankHooks; level++ {
		var free []job
		for _, j := range jobs {
			if rankOf(gkOf(j.Operation)) != level {
				continue
			}
			if r.blocked(j).why == "" {
				free = append(free, j)
				continue
			}
			waiting.Go(func() {
				if err := r.await(j); err != nil {
					r.failed(j, err)
					return
				}
				r.apply(j)
			})
		}
		if level == rankRest {
			r.inTurn(free)
		} else {
			r.parallel(free, r.apply)
		}
	}
}

// turnPatience is for how long a kind waits for the last answers of the kinds before it: as a rule a Deployment finds
// its ConfigMaps, but one that the API server does not answer for, as for a webhook that hangs, holds nobody up.
const turnPatience = time.Second

// inTurn applies kind after kind, in the order of the plan.
func (r *run) inTurn(jobs []job) {
	order := func(j job) int { return plan.KindOrder(j.ObjectReference) }
	slices.SortStableFunc(jobs, func(a, b job) int { return order(a) - order(b) })
	var all sync.WaitGroup
	for start := 0; start < len(jobs); {
		end := start + 1
		for end < len(jobs) && order(jobs[end]) == order(jobs[start]) {
			end++
		}
		kind, begun, done := jobs[start:end], make(chan struct{}), make(chan struct{})
		var n atomic.Int64
		all.Go(func() {
			defer close(done)
			r.parallel(kind, func(j job) {
				if int(n.Add(1)) == len(kind) {
					close(begun)
				}
				r.apply(j)
			})
		})
		<-begun
		patience := time.NewTimer(turnPatience)
		select {
		case <-done:
		case <-patience.C:
		}
		patience.Stop()
		start = end
	}
	all.Wait()
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

// obstacle is what an operation waits for; the zero value is nothing.
type obstacle struct {
	why string
	// final tells that waiting is in vain: what has to come first has been tried, and is not tried again before
	// the next plan.
	final bool
}

// blocked says what an operation waits for.
func (r *run) blocked(j job) obstacle {
	if _, err := r.m.mapper.lookup(gkOf(j.Operation), versionOf(j.APIVersion)); err != nil && r.kindIsComing(j) {
		return obstacle{why: fmt.Sprintf("for kind %s to be served", j.GroupKind())}
	}
	if j.PutsBack {
		return obstacle{}
	}
	for _, dep := range j.DependsOn {
		if o := r.unmet(dep); o.why != "" {
			return o
		}
	}
	return obstacle{}
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

// unmet says why a dependency is not met yet.
func (r *run) unmet(dep v1alpha1.ObjectReference) obstacle {
	if result, ok := r.resultOf(dep.Key()); ok && result.Class != ClassNone {
		what := map[bool]string{true: "failed", false: "waits, too"}[result.Outcome == OutcomeFailed]
		return obstacle{why: fmt.Sprintf("for %s, which %s", dep, what), final: true}
	}
	if r.planned()[dep.Key()] {
		if _, done := r.resultOf(dep.Key()); !done {
			return obstacle{why: fmt.Sprintf("for %s to be applied", dep)}
		}
	}
	held, ok := r.m.state.held(dep.Key())
	switch {
	case !ok:
		return obstacle{why: fmt.Sprintf("for %s to be there", dep)}
	case held.Health != v1alpha1.HealthHealthy:
		return obstacle{why: fmt.Sprintf("for %s to be healthy (%s)", dep, held.Detail().HealthMessage)}
	}
	return obstacle{}
}

// plannedKeys returns the keys of operations.
func plannedKeys(operations []plan.Operation) map[v1alpha1.ObjectKey]bool {
	keys := make(map[v1alpha1.ObjectKey]bool, len(operations))
	for i := range operations {
		keys[operations[i].Key()] = true
	}
	return keys
}

// await waits until an operation can go out.
func (r *run) await(j job) error {
	return r.until(func() obstacle { return r.blocked(j) })
}

// behind says what of the waves of a source before the given one is not applied and healthy yet. Objects that
// are put back as they were hold nobody up.
func (r *run) behind(source string, wave int) obstacle {
	var first obstacle
	for i := range r.plan.Operations {
		op := &r.plan.Operations[i]
		if op.Source != source || op.Wave >= wave || op.Action == v1alpha1.ActionPrune || op.Action == v1alpha1.ActionSkip || op.Gate.NeedsReplan() || op.PutsBack {
			continue
		}
		o := r.unmet(op.ObjectReference)
		if o.why == "" || first.why != "" && !o.final {
			continue
		}
		first = obstacle{why: fmt.Sprintf("in wave %d %s of wave %d", wave, o.why, op.Wave), final: o.final}
		if o.final {
			break
		}
	}
	return first
}

// until waits for a condition, which is looked at again whenever something happened that may have
// changed it.
func (r *run) until(blocked func() obstacle) error {
	timer := time.NewTimer(time.Until(r.deadline))
	defer timer.Stop()
	for {
		moved, settled, served := r.m.state.moved.next(), r.settled.next(), r.m.served.next()
		o := blocked()
		switch {
		case o.why == "":
			return nil
		case o.final:
			return fmt.Errorf("%w %s", errOrder, o.why)
		}
		select {
		case <-moved:
		case <-settled:
		case <-served:
		case <-r.interrupted:
			return fmt.Errorf("%w %s", errOrder, o.why)
		case <-timer.C:
			return fmt.Errorf("%w %s", errOrder, o.why)
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
