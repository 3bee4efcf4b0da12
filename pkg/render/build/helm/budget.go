package helm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Bounds of rendering one chart. They are counts, so that the same chart always meets them at the same
// place; a chart of a hundred templates stays below a hundredth of them.
const (
	// maxSteps bounds the rounds of loops and the templates that are run.
	maxSteps = 200_000
	// maxWork bounds the values that are looked at, and what functions say that they cost.
	maxWork = 20_000_000
	// maxWritten bounds what templates write, what they include counted again.
	maxWritten = 16 << 20
	// maxText and maxValues bound one value with everything in it.
	maxText   = 4 << 20
	maxValues = 200_000
	// maxRecursion is how deep templates may run each other.
	maxRecursion = 1000
)

// errBounds says that a chart asks for too much.
var errBounds = errors.New("the chart asks for too much")

func tooMuch(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBounds, fmt.Sprintf(format, args...))
}

// budget is what is left for one chart.
type budget struct {
	// ctx ends what the counts let through and takes too long all the same.
	ctx                  context.Context //nolint:containedctx // Templates call the budget, and pass no context.
	steps, work, written int
	depth                int
	// started and used are the time and the processor time of this process at the beginning.
	started time.Time
	used    time.Duration
}

func newBudget(ctx context.Context) budget {
	return budget{ctx: ctx, started: time.Now(), used: processorTime()}
}

// step counts a round of a loop or the run of a template. Templates call it, so that it returns what
// prints as nothing.
func (b *budget) step() (string, error) {
	if b.steps++; b.steps > maxSteps {
		return "", tooMuch("more than %d rounds of loops and templates", maxSteps)
	}
	return "", b.late()
}

func (b *budget) spend(work int) error {
	if b.work += work; b.work > maxWork || work < 0 {
		return tooMuch("its templates compute for too long")
	}
	return b.late()
}

func (b *budget) late() error {
	if b.ctx.Err() != nil || time.Since(b.started) > maxTime && processorTime()-b.used > maxTime {
		return tooMuch("its templates take too long")
	}
	return nil
}

// meter passes a value on that is small enough.
func (b *budget) meter(value any) (any, error) {
	m := measure{}
	m.add(reflect.ValueOf(value), 0)
	if err := b.spend(1 + m.values + m.text/64); err != nil {
		return nil, err
	}
	if m.exceeded() {
		return nil, tooMuch("a value of more than %d bytes or %d parts", maxText, maxValues)
	}
	return value, nil
}

// metered wraps a function so that its first result is small enough.
func (b *budget) metered(function any) any {
	f := reflect.ValueOf(function)
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		call := f.Call
		if f.Type().IsVariadic() {
			call = f.CallSlice
		}
		out := call(args)
		if _, err := b.meter(out[0].Interface()); err != nil {
			// text/template turns a panic with an error into that error.
			panic(err)
		}
		return out
	}).Interface()
}

// measure counts what a value consists of. A map that contains itself exceeds every bound.
type measure struct{ values, text int }

func (m *measure) exceeded() bool { return m.values > maxValues || m.text > maxText }

func (m *measure) add(v reflect.Value, depth int) {
	if m.values++; m.exceeded() {
		return
	}
	if depth > maxRecursion {
		m.values = maxValues + 1
		return
	}
	switch kind := v.Kind(); {
	case kind == reflect.Interface && !v.IsNil():
		m.add(v.Elem(), depth+1)
	case kind == reflect.String:
		m.text += v.Len()
	case (kind == reflect.Slice || kind == reflect.Array) && v.Type().Elem().Kind() == reflect.Uint8:
		m.text += v.Len()
	case kind == reflect.Slice || kind == reflect.Array:
		for i := 0; i < v.Len() && !m.exceeded(); i++ {
			m.add(v.Index(i), depth+1)
		}
	case kind == reflect.Map:
		for each := v.MapRange(); each.Next() && !m.exceeded(); {
			m.add(each.Key(), depth+1)
			m.add(each.Value(), depth+1)
		}
	}
}

// bounded collects what a template writes.
type bounded struct {
	budget *budget
	text   []byte
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.budget.written += len(p); w.budget.written > maxWritten {
		return 0, tooMuch("its templates write more than %d bytes", maxWritten)
	}
	w.text = append(w.text, p...)
	return len(p), nil
}
