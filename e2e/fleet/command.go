package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// commandTimeout is how long a build may take: from nothing, on a busy machine, some minutes.
const commandTimeout = 15 * time.Minute

// CommandT builds a main package of the module in dir, such as "./cmd/armada-sync" in "../..", and
// returns the file. It is built once per checkout and from then on only when something changed, static and
// with the flags that Taskfile.yml gives every other build, so that all share one build cache.
func CommandT(t testing.TB, dir, pkg string) string {
	t.Helper()
	file, err := command(t.Context(), dir, pkg)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func command(ctx context.Context, dir, pkg string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(root))
	folder := filepath.Join(cache, "commands", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for commands: %w", err)
	}
	file := filepath.Join(folder, filepath.Base(pkg))
	unlock, err := lockFile(ctx, file+".lock", func() {})
	if err != nil {
		return "", err
	}
	defer unlock()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, pkg)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return file, nil
}
