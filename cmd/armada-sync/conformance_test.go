package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestConformance plays the scripts of testdata/conformance: what the policies mean, told by what the
// commands print. The answers were worked out by hand from the meaning, never taken from a run; so
// there is no -update. Each case is a folder DIR of a script with the fleet DIR.fleet.yaml, or
// fleet.yaml where that is not there. Beside testscript's own commands there are
//
//	plan DIR [FLAG...]              plan DIR; what follows speaks of this plan
//	exits CODE                      the exit code
//	placed KIND/NAME [C=N|C...]     exactly these clusters, with these shares; without one: null
//	rejected KIND/NAME FILTER C...  exactly these clusters were rejected by FILTER
//	owned KIND/NAME POLICY          the policy that owns it
//	does C KIND/NAME ACTION [GATE]  what happens to it on a cluster; "none": it is not listed
//	finds ID [SEVERITY]             there is such a finding; with "!" there is none
//	renders C KIND/NAME PTR [JSON]  the value there; without one: there is no such value
func TestConformance(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/conformance", ContinueOnError: true,
		Setup: func(e *testscript.Env) error { e.Values[plannedKey{}] = &planned{}; return nil },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"plan": cmdPlan, "exits": cmdExits, "placed": cmdPlaced, "rejected": cmdRejected, "owned": cmdOwned,
			"does": cmdDoes, "finds": cmdFinds, "renders": cmdRenders,
		},
	})
}

// planned is the plan that a script speaks of, as the command printed it.
type planned struct {
	plan.Plan
	code int
	// args are the flags that say what was planned.
	args []string
}

// plannedKey is the key under which a script keeps its plan.
type plannedKey struct{}

func current(ts *testscript.TestScript) *planned { return ts.Value(plannedKey{}).(*planned) }

func cmdPlan(ts *testscript.TestScript, _ bool, args []string) {
	p := current(ts)
	_, dir, named := strings.Cut(args[0], "=")
	if !named {
		dir = args[0]
	}
	fleet := dir + ".fleet.yaml"
	if _, err := os.Stat(ts.MkAbs(fleet)); err != nil {
		fleet = "fleet.yaml"
	}
	*p = planned{args: append([]string{"--repo", args[0], "--fleet", fleet}, args[1:]...)}
	err := ts.Exec("armada-sync", append([]string{"plan", "-o", "json"}, p.args...)...)
	if err != nil {
		p.code = 1
	}
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &p.Plan); err != nil {
		ts.Fatalf("not a plan: %v", err)
	}
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(current(ts).code); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func (p *planned) placement(ts *testscript.TestScript, object string) plan.PlacementEntry {
	for _, e := range p.Placements {
		if e.Workload.Kind+"/"+e.Workload.Name == object {
			return e
		}
	}
	ts.Fatalf("no placement of %s", object)
	return plan.PlacementEntry{}
}

func cmdPlaced(ts *testscript.TestScript, _ bool, args []string) {
	got := []string{}
	for _, c := range current(ts).placement(ts, args[0]).Clusters {
		text := c.Name
		if c.Replicas != nil {
			text += fmt.Sprintf("=%d", *c.Replicas)
		}
		got = append(got, text)
	}
	compare(ts, got, args[1:])
}

func cmdRejected(ts *testscript.TestScript, _ bool, args []string) {
	got := []string{}
	for _, r := range current(ts).placement(ts, args[0]).Rejected {
		if r.Filter == args[1] {
			got = append(got, r.Clusters.Slice()...)
		}
	}
	compare(ts, got, args[2:])
}

// compare compares lists whose order means nothing.
func compare(ts *testscript.TestScript, got, want []string) {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if diff := cmp.Diff(want, got); len(got)+len(want) > 0 && diff != "" {
		ts.Fatalf("got %q, want %q", got, want)
	}
}

func cmdOwned(ts *testscript.TestScript, _ bool, args []string) {
	if got := current(ts).placement(ts, args[0]).Policy.Name; got != args[1] {
		ts.Fatalf("owned by %q, want %q", got, args[1])
	}
}

func cmdDoes(ts *testscript.TestScript, _ bool, args []string) {
	action, gate := "none", ""
	for _, c := range current(ts).Clusters {
		for _, o := range c.Objects {
			if c.Name == args[0] && o.Kind+"/"+o.Name == args[1] {
				action, gate = string(o.Action), string(o.Gate)
			}
		}
	}
	if action != args[2] || len(args) > 3 && gate != args[3] {
		ts.Fatalf("%s on %s: %s %q, want %q", args[1], args[0], action, gate, args[2:])
	}
}

func cmdFinds(ts *testscript.TestScript, neg bool, args []string) {
	found := []string{}
	for _, f := range current(ts).Findings {
		if f.ID == args[0] && (len(args) < 2 || string(f.Severity) == args[1]) {
			found = append(found, plan.FindingLine(f))
		}
	}
	if neg == (len(found) > 0) {
		ts.Fatalf("finding %q: found %q", args, found)
	}
}

func cmdRenders(ts *testscript.TestScript, _ bool, args []string) {
	flags := append([]string{"render", "--cluster", args[0]}, current(ts).args...)
	// render exits 1 where some object fails; the others are there all the same.
	_ = ts.Exec("armada-sync", flags...)
	for _, document := range strings.Split("\n"+ts.ReadFile("stdout"), "\n---\n") {
		object := map[string]any{}
		ts.Check(yaml.Unmarshal([]byte(document), &object))
		u := unstructured.Unstructured{Object: object}
		if u.GetKind()+"/"+u.GetName() != args[1] {
			continue
		}
		got, found := at(object, args[2])
		raw, err := json.Marshal(got)
		ts.Check(err)
		if want := strings.Join(args[3:], " "); found != (len(args) > 3) || found && string(raw) != want {
			ts.Fatalf("%s of %s on %s is %s, want %s", args[2], args[1], args[0], raw, want)
		}
		return
	}
	ts.Fatalf("%s is not rendered for %s", args[1], args[0])
}

// at follows a JSON pointer.
func at(value any, pointer string) (any, bool) {
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
