package hub

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

const (
	// olderAgain is how long a field counts as missing in a definition before it is sent again: somebody may
	// have brought the definition up to date.
	olderAgain = 10 * time.Minute
	// maxMissing bounds how many fields one write may turn out to be without.
	maxMissing = 20
)

// older knows which fields the hub's definitions lack because they are of an older release than we are.
// Such fields are left out of what is written, and everything else goes on.
type older struct {
	mu sync.Mutex
	// missing has, by resource and path, until when the field counts as missing.
	missing map[string]map[string]time.Time
}

func newOlder() *older { return &older{missing: map[string]map[string]time.Time{}} }

// undeclared is how the API server names a field that a definition lacks.
var (
	undeclared = regexp.MustCompile(`(\.[^\s:]+): field not declared in schema`)
	element    = regexp.MustCompile(`\[[^\]]*\]`)
)

// learn takes the fields that an error names; false: it names none that is new.
func (o *older) learn(resource string, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	learned := false
	for _, m := range undeclared.FindAllStringSubmatch(err.Error(), -1) {
		path := strings.TrimPrefix(element.ReplaceAllString(m[1], ""), ".")
		if until, known := o.missing[resource][path]; known && time.Now().Before(until) {
			continue
		}
		if o.missing[resource] == nil {
			o.missing[resource] = map[string]time.Time{}
		}
		o.missing[resource][path] = time.Now().Add(olderAgain)
		learned = true
	}
	return learned
}

// paths are the fields that a definition lacks, sorted.
func (o *older) paths(resource string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.missing[resource], func(_ string, until time.Time) bool { return !time.Now().Before(until) })
	return slices.Sorted(maps.Keys(o.missing[resource]))
}

// known returns a body without the fields that the definition lacks.
func (o *older) known(resource string, body []byte) ([]byte, error) {
	paths := o.paths(resource)
	if len(paths) == 0 {
		return body, nil
	}
	var content any
	if err := json.Unmarshal(body, &content); err != nil {
		return nil, err
	}
	for _, path := range paths {
		without(content, strings.Split(path, "."))
	}
	return json.Marshal(content)
}

// without deletes a field, in every element of a list that lies on the way.
func without(content any, path []string) {
	switch c := content.(type) {
	case []any:
		for _, e := range c {
			without(e, path)
		}
	case map[string]any:
		if len(path) == 1 {
			delete(c, path[0])
			return
		}
		without(c[path[0]], path[1:])
	}
}

// says tells in words what is missing and what to do; empty: nothing is.
func (o *older) says() string {
	var lacking []string
	for _, resource := range []string{clusters, configs, gitSources, placements} {
		if paths := o.paths(resource); len(paths) > 0 {
			lacking = append(lacking, fmt.Sprintf("%s.%s lacks %s", resource, v1alpha1.Group, strings.Join(paths, ", ")))
		}
	}
	if len(lacking) == 0 {
		return ""
	}
	return "the hub has definitions of an older release, and what they do not know is not recorded: " +
		strings.Join(lacking, "; ") + "; bring them up to date with: armada-sync init, or kubectl apply --server-side -k deploy/crds"
}

// olderDefinitions are a problem of every source, since what is decided of it is not recorded whole.
func (r *reporter) olderDefinitions() []engine.Problem {
	why := r.client.older.says()
	if why == "" {
		return nil
	}
	if r.first {
		// What stands when a leader begins is no news, but this was found by beginning.
		r.nudge()
		return nil
	}
	var problems []engine.Problem
	for _, s := range list[v1alpha1.GitSource](r.watcher.sources) {
		problems = append(problems, engine.Problem{Source: engine.SourceID(*s), ID: "older-definitions", Reason: why, Severity: v1alpha1.SeverityCaution})
	}
	return problems
}
