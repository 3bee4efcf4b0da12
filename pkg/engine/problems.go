package engine

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Problem is something wrong that a person should know now: one line when it appears, one when it
// is solved, none in between.
type Problem struct {
	// Source or Cluster says whose it is; both may be set.
	Source, Cluster string
	// Object is "Kind namespace/name", empty where it is about no object.
	Object string
	// At is "file:line".
	At string
	// ID is the id of a finding, or the class of an error.
	ID     string
	Reason string
	// Severity is that of the finding; blocker for what is none.
	Severity v1alpha1.Severity
}

// key identifies a problem while it lasts: a reason that is worded anew is still the same problem.
func (p Problem) key() string {
	return strings.Join([]string{p.Source, p.Cluster, p.Object, p.At, p.ID}, "\x00")
}

func (p Problem) attributes() []slog.Attr {
	var as []slog.Attr
	for _, f := range []struct{ name, value string }{
		{"source", p.Source}, {"cluster", p.Cluster}, {"object", p.Object}, {"at", p.At}, {"id", p.ID}, {"reason", p.Reason},
	} {
		if f.value != "" {
			as = append(as, slog.String(f.name, f.value))
		}
	}
	return as
}

// problemLog remembers the problems that stand, and says which are new and which are solved.
type problemLog struct {
	log      *slog.Logger
	standing map[string]Problem
}

func newProblemLog(log *slog.Logger) *problemLog {
	return &problemLog{log: log, standing: map[string]Problem{}}
}

// update replaces the standing problems and logs the difference.
func (l *problemLog) update(ctx context.Context, now []Problem) {
	next := make(map[string]Problem, len(now))
	for _, p := range now {
		next[p.key()] = p
	}
	for _, k := range slices.Sorted(maps.Keys(next)) {
		if _, known := l.standing[k]; !known {
			l.log.LogAttrs(ctx, slog.LevelWarn, "problem", next[k].attributes()...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(l.standing)) {
		if _, still := next[k]; !still {
			l.log.LogAttrs(ctx, slog.LevelInfo, "solved", l.standing[k].attributes()...)
		}
	}
	l.standing = next
}

func compareStrings(a, b string) int { return cmp.Compare(a, b) }
