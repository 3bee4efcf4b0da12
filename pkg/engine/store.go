package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// State is what a controller must remember over a restart: decisions with their timers, moves and
// debts, and since when which cluster is not well. Everything else is read from Git and members.
type State struct {
	Placements []v1alpha1.Placement
	// Clusters carry the Ready condition and our taints with their times.
	Clusters []v1alpha1.Cluster
	// Sources tell of each source what was asked of it last, which revisions were applied, and how far the
	// latest has spread.
	Sources []v1alpha1.GitSource
	// Orders are what people asked of a standalone controller. On a hub there are none.
	Orders Orders
}

// Store keeps a State. Save replaces what was kept; each decision is kept as a whole or not at all. Both
// may be called again after an error, which says that nothing more could be kept.
type Store interface {
	Load(ctx context.Context) (State, error)
	Save(ctx context.Context, s State) (Kept, error)
}

// Kept tells what of a State a store has not kept yet, because it may not write as fast as decisions are
// made. The zero value: everything is kept.
type Kept struct {
	// Waiting are the workloads whose decision is not kept: nothing is done about them until it is.
	Waiting map[v1alpha1.ObjectKey]bool
	// Again is when Save is to be called once more, with the state as it is then. Zero: there is no need.
	Again time.Time
}

// FolderStore keeps the state in a folder: one file in the format of a fleet file, and beside it the
// orders, one document, which people may want to read.
type FolderStore struct {
	dir string
	// orders is what the file of orders holds; nil: it is not there.
	orders []byte
	writer plan.FleetWriter
}

// The names of the files in a state folder.
const (
	StateFile  = "state.yaml"
	OrdersFile = "orders.yaml"
)

// NewFolderStore returns a store in a folder, which it creates, readable by its owner alone.
func NewFolderStore(dir string) (*FolderStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	// What a killed process was in the middle of writing is of no use to anyone.
	for _, file := range []string{StateFile, OrdersFile} {
		halves, err := filepath.Glob(filepath.Join(dir, file+".*"))
		if err != nil {
			return nil, fmt.Errorf("clean state folder: %w", err)
		}
		for _, half := range halves {
			if err := os.Remove(half); err != nil {
				return nil, fmt.Errorf("clean state folder: %w", err)
			}
		}
	}
	return &FolderStore{dir: dir}, nil
}

// Load returns the kept state; an absent file is an empty state. A file that cannot be read whole is
// an error: to plan on half a state could move workloads.
func (s *FolderStore) Load(context.Context) (State, error) {
	orders, err := s.loadOrders()
	if err != nil {
		return State{}, err
	}
	state, err := s.loadState()
	state.Orders = orders
	return state, err
}

func (s *FolderStore) loadState() (State, error) {
	file := filepath.Join(s.dir, StateFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	snap, problems := plan.ReadFleet(StateFile, data)
	for _, p := range problems {
		if p.Severity == v1alpha1.SeverityBlocker {
			return State{}, fmt.Errorf("read state %q: %w (remove the file to rebuild the state from what the members hold)", file, p)
		}
	}
	return State{Placements: snap.Placements, Clusters: snap.Clusters, Sources: snap.Sources}, nil
}

// loadOrders returns the kept orders; an absent file holds none.
func (s *FolderStore) loadOrders() (Orders, error) {
	file := filepath.Join(s.dir, OrdersFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Orders{}, nil
	}
	if err != nil {
		return Orders{}, fmt.Errorf("read orders: %w", err)
	}
	docs, problems := v1alpha1.DecodeStream(OrdersFile, data)
	var read *v1alpha1.Orders
	for _, d := range docs {
		value, found := d.Typed()
		problems = append(problems, found...)
		orders, ok := value.(*v1alpha1.Orders)
		if value != nil && (!ok || read != nil) {
			return Orders{}, fmt.Errorf("read orders %q: %s: want one document of kind Orders", file, d.Position)
		}
		read = orders
	}
	for _, p := range problems {
		if p.Severity == v1alpha1.SeverityBlocker {
			return Orders{}, fmt.Errorf("read orders %q: %w (remove the file to withdraw all orders)", file, p)
		}
	}
	s.orders = data
	if read == nil {
		return Orders{}, nil
	}
	return ordersOf(read.Spec), nil
}

// saveOrders writes the orders where they are not what is there. Without any there is no file.
func (s *FolderStore) saveOrders(o Orders) error {
	file := filepath.Join(s.dir, OrdersFile)
	d := o.document()
	if equality.Semantic.DeepEqual(d.Spec, v1alpha1.OrdersSpec{}) {
		if s.orders == nil {
			return nil
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.orders = nil
		return nil
	}
	data, err := yaml.Marshal(d)
	if err != nil || bytes.Equal(data, s.orders) {
		return err
	}
	if err := writeAtomically(file, data); err != nil {
		return err
	}
	s.orders = data
	return nil
}

// Save writes the state beside the old one and puts it in its place.
func (s *FolderStore) Save(_ context.Context, state State) (Kept, error) {
	if err := s.saveOrders(state.Orders); err != nil {
		return Kept{}, fmt.Errorf("write orders: %w", err)
	}
	data, err := s.writer.Write(plan.Snapshot{Placements: state.Placements, Clusters: state.Clusters, Sources: state.Sources})
	if err != nil {
		return Kept{}, fmt.Errorf("write state: %w", err)
	}
	if err := writeAtomically(filepath.Join(s.dir, StateFile), data); err != nil {
		return Kept{}, fmt.Errorf("write state: %w", err)
	}
	return Kept{}, nil
}

func writeAtomically(file string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err = tmp.Sync(); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
