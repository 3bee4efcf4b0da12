package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is one thing that happens, a while after the event before it.
type event struct {
	after time.Duration
	op    string
	args  []string
}

// String is the event as a line of a scenario: "+12s stop c2".
func (e event) String() string {
	return strings.TrimSpace(fmt.Sprintf("+%s %s %s", e.after, e.op, strings.Join(e.args, " ")))
}

// scenario is one run: a world that follows from the seed, and what happens in it.
type scenario struct {
	seed   uint64
	events []event
}

// String is the scenario as a file.
func (s scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", s.seed)
	for _, e := range s.events {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// parseScenario reads a file. Lines that begin with # are for people.
func parseScenario(text string) (scenario, error) {
	var s scenario
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var err error
		switch {
		case words[0] == "seed" && len(words) == 2:
			s.seed, err = strconv.ParseUint(words[1], 10, 64)
		case strings.HasPrefix(words[0], "+") && len(words) >= 2:
			e := event{op: words[1], args: words[2:]}
			e.after, err = time.ParseDuration(words[0][1:])
			s.events = append(s.events, e)
			if operations[e.op].play == nil {
				err = fmt.Errorf("unknown event %q", e.op)
			}
		default:
			err = fmt.Errorf("want seed N, or +TIME EVENT, got %q", line)
		}
		if err != nil {
			return s, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return s, nil
}

// The least that a run has.
const (
	minClusters = 4
	minObjects  = 20
	minEvents   = 25
)

// random returns the source of chance for one purpose, so that another number of draws for one does not
// change the others.
func random(seed uint64, purpose string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// generate makes the scenario of a seed.
func generate(seed uint64) scenario {
	r := random(seed, "events")
	plan := newLayout(seed)
	s := scenario{seed: seed}
	names := make([]string, 0, len(operations))
	for name, o := range operations {
		for range o.weight {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for range minEvents + r.IntN(10) {
		op := names[r.IntN(len(names))]
		e := event{op: op, after: time.Duration(1+r.IntN(40)) * time.Second}
		for _, kind := range operations[op].args {
			e.args = append(e.args, plan.pick(r, kind))
		}
		s.events = append(s.events, e)
	}
	return s
}

// layout is what a seed fixes from the start: the names of clusters and applications.
type layout struct {
	clusters []string
	apps     []app
}

// newLayout makes the layout of a seed.
func newLayout(seed uint64) layout {
	r := random(seed, "layout")
	var l layout
	for i := range minClusters + r.IntN(2) {
		l.clusters = append(l.clusters, "c"+strconv.Itoa(i+1))
	}
	l.apps = newApps(r, l.clusters)
	return l
}

// pick draws an argument of a kind.
func (l layout) pick(r *rand.Rand, kind string) string {
	switch kind {
	case "cluster":
		return l.clusters[r.IntN(len(l.clusters))]
	case "app":
		return l.apps[r.IntN(len(l.apps))].name
	case "workload":
		var names []string
		for _, a := range l.apps {
			if a.kind == "Deployment" {
				names = append(names, a.name)
			}
		}
		return names[r.IntN(len(names))]
	case "replicas":
		return strconv.Itoa(r.IntN(8))
	case "strategy":
		return strategyNames[r.IntN(len(strategyNames))]
	case "fault":
		return faultNames[r.IntN(len(faultNames))]
	case "jump":
		return []string{"-90s", "-5s", "5s", "90s", "20m"}[r.IntN(5)]
	case "tier":
		return []string{"gold", "silver"}[r.IntN(2)]
	}
	panic("no such argument: " + kind)
}
