package fleet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/armada-sync/armada-sync/e2e/child"
)

const (
	// cacheVariable overrides the folder that holds the binaries.
	cacheVariable = "ARMADA_SYNC_CACHE"
	// kwokVersion is built on its own: kwok's requirements and those of
	// k8s.io/kubernetes do not fit into one module.
	kwokVersion = "v0.8.0"
	// buildProgress is how often a running build says that it is alive.
	buildProgress = 20 * time.Second
)

// Binaries are the two programs that a cluster is made of.
type Binaries struct {
	// Kube is etcd, kube-apiserver, kube-controller-manager and kube-scheduler
	// in one file; its first argument says which one to be.
	Kube string
	// Kwok plays the kubelets of fake nodes.
	Kwok string
	// Version is the Kubernetes version of Kube, such as "v1.36.3".
	Version string
}

// Build returns the binaries and builds them first where the cache does not
// hold them. Processes that ask at the same moment build once: the others wait.
// It needs the go command and, for a build from nothing, about eight minutes on
// two cores. Progress lines go to progress (nil: stderr).
func Build(ctx context.Context, progress io.Writer) (Binaries, error) {
	if progress == nil {
		progress = os.Stderr
	}
	source, err := kubeModule()
	if err != nil {
		return Binaries{}, err
	}
	key, version, err := kubeKey(source)
	if err != nil {
		return Binaries{}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return Binaries{}, err
	}
	platform := runtime.GOOS + "-" + runtime.GOARCH
	b := Binaries{
		Kube:    filepath.Join(cache, "kube", version+"-"+platform+"-"+key, "kube"),
		Kwok:    filepath.Join(cache, "kwok", kwokVersion+"-"+platform, "kwok"),
		Version: version,
	}
	err = buildOnce(ctx, progress, b.Kube, "etcd and Kubernetes "+version,
		func(out string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "go", "build", "-v", "-mod=readonly", "-buildvcs=false",
				"-ldflags="+versionFlags(version), "-o", out, ".")
			cmd.Dir = source
			return cmd
		})
	if err != nil {
		return Binaries{}, err
	}
	err = buildOnce(ctx, progress, b.Kwok, "kwok "+kwokVersion, func(out string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "go", "install", "-v", "-ldflags=-s -w", "sigs.k8s.io/kwok/cmd/kwok@"+kwokVersion)
		cmd.Dir = filepath.Dir(out)
		cmd.Env = append(cmd.Environ(), "GOBIN="+filepath.Dir(out))
		return cmd
	})
	if err != nil {
		return Binaries{}, err
	}
	return b, nil
}

// versionFlags makes /version and the servers' logs tell the version of the
// module: Kubernetes' own build scripts stamp it in the same way.
func versionFlags(version string) string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	const pkg = "k8s.io/component-base/version."
	return strings.Join([]string{"-s -w",
		"-X", pkg + "gitVersion=" + version,
		"-X", pkg + "gitMajor=" + major,
		"-X", pkg + "gitMinor=" + minor,
		"-X", pkg + "gitTreeState=clean",
	}, " ")
}

// buildOnce makes sure that the file at path exists. command returns what
// builds it into a file of the same name in another folder; a rename then
// publishes it, so that a file at path is always complete.
func buildOnce(ctx context.Context, progress io.Writer, path, what string, command func(out string) *exec.Cmd) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"), func() {
		fmt.Fprintf(progress, "fleet: waiting for another process to build %s\n", what)
	})
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, filepath.Base(path))
	start := time.Now()
	fmt.Fprintf(progress, "fleet: building %s (all of it: about 8 minutes on 2 cores, from a warm Go build cache seconds)\n", what)
	if err := runBuild(command(out), progress); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // The compiler only says that it was killed.
		}
		return fmt.Errorf("build %s: %w", what, err)
	}
	if err := os.Rename(out, path); err != nil {
		return fmt.Errorf("keep the binary: %w", err)
	}
	fmt.Fprintf(progress, "fleet: built %s in %s\n", path, time.Since(start).Round(time.Second))
	return nil
}

// runBuild runs a `go build -v` and reports the number of packages compiled
// every buildProgress. The error holds what the compiler said.
func runBuild(cmd *exec.Cmd, progress io.Writer) error {
	// GOWORK: a workspace of the user's must not change what is built.
	// CGO_ENABLED: no C compiler is needed, and the same bytes everywhere.
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	p, err := child.Start(cmd)
	write.Close()
	if err != nil {
		return err
	}
	var compiled atomic.Int64
	said := make(chan string, 1)
	go func() { said <- readBuild(read, &compiled) }()
	start := time.Now()
	tick := time.NewTicker(buildProgress)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(progress, "fleet: … %s, %d packages compiled\n", time.Since(start).Round(time.Second), compiled.Load())
		case <-p.Exited():
			output := <-said
			if err := p.Err(); err != nil {
				return fmt.Errorf("%w\n%s", err, output)
			}
			return nil
		}
	}
}

// packageLine matches what `go build -v` prints for a package. Anything else
// is a message for the reader.
var packageLine = regexp.MustCompile(`^[a-zA-Z0-9._~/-]+$`)

// readBuild counts the packages and returns the other lines, at most the last
// 40 of them.
func readBuild(r io.Reader, compiled *atomic.Int64) string {
	var kept []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case packageLine.MatchString(line):
			compiled.Add(1)
		case strings.HasPrefix(line, "go: downloading "):
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-40):], "\n")
}

// kubeModule finds e2e/kube: the folder stands beside this package's source,
// in the checkout that the process runs in. Tests run in the folder of their
// package and commands somewhere in the checkout, so the way up finds it.
func kubeModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		kube := filepath.Join(dir, "e2e", "kube")
		if mod, err := os.ReadFile(filepath.Join(kube, "go.mod")); err == nil &&
			bytes.HasPrefix(mod, []byte("module github.com/armada-sync/armada-sync/e2e/kube\n")) {
			return kube, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no e2e/kube above %q: run this inside a checkout of armada-sync", start)
		}
	}
}

// kubeKey returns a digest of everything in the module that decides what is
// built, and the Kubernetes version that its go.mod requires.
func kubeKey(source string) (key, version string, err error) {
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
		if name == "go.mod" {
			version = requiredVersion(content, "k8s.io/kubernetes")
		}
	}
	if version == "" {
		return "", "", fmt.Errorf("%q does not require k8s.io/kubernetes", filepath.Join(source, "go.mod"))
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], version, nil
}

// requiredVersion reads one requirement of a go.mod file in the form that the
// go command writes, or "".
func requiredVersion(mod []byte, path string) string {
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == path && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

// cacheDir is $ARMADA_SYNC_CACHE, else armada-sync in the user's cache folder.
func cacheDir() (string, error) {
	if dir := os.Getenv(cacheVariable); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.Join(err, fmt.Errorf("set %s to a folder for the built binaries", cacheVariable))
	}
	return filepath.Join(dir, "armada-sync"), nil
}
