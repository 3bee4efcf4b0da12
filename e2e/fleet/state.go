package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// stateName is the file in a fleet's folder that says what runs.
const stateName = "fleet.json"

// downTimeout bounds the wait for killed processes to be gone.
const downTimeout = 20 * time.Second

// State is what [Up] leaves behind in a fleet's folder so that [Down] can end
// it.
type State struct {
	// Complete says that Up ran to its end. It is false while Up runs, and
	// after it was killed.
	Complete bool           `json:"complete"`
	Clusters []ClusterState `json:"clusters"`
}

// ClusterState is one cluster of a State.
type ClusterState struct {
	Name       string         `json:"name"`
	URL        string         `json:"url"`
	Kubeconfig string         `json:"kubeconfig"`
	Processes  []ProcessState `json:"processes"`
}

// ProcessState is one process of a ClusterState.
type ProcessState struct {
	Part string `json:"part"`
	identity
}

// alive counts the processes that still run, and all of them.
func (s State) alive() (running, all int) {
	for _, c := range s.Clusters {
		for _, p := range c.Processes {
			all++
			if p.alive() {
				running++
			}
		}
	}
	return running, all
}

func (s State) names() []string {
	var names []string
	for _, c := range s.Clusters {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// stateFile writes a State as processes come.
type stateFile struct {
	path  string
	order []string // the clusters' names, in the order that the State has them

	mu    sync.Mutex
	state State
}

// add records a process that was just started. It is on disk before anything
// else happens, so that Down finds it even if this process is killed.
func (f *stateFile) add(c *Cluster, part string, pid int) error {
	id, err := identify(pid)
	if err != nil {
		return fmt.Errorf("%s ended at once: %w\n%s", part, err, logTail(c.program(part).logPath(), 15))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	named := func(s ClusterState) bool { return s.Name == c.Name }
	i := slices.IndexFunc(f.state.Clusters, named)
	if i < 0 {
		f.state.Clusters = append(f.state.Clusters, ClusterState{Name: c.Name, URL: c.URL, Kubeconfig: c.Kubeconfig})
		slices.SortFunc(f.state.Clusters, func(a, b ClusterState) int {
			return slices.Index(f.order, a.Name) - slices.Index(f.order, b.Name)
		})
		i = slices.IndexFunc(f.state.Clusters, named)
	}
	f.state.Clusters[i].Processes = append(f.state.Clusters[i].Processes, ProcessState{Part: part, identity: id})
	return f.write()
}

// complete records that nothing more comes.
func (f *stateFile) complete() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Complete = true
	return f.write()
}

// write replaces the file. The caller holds the lock.
func (f *stateFile) write() error {
	content, err := json.MarshalIndent(f.state, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path+".new", content, 0o600); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return os.Rename(f.path+".new", f.path)
}

// readState reads the state in a fleet's folder; without a file it is empty.
func readState(dir string) (State, error) {
	path := filepath.Join(dir, stateName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	var s State
	if err := json.Unmarshal(content, &s); err != nil {
		return State{}, fmt.Errorf("read %q: %w", path, err)
	}
	return s, nil
}

// Up starts a fleet that outlives this process, in opts.Dir, which must be
// given. When the same clusters already run there, it leaves them alone; other
// clusters, or a fleet of which a part has ended, are an error that asks for
// Down first. What an Up that was killed left behind is ended first.
func Up(ctx context.Context, opts Options) (State, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return State{}, err
	}
	unlock, err := lockFleet(ctx, opts.Dir, opts.Progress)
	if err != nil {
		return State{}, err
	}
	defer unlock()
	old, err := readState(opts.Dir)
	if err != nil {
		return State{}, err
	}
	running, all := old.alive()
	names := slices.Sorted(slices.Values(opts.clusterNames()))
	switch {
	case running == 0 || !old.Complete:
		if err := end(ctx, opts.Dir, old); err != nil {
			return State{}, err
		}
	case running == all && slices.Equal(old.names(), names):
		fmt.Fprintln(opts.Progress, "fleet: it is up already")
		return old, nil
	default:
		return State{}, fmt.Errorf("a fleet with clusters %q is in %q, %d of its %d processes running: end it with `fleet down` first",
			old.names(), opts.Dir, running, all)
	}
	file := &stateFile{path: filepath.Join(opts.Dir, stateName), order: opts.clusterNames()}
	if _, err := start(ctx, opts, file); err != nil {
		return State{}, errors.Join(err, remove(opts.Dir, file.state))
	}
	if err := file.complete(); err != nil {
		return State{}, errors.Join(err, end(ctx, opts.Dir, file.state))
	}
	return file.state, nil
}

// Down ends the processes that Up started in the folder, those and no others,
// and removes what they left there. Without a fleet it does nothing.
func Down(ctx context.Context, dir string, progress io.Writer) error {
	if _, err := os.Stat(filepath.Join(dir, stateName)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(progress, "fleet: none in %s\n", dir)
		return nil
	}
	unlock, err := lockFleet(ctx, dir, progress)
	if err != nil {
		return err
	}
	defer unlock()
	state, err := readState(dir)
	if err != nil {
		return err
	}
	running, all := state.alive()
	if err := end(ctx, dir, state); err != nil {
		return err
	}
	if running < all {
		fmt.Fprintf(progress, "fleet: %d of %d processes had ended before\n", all-running, all)
	}
	fmt.Fprintf(progress, "fleet: ended %d processes\n", running)
	return nil
}

// end kills the processes of a state that still run and removes the fleet's
// files. When a process cannot be ended, the files stay, for another try.
func end(ctx context.Context, dir string, state State) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	var errs []error
	for _, c := range state.Clusters {
		for _, p := range slices.Backward(c.Processes) {
			errs = append(errs, p.kill(ctx))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return remove(dir, state)
}

// lockFleet keeps two commands from working on one folder.
func lockFleet(ctx context.Context, dir string, progress io.Writer) (unlock func(), err error) {
	if dir == "" {
		return nil, errors.New("no folder is given for the fleet")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the fleet's folder: %w", err)
	}
	return lockFile(ctx, filepath.Join(dir, "lock"), func() {
		fmt.Fprintf(progress, "fleet: waiting for another command in %s\n", dir)
	})
}

// remove deletes what a fleet left in its folder, and nothing that somebody
// else put there.
func remove(dir string, state State) error {
	var errs []error
	for _, c := range state.Clusters {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, c.Name)), removeFile(filepath.Join(dir, c.Name+".kubeconfig")))
	}
	errs = append(errs, removeFile(filepath.Join(dir, stateName)))
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
