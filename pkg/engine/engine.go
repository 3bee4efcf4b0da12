package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// Opener opens the repository of a GitSource. An error concerns that source alone and is tried again with
// every poll, since credentials may come later.
type Opener func(v1alpha1.GitSource) (source.Source, error)

// Options say what an engine runs with. All but Observe are required.
type Options struct {
	Configuration
	Store   Store
	Open    Opener
	Builder Builder
	Connect Connector
	// SecretKey is the hub's key for the digests of Secrets.
	SecretKey []byte
	Log       *slog.Logger
	Registry  prometheus.Registerer
	// Observe is called after each plan with what was planned from what. It must return soon.
	Observe func(Cycle)
	// Now tells the time that health, tolerations and timers count from. Default: time.Now.
	Now func() time.Time
	// Planner makes the plans. Default: a plan.Planner.
	Planner Planner
}

// Planner makes the plan of a turn. What it is given is not to be changed.
type Planner interface {
	Compute(plan.Trees, plan.Snapshot) *plan.Plan
}

// Cycle is one turn of the loop.
type Cycle struct {
	Plan     *plan.Plan
	Snapshot plan.Snapshot
	// Settled tells that nothing is left to do that could be done now, nothing is in flight, and no
	// timer is running.
	Settled bool
	// Fights are the objects that are left alone since someone changes them again and again.
	Fights Fights
	// Sources by id, and everything that is wrong at the moment.
	Sources  []SourceStatus
	Problems []Problem
}

// Engine is a running controller.
type Engine struct {
	options Options
	log     *slog.Logger
	metrics *Metrics
	planner Planner
	hubID   string

	wake  chan struct{}
	inbox locked[inbox]
	ready locked[bool]
	// latest is the last turn of the loop; nil before the first.
	latest locked[*Cycle]

	// began is when Run did.
	began time.Time
	// stopped is closed when Run ends.
	stopped chan struct{}

	// The rest belongs to the goroutine of the loop. Of the configuration, configured is what was given
	// and current what the orders make of it.
	configured Configuration
	current    Configuration
	// rules are those by which objects are judged, compiled once for all clusters.
	rules    *health.Rules
	pollers  []*poller
	sites    []*site
	crew     *crew
	problems *problemLog
	state    State
	kept     Kept
	stop     stop
	// connecting and writing bound for how many clusters that goes on at once.
	connecting, writing *room
}

// New prepares an engine. Nothing runs and nothing is contacted before Run.
func New(o Options) *Engine {
	e := &Engine{
		options: o, log: o.Log, metrics: NewMetrics(o.Registry),
		hubID: o.Config.HubID, wake: make(chan struct{}, 1), stopped: make(chan struct{}), problems: newProblemLog(o.Log),
		planner: o.Planner, connecting: newRoom(), writing: newRoom(),
	}
	if e.hubID == "" {
		e.hubID = o.Name
	}
	if o.Observe == nil {
		e.options.Observe = func(Cycle) {}
	}
	if o.Now == nil {
		e.options.Now = time.Now
	}
	if o.Planner == nil {
		e.planner = plan.NewPlanner(plan.Options{SecretDigest: apply.SecretDigester(o.SecretKey)})
	}
	e.configure(o.Configuration)
	return e
}

// nudge asks for another turn of the loop; many nudges are one turn.
func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Ready tells that a first plan was computed, so that what the controller says can be relied upon.
func (e *Engine) Ready() bool { return e.ready.get() }

// Latest returns the last turn of the loop, false before the first. What it holds is not to be changed.
func (e *Engine) Latest() (Cycle, bool) {
	c := e.latest.get()
	if c == nil {
		return Cycle{}, false
	}
	return *c, true
}

// settleDelay lets changes that come together be planned together.
const settleDelay = 20 * time.Millisecond

// While much happens the loop is at work for half of the time, so that the clusters get the rest, after a second of
// work without a pause: a change that comes alone never waits. Both are in milliseconds of work; a pause is at most
// turnBurst/turnShare, two seconds, however long a turn takes.
const (
	turnShare = 500
	turnBurst = 1000
)

// startInterval is how often it is looked whether the first answers of sources and clusters are in;
// storeInterval is how often a store that failed is tried again.
const (
	startInterval = 50 * time.Millisecond
	storeInterval = 5 * time.Second
)

// Run runs until ctx ends: then nothing new is begun, what is in flight is finished, and the state
// is kept. Its error is one of the store's; everything else that goes wrong is a problem in the log.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.stopped)
	state, err := e.options.Store.Load(ctx)
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	e.state = state
	e.began = time.Now()
	e.begin() //nolint:contextcheck // nothing is started before there is a crew, which has its context
	e.restoreHealth()

	e.crew = &crew{ctx: ctx}
	for _, p := range e.pollers {
		e.crew.start(p) //nolint:contextcheck // what the crew runs lives as long as Run, whichever turn starts it
	}
	for _, s := range e.sites {
		e.crew.start(s) //nolint:contextcheck // what the crew runs lives as long as Run, whichever turn starts it
	}
	e.loop(ctx)
	e.crew.wait()
	_, err = e.options.Store.Save(context.WithoutCancel(ctx), e.state)
	return err
}

// loop plans whenever something changed, and at short intervals while a timer is running.
func (e *Engine) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pace := rate.NewLimiter(turnShare, turnBurst)
	var rested time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			if !sleep(ctx, max(settleDelay, time.Until(rested))) {
				return
			}
			drain(e.wake)
		case <-timer.C:
		}
		timer.Stop()
		began := time.Now()
		next := e.turn(ctx)
		took := min(int(time.Since(began).Milliseconds()), turnBurst)
		rested = time.Now().Add(pace.ReserveN(time.Now(), took).Delay())
		if !next.IsZero() {
			timer.Reset(next.Sub(e.options.Now()))
		}
	}
}

// turn is one turn of the loop. It returns when the next one is due without any event; zero: never.
func (e *Engine) turn(ctx context.Context) time.Time {
	now := e.options.Now()
	// 0. Take up what came in: another configuration, orders.
	e.takeUp(ctx)
	if !e.observed(ctx) {
		return now.Add(startInterval)
	}
	// 1. Observe: the last good trees and one snapshot of the fleet.
	trees := e.trees()
	snap := e.snapshot(ctx, now)
	snap.Guards.Limited = true
	// 2. Plan.
	began := time.Now()
	p := e.planner.Compute(trees, snap)
	e.metrics.planSeconds.Observe(time.Since(began).Seconds())
	// 3. Remember decisions before acting on them.
	if err := e.record(ctx, p, snap); err != nil {
		e.log.ErrorContext(ctx, "the state was not kept, nothing is written to clusters until it is", "error", err)
		return now.Add(storeInterval)
	}
	e.retain(p)
	e.spread(&snap)
	// 4. Execute, each cluster for itself.
	idle := e.dispatch(ctx, p, snap)
	// 5. Report what is new and what is solved.
	problems := e.report(ctx, p, snap)
	e.ready.update(func(r *bool) bool { *r = true; return true })
	next := e.nextTimer(p, snap)
	cycle := Cycle{
		Plan: p, Snapshot: snap, Settled: idle && next.IsZero() && !e.unwell(snap),
		Sources: e.sourceStatuses(p, snap), Problems: problems, Fights: e.fights(),
	}
	e.countDrift(p, cycle.Fights)
	e.latest.update(func(c **Cycle) bool { *c = &cycle; return true })
	e.options.Observe(cycle)
	return next
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
