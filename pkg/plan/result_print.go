package plan

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// ResultFormat is a format of a Result with its printer.
type ResultFormat struct {
	Name  string
	Print func(Result, PrintOptions) ([]byte, error)
}

// ResultFormats lists the formats of a Result; the first is the default.
func ResultFormats() []ResultFormat {
	return []ResultFormat{
		{"text", printResultText},
		{"json", func(r Result, _ PrintOptions) ([]byte, error) { return marshal(r) }},
	}
}

func printResultText(r Result, o PrintOptions) ([]byte, error) {
	out := page.New(o.Width, o.Color)
	right := fmt.Sprintf("%s, fleet file without a time", plural(r.Snapshot.Clusters, "cluster", "clusters"))
	if t := r.Snapshot.TakenAt; t != nil {
		right = fmt.Sprintf("%s, fleet as of %s", plural(r.Snapshot.Clusters, "cluster", "clusters"), t.Format("2006-01-02 15:04 UTC"))
	}
	out.Split(page.Head, "RESULT  head "+page.Scrub(r.Head.Commit), right)
	for _, source := range keys(r.Applied) {
		out.Words(page.Faint, "  ", 4, page.Scrub(fmt.Sprintf("the controller follows %s of %s", r.Applied[source], source)))
	}
	marks := map[ResultState]struct {
		mark  string
		style page.Style
	}{ResultDone: {"✔", page.Add}, ResultPending: {"…", page.Change}, ResultDiffers: {"✗", page.Remove}}
	for _, item := range r.Items {
		m := marks[item.State]
		line := fmt.Sprintf("%s %s %s", item.State, item.Announced, item.ObjectReference)
		if n := len(item.Clusters); n > 6 {
			line += fmt.Sprintf(" · %s and %d more", strings.Join(item.Clusters[:6], " "), n-6)
		} else {
			line += " · " + strings.Join(item.Clusters, " ")
		}
		if item.Reason != "" {
			line += " · " + item.Reason
		}
		out.Words(m.style, "  "+m.mark+" ", 6, page.Scrub(line))
	}
	out.Blank()
	switch {
	case len(r.Items) == 0:
		out.Line("Result: the report announced no changes.")
	case r.AsAnnounced():
		out.Line("Result: all is done as announced.")
	default:
		out.Line("Result: %d done, %d pending, %d differ.", r.Summary.Done, r.Summary.Pending, r.Summary.Differs)
	}
	return out.Bytes(), nil
}
