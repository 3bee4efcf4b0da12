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
	// Revision is what the source was at: what is wrong in another way at another commit is told again.
	Revision string
	// ID is the id of a finding, or the class of an error.
	ID     string
	Reason string
	// Severity is that of the finding; blocker for what is none.
	Severity v1alpha1.Severity
	// what tells problems apart that have everything else in common.
	what string
}

// key identifies a problem while it lasts: a reason that is worded anew is still the same problem. An object that
// moves within its file, or to another, is still the same object.
func (p Problem) key() string {
	at := p.At
	if p.Object != "" && p.Cluster != "" {
		at = ""
	}
	return strings.Join([]string{p.Source, p.Cluster, p.Object, at, p.ID, p.what}, "\x00")
}

// toldAnew tells that a problem which stands has another reason since another commit: whoever pushed it waits
// for the answer.
func (p Problem) toldAnew(before Problem) bool {
	return p.Reason != before.Reason && p.Revision != "" && p.Revision != before.Revision
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
		if before, known := l.standing[k]; !known || next[k].toldAnew(before) {
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
