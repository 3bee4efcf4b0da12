package build_test

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/render/build/sops"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata/trees")

// TestTrees walks testdata/trees. A case is a txtar file: its comment says what users rely on, its
// files are a repository, read from the folder that a file named PATH holds, and WANT is what is
// found. KEYS are age identities, and with ENCRYPTION-REQUIRED the source demands encryption. Adding a case means adding a file; -update fills WANT in.
func TestTrees(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("testdata", "trees"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".txtar" {
			return err
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, want := fstest.MapFS{}, ""
			options := build.Options{Source: "shop"}
			for _, f := range archive.Files {
				switch f.Name {
				case "PATH":
					options.Path = strings.TrimSpace(string(f.Data))
				case "KEYS":
					keys, err := sops.ParseAgeKeys(f.Data)
					if err != nil {
						t.Fatal(err)
					}
					options.Keys.Services = append(options.Keys.Services, keys)
				case "ENCRYPTION-REQUIRED":
					options.RequireEncryption = true
				case "WANT":
					want = string(f.Data)
				default:
					files[f.Name] = &fstest.MapFile{Data: f.Data}
				}
			}
			tree, err := build.New().Build(context.Background(), files, options)
			got := describe(tree)
			if err != nil {
				got = "error: " + err.Error() + "\n"
			}
			if *update {
				kept := archive.Files[:0]
				for _, f := range archive.Files {
					if f.Name != "WANT" {
						kept = append(kept, f)
					}
				}
				archive.Files = append(kept, txtar.File{Name: "WANT", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\ndiffers (-want +got):\n%s", archive.Comment, diff)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// describe lists a tree, a line for each thing.
func describe(tree render.Tree) string {
	var b strings.Builder
	for _, o := range tree.Objects {
		fmt.Fprintf(&b, "object %s unit %s from %s %s\n", o.Reference(), o.Unit, o.Origin.Kind, o.Origin.Source)
		for _, field := range []string{"data", "stringData"} {
			if data := o.Object[field]; data != nil && o.GetKind() == "Secret" {
				fmt.Fprintf(&b, "  %s %v\n", field, data)
			}
		}
	}
	for _, p := range tree.PropagationPolicies {
		fmt.Fprintf(&b, "propagation %s/%s %s\n", p.Namespace, p.Name, p.Position)
	}
	for _, p := range tree.OverridePolicies {
		fmt.Fprintf(&b, "override %s/%s %s\n", p.Namespace, p.Name, p.Position)
	}
	for _, c := range tree.Clusters {
		fmt.Fprintf(&b, "cluster %s %s\n", c.Name, c.Position)
	}
	for _, f := range tree.Problems {
		fmt.Fprintf(&b, "%s %s %s: %s\n", f.Severity, f.ID, f.Source, f.Message)
	}
	for _, u := range tree.FailedUnits {
		fmt.Fprintf(&b, "failed %s\n", u)
	}
	return b.String()
}
