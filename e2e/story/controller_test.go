//go:build e2e

package story_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/child"
)

// startController runs a controller on a configuration and a state of the folder, and waits until it serves.
func (s *story) startController(t *testing.T, config, state string) *child.Controller {
	t.Helper()
	c := child.Run(t, child.Options{
		Binary: s.binary, Name: "run", Owner: s.log, Env: []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()},
	}, "--config", filepath.Join(s.dir, config), "--state", filepath.Join(s.dir, state))
	c.AwaitLine(t, 0, 20*time.Second, "serving /metrics")
	return c
}

// awaitQuiet waits until the controller is ready and its last plan has nothing to write on the named
// clusters: the moment from which on a look at the clusters is worth it. It proves nothing by itself.
func (s *story) awaitQuiet(t *testing.T, clusters ...string) {
	t.Helper()
	await.That(t, time.Minute, "a plan with nothing to do", func() error {
		if code, _, err := s.run.Get(t.Context(), "/readyz"); err != nil || code != http.StatusOK {
			return fmt.Errorf("/readyz answers %d, %w", code, err)
		}
		samples, err := s.run.Metrics(t.Context())
		if err != nil {
			return err
		}
		for _, cluster := range clusters {
			if samples[objectsMetric(cluster, "unchanged")] == 0 {
				return fmt.Errorf("nothing is in place on %s", cluster)
			}
			for _, state := range []string{"create", "configure", "prune"} {
				if n := samples[objectsMetric(cluster, state)]; n > 0 {
					return fmt.Errorf("%.0f objects to %s on %s", n, state, cluster)
				}
			}
		}
		return nil
	})
}

func objectsMetric(cluster, state string) string {
	return fmt.Sprintf(`armada_sync_objects{cluster=%q,state=%q}`, cluster, state)
}
