package fidelity

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"golang.org/x/tools/txtar"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// casesFolder holds the cases of package plan: fleets, and what Git held before and holds now.
const casesFolder = "../../plan/testdata/cases"

// refusedBySchema marks a commit that no API server takes, such as a Deployment without a selector: cases are
// for the planner, which does not need all of it. What then happens is not what the preview is about.
const refusedBySchema = "apply-stalled"

// TestCases plays the commits of the planner's cases: the base is applied to healthy clusters of the names
// and labels that the case gives them, the head is previewed and pushed.
func TestCases(t *testing.T) {
	var mu sync.Mutex
	var all tally
	var refused []string
	t.Run("cases", func(t *testing.T) {
		err := fs.WalkDir(os.DirFS(casesFolder), ".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".txtar") {
				return err
			}
			archive, err := txtar.ParseFile(filepath.Join(casesFolder, path))
			if err != nil {
				return err
			}
			d, base, head := readCase(archive)
			if len(base) == 0 || len(d.clusters) == 0 {
				return nil
			}
			t.Run(strings.TrimSuffix(path, ".txtar"), func(t *testing.T) {
				t.Parallel()
				counted, differences := playCase(t, d, base, head)
				mu.Lock()
				defer mu.Unlock()
				all.add(counted)
				if len(differences) == 1 && strings.Contains(differences[0], refusedBySchema) {
					refused = append(refused, path)
					return
				}
				if len(differences) > 0 {
					t.Errorf("preview and controller differ:\n  %s", strings.Join(differences, "\n  "))
				}
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%s; %d cases have objects that an API server refuses: %s", all, len(refused), strings.Join(refused, ", "))
	if all.previews < 40 {
		t.Errorf("%d previews of cases, want 40 or more", all.previews)
	}
}

// readCase reads the fleet and both sides of a case.
func readCase(archive *txtar.Archive) (d declared, base, head contents) {
	base, head = contents{}, contents{}
	names := map[string]bool{}
	for _, f := range archive.Files {
		side, rest, _ := strings.Cut(f.Name, "/")
		name, path, _ := strings.Cut(rest, "/")
		switch {
		case f.Name == "fleet.yaml":
			snap, _ := plan.ReadFleet(f.Name, f.Data)
			d.config = snap.Config
			for _, c := range snap.Clusters {
				c.Status.Conditions, c.Spec.Taints, c.DeletionTimestamp = nil, nil, nil
				d.clusters = append(d.clusters, c)
			}
			continue
		case side == "base":
			put(base, name, path, f.Data)
		case side == "head":
			put(head, name, path, f.Data)
		default:
			continue
		}
		if !names[name] {
			names[name] = true
			d.sources = append(d.sources, name)
		}
	}
	return d, base, head
}

func put(c contents, source, path string, data []byte) {
	if c[source] == nil {
		c[source] = fstest.MapFS{}
	}
	c[source][path] = &fstest.MapFile{Data: data}
}

func playCase(t *testing.T, d declared, base, head contents) (counted tally, differences []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, d)
		defer func() {
			w.close()
			synctest.Wait()
		}()
		w.push(base)
		if why := w.rest(); why != "" {
			differences = []string{"the base: " + why}
			return
		}
		differences = w.hold(head, nil, &counted)
	})
	return counted, differences
}
