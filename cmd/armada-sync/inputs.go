package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// inputs are the flags with which plan, render and preview are told what to read.
type inputs struct {
	repos []string
	ref   string
	path  string
	fleet string
	now   string
	// hub is where --fleet hub looks.
	hub hubSurvey
	// assume is registered by the commands that ask what if.
	assume assumeFlags

	builder *build.Builder
	// contents are the files of each source, as they were read last, by its name.
	contents map[string]fs.FS
}

// unnamedSource is the name of a repository that --repo gives no name, unless the fleet file knows
// exactly one source: then it is taken to be that one.
const unnamedSource = "default"

func (in *inputs) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&in.repos, "repo", []string{"."}, "folder, Git work tree, bare repository or URL to read; NAME=DIR names the source, and may be given several times")
	f.StringVar(&in.path, "path", "", "folder inside the repository that is read (default: all of it)")
	f.StringVar(&in.fleet, "fleet", "", "fleet file: the clusters and, optionally, what they hold; - for stdin, or hub for the fleet of a hub as it is now (required)")
	in.hub.register(cmd)
	f.StringVar(&in.now, "now", "", "time that tolerations count from, RFC 3339 (default: the fleet file's takenAt, else the epoch)")
	must(cmd.MarkFlagRequired("fleet"))
	must(cmd.MarkFlagFilename("fleet", "yaml", "yml", "json"))
	must(cmd.MarkFlagDirname("repo"))
}

// must panics on an error that only a mistake in this program can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// repository is one --repo.
type repository struct {
	name string
	source.Repository
	// declared is what the fleet says about the source of that name; without a word everything is as by
	// default.
	declared v1alpha1.GitSource
}

// open opens every --repo; snap names an unnamed one.
func (in *inputs) open(snap plan.Snapshot) ([]repository, error) {
	if in.builder == nil {
		in.builder = build.New()
	}
	var repos []repository
	for _, arg := range in.repos {
		name, place, named := splitName(arg)
		if !named {
			name = soleSource(snap)
		}
		name = knownSource(snap, name)
		for _, r := range repos {
			if r.name == name {
				return nil, fmt.Errorf("two repositories are named %q: name them with --repo NAME=DIR", name)
			}
		}
		opened, err := source.Open(place, source.Options{
			AllowFile: true, AllowLoopback: true, Proxy: http.ProxyFromEnvironment, KnownHostsFiles: knownHostsFiles(),
			SSHAgentSocket: os.Getenv("SSH_AUTH_SOCK"),
		})
		if err != nil {
			return nil, fmt.Errorf("repository %q: %w", printable(place), err)
		}
		repos = append(repos, repository{name: name, Repository: opened, declared: declaredSource(snap, name)})
	}
	return repos, nil
}

// printable is a repository's place without what may be a secret in a URL: user and password, query
// and fragment. The URL need not be valid.
func printable(place string) string {
	scheme, rest, isURL := strings.Cut(place, "://")
	if !isURL {
		return place
	}
	// A password may hold any character, so everything before the last @ counts as one.
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// splitName cuts NAME=DIR. A "=" behind a slash or a colon belongs to a path or a URL.
func splitName(arg string) (name, place string, named bool) {
	name, place, found := strings.Cut(arg, "=")
	if !found || name == "" || strings.ContainsAny(name, `/\:.`) && !isSourceID(name) {
		return "", arg, false
	}
	return name, place, true
}

// isSourceID tells whether a name has the form namespace/name of a GitSource.
func isSourceID(name string) bool {
	namespace, rest, found := strings.Cut(name, "/")
	return found && namespace != "" && rest != "" && !strings.ContainsAny(namespace+rest, `/\:.`)
}

// soleSource is the source that an unnamed repository stands for.
func soleSource(snap plan.Snapshot) string {
	if ids := sourcesOf(snap); len(ids) == 1 {
		return ids[0]
	}
	return unnamedSource
}

// sourcesOf are the ids of the sources that a snapshot speaks of, sorted. One of the default namespace may
// be mentioned with and without it, and counts once.
func sourcesOf(snap plan.Snapshot) []string {
	names := map[string]bool{}
	for name := range snap.AppliedRevisions {
		names[name] = true
	}
	for i := range snap.Sources {
		names[declaredID(&snap.Sources[i])] = true
	}
	for _, m := range snap.Members {
		for o := range m.Objects.All() {
			if o.Source != "" {
				names[o.Source] = true
			}
		}
	}
	maps.DeleteFunc(names, func(id string, _ bool) bool { return names[engine.DefaultNamespace+"/"+id] })
	return slices.Sorted(maps.Keys(names))
}

// readTree reads one repository: at a revision, or where the revision is zero as it stands.
func (in *inputs) readTree(ctx context.Context, r repository, rev source.Revision) (plan.Source, error) {
	content, err := r.Fetch(ctx, rev)
	if err != nil {
		return plan.Source{}, fmt.Errorf("source %q: %w", r.name, err)
	}
	if in.contents == nil {
		in.contents = map[string]fs.FS{}
	}
	in.contents[r.name] = content
	spec := *r.declared.DeepCopy()
	spec.Name = r.name
	spec.Spec.Path = cmp.Or(in.path, spec.Spec.Path)
	spec.Spec.SetDefaults()
	tree, err := buildTree(ctx, in.builder, r.name, spec, environmentKeys(), content)
	if err != nil {
		return plan.Source{}, fmt.Errorf("source %q: %w", r.name, err)
	}
	return plan.Source{Tree: tree, Spec: spec.Spec, AllowPrune: spec.Annotations[v1alpha1.AnnotationAllowPrune]}, nil
}

// readTrees reads every repository at a ref, or as it stands without one.
func (in *inputs) readTrees(ctx context.Context, repos []repository, ref string) (plan.Trees, error) {
	var trees plan.Trees
	for _, r := range repos {
		rev, err := r.resolve(ctx, ref)
		if err != nil {
			return nil, err
		}
		tree, err := in.readTree(ctx, r, rev)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

func (r repository) resolve(ctx context.Context, ref string) (source.Revision, error) {
	if ref == "" {
		rev, err := r.Resolve(ctx)
		if err != nil {
			return source.Revision{}, fmt.Errorf("source %q: %w", r.name, err)
		}
		return rev, nil
	}
	rev, err := r.ResolveRef(ctx, ref)
	if err != nil {
		return source.Revision{}, fmt.Errorf("source %q: %w", r.name, err)
	}
	return rev, nil
}

// readFleet reads the fleet file; stdin for "-", and a hub for "hub". Remarks about it go to stderr.
func (in *inputs) readFleet(ctx context.Context, stdin io.Reader, stderr io.Writer) (plan.Snapshot, error) {
	var data []byte
	var err error
	switch in.fleet {
	case "hub":
		if data, err = in.hub.fleetFile(ctx, stderr); err != nil {
			return plan.Snapshot{}, err
		}
	case "-":
		data, err = io.ReadAll(stdin)
	default:
		data, err = os.ReadFile(in.fleet)
	}
	if err != nil {
		return plan.Snapshot{}, fmt.Errorf("read the fleet file: %w", err)
	}
	snap, problems := plan.ReadFleet(in.fleet, data)
	for _, p := range problems {
		fmt.Fprintf(stderr, "%s: %s\n", p.Severity, p)
	}
	if v1alpha1.Blocked(problems) {
		return plan.Snapshot{}, fmt.Errorf("the fleet file %q cannot be used", in.fleet)
	}
	if in.now != "" {
		if snap.Now, err = time.Parse(time.RFC3339, in.now); err != nil {
			return plan.Snapshot{}, fmt.Errorf("--now: %w", err)
		}
	}
	return in.assume.apply(snap)
}
