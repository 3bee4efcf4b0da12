package health

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// condition is one entry of a list of conditions.
type condition struct {
	kind, status, reason, message string
	// generation is that of the object when the condition was set; 0 where it does not say.
	generation int64
}

// String says how the condition stands, for messages.
func (c condition) String() string {
	text := c.kind + " is " + c.status
	if c.reason != "" {
		text += " (" + c.reason + ")"
	}
	if c.message != "" {
		text += ": " + c.message
	}
	return text
}

// conditionsAt reads the list of conditions at a path. What is none of the usual form is left out.
func conditionsAt(object map[string]any, path ...string) []condition {
	list, _, _ := unstructured.NestedFieldNoCopy(object, path...)
	items, _ := list.([]any)
	var all []condition
	for _, item := range items {
		m, _ := item.(map[string]any)
		c := condition{}
		c.kind, _ = m["type"].(string)
		c.status, _ = m["status"].(string)
		c.reason, _ = m["reason"].(string)
		c.message, _ = m["message"].(string)
		c.generation, _ = m["observedGeneration"].(int64)
		if c.kind != "" {
			all = append(all, c)
		}
	}
	return all
}

func statusConditions(u *unstructured.Unstructured) []condition {
	return conditionsAt(u.Object, "status", "conditions")
}

func find(all []condition, kind string) (condition, bool) {
	i := slices.IndexFunc(all, func(c condition) bool { return c.kind == kind })
	if i < 0 {
		return condition{}, false
	}
	return all[i], true
}

// byConditions judges kinds that tell all in conditions of their status.
type byConditions struct {
	// ready are the conditions that must be True. One that is missing has not been judged yet.
	ready []string
	// optional lets an object without any of them be healthy, for kinds of which not all have a state.
	optional bool
	// failed are conditions that mean degraded when they are True, busy those that mean progressing.
	failed, busy []string
	// broken tells that a condition of ready which is False means degraded: its controller does not
	// set it to False while it is at work.
	broken bool
	// pending are reasons of such a condition that mean progressing all the same, fatal are reasons that
	// mean degraded where broken is false.
	pending, fatal []string
}

// judge implements Rule.
func (r byConditions) judge(u *unstructured.Unstructured) Verdict {
	if v, unsettled := unsettled(u); unsettled {
		return v
	}
	return r.judgeConditions(statusConditions(u), u.GetGeneration())
}

// judgeConditions judges a list of conditions of an object that has the given generation.
func (r byConditions) judgeConditions(all []condition, generation int64) Verdict {
	for _, c := range all {
		// What was said of an older form says nothing of this one.
		if current := c.generation == 0 || c.generation >= generation; current && c.status == "True" && slices.Contains(r.failed, c.kind) {
			return degraded("%s", c)
		}
	}
	for _, c := range all {
		if c.status == "True" && slices.Contains(r.busy, c.kind) {
			return progressing("%s", c)
		}
	}
	present := false
	for _, kind := range r.ready {
		c, found := find(all, kind)
		present = present || found
		if !found {
			continue
		}
		if c.generation != 0 && c.generation < generation {
			return progressing("%s is of generation %d, the object of %d", kind, c.generation, generation)
		}
		if v := r.judgeOne(c); v.Health != v1alpha1.HealthHealthy {
			return v
		}
	}
	if r.optional && !present {
		return healthy()
	}
	for _, kind := range r.ready {
		if _, found := find(all, kind); !found && !r.optional {
			return progressing("has no condition %s yet", kind)
		}
	}
	return healthy()
}

func (r byConditions) judgeOne(c condition) Verdict {
	switch {
	case c.status == "True":
		return healthy()
	case c.status == "False" && (r.broken && !slices.Contains(r.pending, c.reason) || slices.Contains(r.fatal, c.reason)):
		return degraded("%s", c)
	}
	return progressing("%s", c)
}

// generic judges custom kinds that have no rule of their own by the conditions that most controllers
// set. Without any of them an object is healthy by existing: kinds that are mere configuration have no
// state.
func generic() byConditions {
	return byConditions{
		ready: []string{"Synced", "Ready"}, optional: true,
		failed: []string{"Stalled"}, busy: []string{"Reconciling"}, fatal: []string{"ReconcileError"},
	}
}

// byPhase judges kinds that tell all in one word of their status.
type byPhase struct {
	// field leads to the word, message to what is said about it.
	field, message []string
	good, bad      []string
}

// judge implements Rule.
func (r byPhase) judge(u *unstructured.Unstructured) Verdict {
	if v, unsettled := unsettled(u); unsettled {
		return v
	}
	phase := textAt(u, r.field...)
	if slices.Contains(r.good, phase) {
		return healthy()
	}
	if phase == "" {
		return progressing("has no %s yet", r.field[len(r.field)-1])
	}
	text := phase
	if m := textAt(u, r.message...); m != "" {
		text += ": " + strings.TrimSpace(m)
	}
	if slices.Contains(r.bad, phase) {
		return degraded("%s", text)
	}
	return progressing("%s", text)
}
