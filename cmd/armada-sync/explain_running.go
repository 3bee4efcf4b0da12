package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// explainPath is where a running controller explains a workload.
const explainPath = "/v1/explain"

// explainRequest asks a controller why an object is where it is, on the commits and the fleet of its last plan.
type explainRequest struct {
	Question plan.Question `json:"question"`
	// Format is the name of an explanation format, Options are for its printer.
	Format  string            `json:"format"`
	Options plan.PrintOptions `json:"options"`
}

// explainAnswer is an explanation as it is printed.
type explainAnswer struct {
	Output string `json:"output"`
}

// explainRunning asks the controller that the flags name.
func explainRunning(ctx context.Context, s streams, flags *explainFlags, r explainRequest) error {
	client, err := flags.control.dial(ctx, s)
	if err != nil {
		return err
	}
	defer client.Close()
	var answer explainAnswer
	if err := client.Post(ctx, explainPath, r, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprint(s.out, answer.Output)
	return err
}

// serveExplain lets commands ask a running controller why a workload is where it is.
func serveExplain(server *control.Server, e *engine.Engine) {
	control.Handle(server, "POST "+explainPath, func(_ context.Context, r explainRequest) (explainAnswer, error) {
		cycle, ok := e.Latest()
		if !ok {
			return explainAnswer{}, errNotPlanned
		}
		cycle.Snapshot.FleetDigest = cycle.Snapshot.Digest()
		out, err := printExplanation(cycle.Plan.Trees(), cycle.Snapshot, cycle.Problems, r)
		return explainAnswer{Output: string(out)}, err
	})
}

// printExplanation explains an object in a format, with the problems that a running controller has with it; nil: none.
func printExplanation(trees plan.Trees, snap plan.Snapshot, standing []engine.Problem, r explainRequest) ([]byte, error) {
	e, err := plan.Explain(trees, snap, r.Question)
	if err != nil {
		return nil, err
	}
	for _, p := range standing {
		told := p.ID == engine.ProblemUnhealthy || slices.ContainsFunc(e.Findings, func(f v1alpha1.Finding) bool { return f.ID == p.ID })
		if told || p.Object != e.Workload.String() || p.Source != e.Source {
			continue
		}
		for i := range e.Objects {
			if o := &e.Objects[i]; o.Cluster == p.Cluster {
				o.Problem = p.ID + ": " + p.Reason
			}
		}
	}
	for _, f := range plan.ExplanationFormats() {
		if f.Name != r.Format {
			continue
		}
		out, err := f.Print(e, r.Options)
		if err != nil {
			return nil, fmt.Errorf("print the explanation: %w", err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("there is no format %q", r.Format)
}
