package fleet

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/e2e/child"
)

func TestOptionsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts Options
		want []string // parts of the error; none: no error
	}{
		{name: "one cluster", opts: Options{Names: []string{"a"}}},
		{name: "a hub alone", opts: Options{Hub: "hub"}},
		{name: "everything", opts: Options{Hub: "hub", Names: []string{"a", "b"}, WithControllers: true, WithNodes: 2, Users: []User{{Name: "eve"}}}},
		{name: "no cluster", opts: Options{}, want: []string{"no cluster is named"}},
		{name: "the same name twice", opts: Options{Names: []string{"a", "b", "a"}}, want: []string{`"a" is given twice`}},
		{name: "the hub's name again", opts: Options{Hub: "a", Names: []string{"a"}}, want: []string{`"a" is given twice`}},
		{name: "a name that would leave the folder", opts: Options{Names: []string{"../a"}}, want: []string{`"../a"`}},
		{name: "nodes that nobody schedules to", opts: Options{Names: []string{"a"}, WithNodes: 1}, want: []string{"nodes need the controllers"}},
		{name: "a user of the fleet's own name", opts: Options{Names: []string{"a"}, Users: []User{{Name: "admin"}}}, want: []string{`user name "admin"`}},
		{name: "everything at once", opts: Options{WithNodes: 1, Users: []User{{}}}, want: []string{"no cluster", "nodes need", "user name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.opts.withDefaults()
			if len(tc.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

func TestParseAudit(t *testing.T) {
	const log = `{"auditID":"1","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=a&force=true","verb":"patch","user":{"username":"admin"},"userAgent":"armada-sync/1","objectRef":{"resource":"deployments","namespace":"shop","name":"web","apiGroup":"apps"},"responseStatus":{"code":201},"requestReceivedTimestamp":"2026-11-23T05:39:23.136470Z"}
{"auditID":"2","stage":"ResponseStarted","requestURI":"/api/v1/configmaps?watch=true","verb":"watch","user":{"username":"admin"},"objectRef":{"resource":"configmaps"},"responseStatus":{"code":200}}
{"auditID":"3","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/d/secrets/s?dryRun=All","verb":"patch","objectRef":{"resource":"secrets"},"responseStatus":{"code":200}}
{"auditID":"2","stage":"ResponseComplete","requestURI":"/api/v1/configmaps?watch=true","verb":"watch","user":{"username":"admin"},"objectRef":{"resource":"configmaps"},"responseStatus":{"code":200}}
{"auditID":"4","stage":"ResponseComplete","requestURI":"/readyz","verb":"get","responseStatus":{"code":200}}
{"auditID":"5","stage":"Respo`
	events, err := parseAudit([]byte(log))
	if err != nil {
		t.Fatal(err)
	}
	want := AuditEvent{
		ID: "1", User: "admin", UserAgent: "armada-sync/1", Verb: "patch",
		URI:   "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=a&force=true",
		Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web",
		Code: 201, Received: time.Date(2026, 11, 23, 5, 39, 23, 136470000, time.UTC),
	}
	if diff := cmp.Diff(want, events[0]); diff != "" {
		t.Errorf("first event (-want +got):\n%s", diff)
	}
	var ids, writes []string
	for _, e := range events {
		ids = append(ids, e.ID)
		if e.Writes() {
			writes = append(writes, e.ID)
		}
	}
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, ids); diff != "" {
		t.Errorf("a watch counts once and an unfinished line not at all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1"}, writes); diff != "" {
		t.Errorf("reads and dry runs are no writes (-want +got):\n%s", diff)
	}
	if _, err := parseAudit([]byte("{}\nnot json\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken line gives %v, want its number", err)
	}
}

func TestModuleSaysTheKubernetesVersion(t *testing.T) {
	source, err := kubeModule()
	if err != nil {
		t.Fatal(err)
	}
	key, version, err := kubeKey(source)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, "v1.") || len(key) != 12 {
		t.Errorf("version %q, key %q", version, key)
	}
	staging := "v0." + strings.TrimPrefix(version, "v1.")
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if module, target, ok := strings.Cut(strings.TrimSpace(line), " => "); ok && target != module+" "+staging {
			t.Errorf("%q is replaced by %q; a staging module's version is the one of Kubernetes, %s", module, target, staging)
		}
	}
	if flags := versionFlags("v1.36.3"); !strings.Contains(flags, "gitVersion=v1.36.3 ") ||
		!strings.Contains(flags, "gitMajor=1 ") || !strings.Contains(flags, "gitMinor=36 ") {
		t.Errorf("linker flags %q", flags)
	}
}

func TestBuildOutputIsCountedAndErrorsKept(t *testing.T) {
	const output = "k8s.io/api/core/v1\ngo: downloading k8s.io/api v0.36.3\n# example.com/x\nmain.go:3:1: syntax error\nunsafe\n"
	var compiled atomic.Int64
	said := readBuild(strings.NewReader(output), &compiled)
	if compiled.Load() != 2 || said != "# example.com/x\nmain.go:3:1: syntax error" {
		t.Errorf("%d packages, messages %q", compiled.Load(), said)
	}
}

func TestBuildOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "tool")
	var builds atomic.Int32
	command := func(out string) *exec.Cmd {
		builds.Add(1)
		return exec.CommandContext(t.Context(), "sh", "-c", `echo made >"$0"`, out)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := buildOnce(t.Context(), t.Output(), path, "the tool", command); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 {
		t.Errorf("eight who ask at once make %d builds, want 1", builds.Load())
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "made\n" {
		t.Errorf("the file holds %q, %v", content, err)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool")
	err := buildOnce(t.Context(), t.Output(), path, "the tool", func(out string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", `echo half >"$0"; echo "main.go:1:1: no luck" >&2; exit 1`, out)
	})
	if err == nil || !strings.Contains(err.Error(), "build the tool") || !strings.Contains(err.Error(), "main.go:1:1: no luck") {
		t.Errorf("the error says %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(filepath.Dir(path), "lock")}; !cmp.Equal(want, left) {
		t.Errorf("after a failed build the folder holds %q, want %q", left, want)
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, func() { t.Error("a free lock makes one wait") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lockFile(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("a held lock gives %v", err)
	}
	unlock()
	again, err := lockFile(t.Context(), path, func() { t.Error("a lock that was given back makes one wait") })
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestPortsAreGivenOnce(t *testing.T) {
	dir := t.TempDir()
	taken := make(map[int]bool)
	for range 50 {
		p, err := reservePort(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer p.lock.Close()
		if taken[p.number] || p.number < firstPort || p.number > lastPort {
			t.Errorf("port %d is given twice or outside of the range", p.number)
		}
		taken[p.number] = true
	}
}

func TestOnlyTheRecordedProcessIsEnded(t *testing.T) {
	cmd := exec.Command("sleep", "300")
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	recorded, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []identity{
		{PID: recorded.PID, Executable: recorded.Executable, Started: "1"},
		{PID: recorded.PID, Executable: "/bin/other", Started: recorded.Started},
	} {
		if err := other.kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !p.Running() {
			t.Fatalf("ending %+v ended the process that has its number now, %+v", other, recorded)
		}
	}
	if err := recorded.kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if recorded.alive() {
		t.Error("an ended process counts as alive")
	}
}

func TestDownLeavesForeignFilesAlone(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		stateName:           `{"clusters":[{"name":"a","processes":[{"part":"etcd","pid":1,"executable":"/never","started":"0"}]}]}`,
		"a.kubeconfig":      "",
		"a/etcd/member/wal": "",
		"notes.txt":         "mine",
		"b.kubeconfig":      "mine",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var progress bytes.Buffer
	if err := Down(t.Context(), dir, &progress); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			left = append(left, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b.kubeconfig", "lock", "notes.txt"}, left); diff != "" {
		t.Errorf("left after down (-want +got):\n%s", diff)
	}
	if !strings.Contains(progress.String(), "1 of 1 processes had ended before") {
		t.Errorf("down says %q", progress.String())
	}
}
