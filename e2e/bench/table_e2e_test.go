//go:build e2e

package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// row is one line of the table: what was measured, beside what it should be.
type row struct{ what, measured, target string }

// report collects rows and prints them at the end of a test, so that the log of everything else does not
// tear the table apart. Each is logged at once, too, for runs that do not get to their end.
type report struct {
	t    *testing.T
	rows []row
}

func newReport(t *testing.T) *report {
	r := &report{t: t}
	t.Cleanup(func() {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "\n%s on %d cores, load %s\n\n", time.Now().UTC().Format(time.RFC3339), runtime.NumCPU(), load())
		fmt.Fprintln(table, "| measure\t| result\t| target\t|")
		fmt.Fprintln(table, "|---\t|---\t|---\t|")
		for _, l := range r.rows {
			fmt.Fprintf(table, "| %s\t| %s\t| %s\t|\n", l.what, l.measured, l.target)
		}
		_ = table.Flush() // Of stdout.
	})
	return r
}

func (r *report) add(what, target, measured string, args ...any) {
	l := row{what, fmt.Sprintf(measured, args...), target}
	r.rows = append(r.rows, l)
	r.t.Logf("%s: %s", l.what, l.measured)
}

// load is how many processes wanted the processor lately, since that says how much to believe of all the
// rest.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(data), " ")
	return one
}
