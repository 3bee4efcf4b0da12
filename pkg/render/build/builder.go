package build

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build/sops"
)

// Options say what to read and as whose.
type Options struct {
	// Source is the name of the GitSource.
	Source string
	// Revision is the revision that the files are of.
	Revision string
	// Path is the folder to read, relative to the root of the tree. Default: all of it.
	Path string
	// DefaultNamespace is that of PropagationPolicies and OverridePolicies which name none. Default
	// "default". Objects without a namespace are left as they are, since whether their kind has one
	// is not known here.
	DefaultNamespace string
	// Keys open files that are encrypted with SOPS. The zero value opens none.
	Keys sops.Decrypter
	// RequireEncryption refuses a Secret whose values stand in clear text in the repository.
	RequireEncryption bool
	// Variables replaces variables in every object that does not refuse it by its annotation
	// render.AnnotationVariables; without it, in every object that asks for it.
	Variables bool
	// Limits bound what is read; nil: the defaults of v1alpha1.SourceLimits.
	Limits *v1alpha1.SourceLimits
}

func (o Options) withDefaults() (Options, error) {
	o.Path = cmp.Or(path.Clean(strings.Trim(o.Path, "/")), ".")
	if !fs.ValidPath(o.Path) {
		return o, fmt.Errorf("path %q leads out of the repository", o.Path)
	}
	o.DefaultNamespace = cmp.Or(o.DefaultNamespace, "default")
	limits := v1alpha1.SourceLimits{}
	if o.Limits != nil {
		limits = *o.Limits
	}
	limits.SetDefaults()
	o.Limits = &limits
	return o, nil
}

// Digester is what a file system may offer beside fs.FS: a name for the content at a path, equal
// exactly for equal content, and empty for what is not there. With it unchanged files are not read.
type Digester interface {
	Digest(name string) string
}

// Builder builds trees and remembers, for each source, what the units of its last tree gave, so that
// a commit costs what it changed. It may be used from several goroutines.
type Builder struct {
	mu    sync.Mutex
	units map[string]map[string]*unit
}

// New returns a builder that remembers nothing yet.
func New() *Builder { return &Builder{units: map[string]map[string]*unit{}} }

// unit is a file or a folder that is built as one, and what it gave. It is not changed once made.
type unit struct {
	path     string
	kind     candidateKind
	objects  []render.Object
	propag   []v1alpha1.PropagationPolicy
	override []v1alpha1.OverridePolicy
	clusters []v1alpha1.Cluster
	problems []v1alpha1.Problem
	failed   bool
	// inputs are the digests of everything that was looked at, by path.
	inputs map[string]string
	// content identifies the whole folder where all of it counts; empty: inputs tell.
	content string
	// again tells that the same content may give something else when it is built anew.
	again bool
	// namespace is the default that policies were read with, and required whether Secrets had to be
	// encrypted.
	namespace string
	required  bool
	// weight is about how much memory the objects take, in bytes.
	weight int64
	// secrets are the files that were encrypted; nil: there were none.
	secrets *opened
}

// Build reads the tree. Problems are part of the result; an error means that the path cannot be read
// at all, so that nothing is known about the source.
func (b *Builder) Build(ctx context.Context, files fs.FS, o Options) (render.Tree, error) {
	o, err := o.withDefaults()
	if err != nil {
		return render.Tree{}, err
	}
	found, err := scan(files, o)
	if err != nil {
		return render.Tree{}, err
	}
	previous := b.remembered(o.Source)
	next := make(map[string]*unit, len(found.units))
	tree := render.Tree{Source: o.Source, Revision: o.Revision}
	budget, room := *o.Limits.MaxTotalBytes, treeRoom(o.Limits)
	for _, u := range found.units {
		if err := ctx.Err(); err != nil {
			return render.Tree{}, err
		}
		if budget -= u.size; budget < 0 {
			found.refuse(u.path, "the files that are read have more than %d bytes together; the rest is left out", *o.Limits.MaxTotalBytes)
			break
		}
		built := previous[u.path]
		if built == nil || built.kind != u.kind || !built.current(files, o) {
			built = u.build(ctx, files, o)
		}
		if room -= built.weight; room < 0 {
			found.refuse(u.path, "the objects of the source need more than %d bytes of memory together; the rest is left out. spec.limits.maxTotalBytes allows more", treeRoom(o.Limits))
			break
		}
		next[u.path] = built
		built.addTo(&tree, o)
	}
	for _, p := range found.problems {
		tree.Problems = append(tree.Problems, p.Finding(o.Source))
	}
	tree.FailedUnits = append(tree.FailedUnits, found.failed...)
	slices.SortFunc(tree.Problems, v1alpha1.Finding.Compare)
	slices.Sort(tree.FailedUnits)
	tree.FailedUnits = slices.Compact(tree.FailedUnits)
	b.remember(o.Source, next)
	return tree, nil
}

func (b *Builder) remembered(source string) map[string]*unit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.units[source]
}

func (b *Builder) remember(source string, units map[string]*unit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.units[source] = units
}

// Forget drops what is remembered of a source.
func (b *Builder) Forget(source string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.units, source)
}

// current tells that building the unit again would give the same.
func (u *unit) current(files fs.FS, o Options) bool {
	if u.again || u.namespace != o.DefaultNamespace || u.required != o.RequireEncryption {
		return false
	}
	if u.secrets != nil && u.secrets.keys != o.Keys.Fingerprint() {
		return false
	}
	if u.content != "" && contentDigest(files, u.path) != u.content {
		return false
	}
	for name, digest := range u.inputs {
		if digestOf(files, name) != digest {
			return false
		}
	}
	return true
}

// wantsVariables tells whether the variables of an object are to be replaced.
func wantsVariables(o render.Object, options Options) bool {
	switch o.GetAnnotations()[render.AnnotationVariables] {
	case render.VariablesEnabled:
		return true
	case render.VariablesDisabled:
		return false
	}
	return options.Variables
}

// addTo appends what the unit gave.
func (u *unit) addTo(tree *render.Tree, options Options) {
	for _, o := range u.objects {
		o.Source = tree.Source
		o.Variables = o.Variables && wantsVariables(o, options)
		tree.Objects = append(tree.Objects, o)
	}
	tree.PropagationPolicies = append(tree.PropagationPolicies, u.propag...)
	tree.OverridePolicies = append(tree.OverridePolicies, u.override...)
	tree.Clusters = append(tree.Clusters, u.clusters...)
	for _, p := range u.problems {
		tree.Problems = append(tree.Problems, p.Finding(tree.Source))
	}
	if u.failed {
		tree.FailedUnits = append(tree.FailedUnits, u.path)
	}
}
