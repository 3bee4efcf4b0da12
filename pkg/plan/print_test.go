package plan_test

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

// TestTextForPeople prints every case in several widths: no line is wider, no control character gets
// through, and colour adds nothing but colour.
func TestTextForPeople(t *testing.T) {
	escape := regexp.MustCompile("\x1b\\[[0-9;]*m")
	err := filepath.WalkDir(filepath.Join("testdata", "cases"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		archive, err := txtar.ParseFile(path)
		if err != nil {
			return err
		}
		s := readScenario(t, archive.Files)
		seen, p := s.preview(hasBase(archive.Files)), plan.Compute(s.head, s.snap)
		for _, width := range []int{40, 72, 100} {
			for _, print := range []func(plan.PrintOptions) ([]byte, error){
				func(o plan.PrintOptions) ([]byte, error) {
					parts, err := report.Text(seen, report.Options{Width: o.Width, Color: o.Color})
					return bytes.Join(parts, nil), err
				},
				func(o plan.PrintOptions) ([]byte, error) { return plan.PlanFormats()[0].Print(p, o) },
			} {
				plain, err := print(plan.PrintOptions{Width: width})
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range strings.Split(string(plain), "\n") {
					if n := utf8.RuneCountInString(line); n > width {
						t.Errorf("%s: %d columns, more than %d: %q", path, n, width, line)
					}
					if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
						t.Errorf("%s: a control character in %q", path, line)
					}
				}
				colored, err := print(plan.PrintOptions{Width: width, Color: true})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(escape.ReplaceAll(colored, nil), plain) {
					t.Errorf("%s: colour changes the text", path)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneCluster(t *testing.T) {
	files := []txtar.File{{Name: "head/shop/all.yaml", Data: []byte(everything("v1 ConfigMap") + "---\n" + manifest("v1", "ConfigMap", "{name: a, namespace: shop}"))}}
	p := plan.Compute(loadTrees(t, files, "head", nil), loadFleet(t, []byte(oneCluster+"---\n"+strings.ReplaceAll(oneCluster, "eu-1", "us-1"))))
	for _, f := range plan.PlanFormats() {
		raw, err := f.Print(p, plan.PrintOptions{Cluster: "eu-1"})
		if err != nil {
			t.Fatal(err)
		}
		if f.Name != "text" && (strings.Count(string(raw), "action") != 1) {
			t.Errorf("%s of one cluster:\n%s", f.Name, raw)
		}
	}
	if len(p.Clusters) != 2 {
		t.Error("printing one cluster changed the plan")
	}
}
