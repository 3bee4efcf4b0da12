package engine

import (
	"cmp"
	"context"
	"fmt"
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

// anywhere is the problem without the cluster that it is on, and without what nobody reads of it.
func (p Problem) anywhere() Problem {
	p.Cluster, p.Revision, p.what, p.Severity = "", "", "", ""
	return p
}

// attributes are those of a line; clusters are named instead of the one of the problem where there are several.
func (p Problem) attributes(clusters string) []slog.Attr {
	var as []slog.Attr
	cluster := p.Cluster
	if clusters != "" {
		cluster = ""
	}
	for _, f := range []struct{ name, value string }{
		{"source", p.Source}, {"cluster", cluster}, {"clusters", clusters}, {"object", p.Object}, {"at", p.At}, {"id", p.ID}, {"reason", p.Reason},
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
	var appeared, gone []Problem
	for _, k := range slices.Sorted(maps.Keys(next)) {
		if before, known := l.standing[k]; !known || next[k].toldAnew(before) {
			appeared = append(appeared, next[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(l.standing)) {
		if _, still := next[k]; !still {
			gone = append(gone, l.standing[k])
		}
	}
	appeared, gone = withoutRecounted(appeared, gone)
	l.tell(ctx, slog.LevelWarn, "problem", appeared)
	l.tell(ctx, slog.LevelInfo, "solved", gone)
	l.standing = next
}

// tell writes a line for each problem. What is wrong in the same way with the same object on several clusters is
// one line: a commit that every API server refuses is one mistake.
func (l *problemLog) tell(ctx context.Context, level slog.Level, message string, problems []Problem) {
	clusters := map[Problem][]string{}
	for _, p := range problems {
		clusters[p.anywhere()] = append(clusters[p.anywhere()], p.Cluster)
	}
	for _, p := range problems {
		if names := clusters[p.anywhere()]; len(names) == 1 {
			l.log.LogAttrs(ctx, level, message, p.attributes("")...)
		} else if p.Cluster == names[0] {
			l.log.LogAttrs(ctx, level, message, p.attributes(listed(names))...)
		}
	}
}

// listedClusters is how many clusters a line names.
const listedClusters = 10

func listed(names []string) string {
	if more := len(names) - listedClusters; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:listedClusters], ", "), more)
	}
	return strings.Join(names, ", ")
}

// withoutRecounted leaves out what is the same problem as before with another number of clusters: one that is
// away and comes back makes "on several" into "on one" and back.
func withoutRecounted(appeared, gone []Problem) (stillAppeared, stillGone []Problem) {
	type counted struct {
		problem Problem
		one     bool
	}
	index := func(problems []Problem) map[counted]bool {
		found := make(map[counted]bool, len(problems))
		for _, p := range problems {
			found[counted{p.anywhere(), p.Cluster != ""}] = true
		}
		return found
	}
	before, now := index(gone), index(appeared)
	recounted := func(others map[counted]bool) func(Problem) bool {
		return func(p Problem) bool { return others[counted{p.anywhere(), p.Cluster == ""}] }
	}
	return slices.DeleteFunc(appeared, recounted(before)), slices.DeleteFunc(gone, recounted(now))
}

func compareStrings(a, b string) int { return cmp.Compare(a, b) }
