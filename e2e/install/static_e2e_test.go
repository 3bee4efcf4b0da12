//go:build e2e

package install_test

import (
	"debug/elf"
	"os"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// The command, built without C as the Dockerfile does, runs in an image that holds nothing else. The
// Dockerfile's -trimpath and -s -w change what is written into the file and not what it needs.
func TestStaticBinary(t *testing.T) {
	file := fleet.CommandT(t, "../..", "./cmd/armada-sync")
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "FROM scratch", "USER 65532"} {
		if !strings.Contains(string(dockerfile), want) {
			t.Errorf("the Dockerfile does not say %s", want)
		}
	}
	binary, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the command needs a dynamic linker")
		}
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the command needs libraries: %v (%v)", libraries, err)
	}
}
