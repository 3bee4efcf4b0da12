package crds_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/deploy/crds"
)

// maxBytes is well below what a client-side apply of a definition can carry.
const maxBytes = 150 << 10

// What is committed must be what the types say: `task generate` repairs it.
func TestDefinitionsAndDeepCopiesAreFresh(t *testing.T) {
	code, out := t.TempDir(), t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "tools/crds.sh", code, out)
	cmd.Dir = filepath.Join("..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, text)
	}
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(out, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(made) {
		t.Errorf("%d definitions are committed, %d are generated", len(names), len(made))
	}
	for _, name := range names {
		same(t, name, filepath.Join(out, name))
	}
	const copies = "zz_generated.deepcopy.go"
	same(t, filepath.Join("..", "..", "pkg", "api", "v1alpha1", copies), filepath.Join(code, copies))
}

func same(t *testing.T, committed, generated string) {
	t.Helper()
	have, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(generated)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is stale: run `go tool task generate`", committed)
	}
}

func TestDefinitionsAreSmallAndHoldNothingInternal(t *testing.T) {
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > maxBytes {
			t.Errorf("%s has %d bytes, more than %d", name, len(data), maxBytes)
		}
		for _, field := range []string{"position:", "lines:", "Position:"} {
			if strings.Contains(string(data), field) {
				t.Errorf("%s has the field %q, which only a decoder knows", name, field)
			}
		}
	}
}
