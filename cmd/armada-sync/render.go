package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// renderFlags are the flags of render.
type renderFlags struct {
	inputs
	cluster     string
	output      string
	showSecrets bool
}

func newRender(s streams) *cobra.Command {
	flags := &renderFlags{}
	cmd := &cobra.Command{
		Use:   "render --fleet FILE",
		Short: "Print the manifests that each cluster gets",
		Long: `Print the manifests as they are sent to each cluster: placed, divided and overridden.

With -o dir=OUT they are written to OUT/<cluster>/<namespace>/<kind>-<name>.yaml, cluster-scoped ones
under _cluster; what else is in OUT stays. Values of Secrets are masked unless --show-secrets is given.
An object that an override fails on is left out, and the exit code is 1.`,
		Example: `  armada-sync render --fleet clusters.yaml --cluster eu-1
  armada-sync render --repo shop.git --ref main --fleet clusters.yaml -o dir=out`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRender(cmd.Context(), s, cmd.InOrStdin(), flags)
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.ref, "ref", "", "commit, branch or tag to read (default: as it stands; HEAD of a bare repository)")
	f.StringVar(&flags.cluster, "cluster", "", "only this cluster")
	f.StringVarP(&flags.output, "output", "o", "yaml", "yaml or dir=OUT")
	f.BoolVar(&flags.showSecrets, "show-secrets", false, "print the values of Secrets in clear")
	completeClusters(cmd, &flags.inputs)
	return cmd
}

func runRender(ctx context.Context, s streams, stdin io.Reader, flags *renderFlags) error {
	write, err := manifestWriter(s.out, flags.output)
	if err != nil {
		return err
	}
	p, err := flags.compute(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	if err := checkCluster(p, flags.cluster); err != nil {
		return err
	}
	for _, c := range p.Clusters {
		if flags.cluster != "" && c.Name != flags.cluster {
			continue
		}
		if err := renderCluster(p, c, flags.showSecrets, write); err != nil {
			return err
		}
	}
	printFindings(s.err, p, v1alpha1.SeverityBlocker)
	if planErrors(p) {
		return withCode(exitError)
	}
	return nil
}

// renderCluster writes what the cluster gets. What is held back because it is in doubt is left out;
// what only waits is not.
func renderCluster(p *plan.Plan, c plan.ClusterChanges, showSecrets bool, write writeManifest) error {
	desired := p.Desired(c.Name)
	for _, o := range c.Objects {
		if o.Action == v1alpha1.ActionPrune || o.Gate.Kind() == v1alpha1.GateHeld {
			continue
		}
		if _, wanted := desired(o.Key()); !wanted {
			continue
		}
		rendered, err := p.Rendered(c.Name, o.ObjectReference)
		if err != nil {
			return fmt.Errorf("render %s for %q: %w", o.ObjectReference, c.Name, err)
		}
		object := rendered.Object
		if !showSecrets && render.IsSecret(object) {
			object = render.MaskSecret(object)
		}
		if err := write(c.Name, object); err != nil {
			return err
		}
	}
	return nil
}

// writeManifest writes one object of one cluster.
type writeManifest func(cluster string, object *unstructured.Unstructured) error

func manifestWriter(out io.Writer, format string) (writeManifest, error) {
	if format == "yaml" {
		return func(cluster string, object *unstructured.Unstructured) error {
			data, err := yaml.Marshal(object.Object)
			if err != nil {
				return fmt.Errorf("write %s: %w", object.GetName(), err)
			}
			_, err = fmt.Fprintf(out, "---\n# cluster: %s\n%s", cluster, data)
			return err
		}, nil
	}
	dir, ok := strings.CutPrefix(format, "dir=")
	if !ok || dir == "" {
		return nil, fmt.Errorf("--output %q: want yaml or dir=OUT", format)
	}
	written := map[string]bool{}
	return func(cluster string, object *unstructured.Unstructured) error {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", object.GetName(), err)
		}
		file := manifestFile(dir, cluster, object, "")
		if written[file] {
			// The same kind and name in two API groups.
			file = manifestFile(dir, cluster, object, "."+object.GroupVersionKind().Group)
		}
		written[file] = true
		return writeFile(file, data)
	}, nil
}

// manifestFile is OUT/<cluster>/<namespace|_cluster>/<kind>-<name>.yaml. Names that Kubernetes allows
// for some kinds, such as "system:node", are no threat to a path; a slash in one would be.
func manifestFile(dir, cluster string, object *unstructured.Unstructured, suffix string) string {
	folder := object.GetNamespace()
	if folder == "" {
		folder = "_cluster"
	}
	name := strings.ToLower(object.GetKind()) + "-" + object.GetName() + suffix + ".yaml"
	return filepath.Join(dir, pathPart(cluster), pathPart(folder), pathPart(name))
}

// pathPart makes one element of a path of a name.
func pathPart(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == 0 {
			return '_'
		}
		return r
	}, name)
	if name == "." || name == ".." {
		return "_"
	}
	return name
}

// writeFile writes only what differs, so that a tool which watches the folder sees changes alone.
func writeFile(file string, data []byte) error {
	old, err := os.ReadFile(file)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}
