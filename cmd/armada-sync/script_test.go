package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"armada-sync": main})
}

// TestScripts plays every script of the folder: a Git tree, a fleet, commands, and what they print.
// A new case is a new file there.
func TestScripts(t *testing.T) {
	commands := fleetCommands()
	commands["forge"] = forgeCommand
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds:          commands,
		Setup: func(e *testscript.Env) error {
			e.Values[scriptClustersKey{}] = scriptClusters{}
			e.Values[scriptForgeKey{}] = &scriptForge{comments: []map[string]any{}, statuses: []map[string]any{}}
			// Git must neither read nor need the settings of whoever runs the tests.
			e.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "Test")
				e.Setenv("GIT_"+who+"_EMAIL", "test@example.com")
				e.Setenv("GIT_"+who+"_DATE", "2026-01-01T00:00:00Z")
			}
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
	})
}
