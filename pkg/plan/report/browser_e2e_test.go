//go:build e2e

package report_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

// TestPageInBrowser opens the page of the design's example, and one of 1,000 clusters, in headless
// Chromium: its policy refuses nothing, filters do what they say, and screenshots at three widths, light
// and dark, are left in SCREENSHOTS for people to look at.
func TestPageInBrowser(t *testing.T) {
	browser := os.Getenv("CHROMIUM")
	if browser == "" {
		browser = "chromium"
	}
	if _, err := exec.LookPath(browser); err != nil {
		t.Fatalf("this test needs Chromium: install the package chromium, or name another browser of its kind with CHROMIUM: %v", err)
	}
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	archive, err := txtar.ParseFile(filepath.Join("..", "..", "..", "cmd", "armada-sync", "testdata", "script", "preview_mock.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{"thousand": []byte(printOne(t, report.HTML, large(), report.Options{}))}
	for _, f := range archive.Files {
		if f.Name == "want.html" {
			pages["mock"] = f.Data
			pages["mock-dark"] = bytes.Replace(f.Data, []byte(`<html lang="en">`), []byte(`<html lang="en" data-theme="dark">`), 1)
		}
	}
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=5000", "--user-data-dir=" + t.TempDir(),
		}, args...)...)
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, log.String())
		}
		for _, line := range strings.Split(log.String(), "\n") {
			if strings.Contains(line, "CONSOLE") {
				t.Errorf("%v: the console says: %s", args, line)
			}
		}
		return out.String()
	}
	address := map[string]string{}
	for name, page := range pages {
		file := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(file, page, 0o600); err != nil {
			t.Fatal(err)
		}
		address[name] = "file://" + file
		for _, width := range []int{390, 900, 1440} {
			run(fmt.Sprintf("--window-size=%d,2200", width), "--screenshot="+filepath.Join(folder, fmt.Sprintf("%s-%d.png", name, width)), address[name])
		}
	}
	tally := regexp.MustCompile(`id="tally"[^>]*>([^<]*)<`)
	for _, c := range []struct{ page, filter, want, reason string }{
		{"mock", "", "9 entries", "four findings, one placement, four groups"},
		{"mock", "#cluster=us-west-2", "4 of 9 shown", "two findings, the placement, and what is pruned"},
		{"mock", "#region=sa", "1 of 9 shown", "a cluster that is not chosen stands in the placement alone"},
		{"mock", "#severity=3", "2 of 9 shown", "the blocker, and the group that it is about"},
		{"mock", "#q=REGION_FAILOVER", "1 of 9 shown", "one group has that variable"},
		{"mock", "#q=no-such-thing", "0 of 9 shown", "nothing"},
		{"thousand", "", "81 entries", "forty placements and forty-one groups"},
		{"thousand", "#cluster=cluster-0001", "67 of 81 shown", "forty placements, and the groups of two of three clusters"},
	} {
		dom := run("--dump-dom", address[c.page]+c.filter)
		m := tally.FindStringSubmatch(dom)
		if m == nil || m[1] != c.want {
			t.Errorf("%s%s: the page says %q, want %q: %s", c.page, c.filter, m, c.want, c.reason)
		}
	}
}
