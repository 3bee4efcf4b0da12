package v1alpha1_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var update = flag.Bool("update", false, "write what the golden cases give")

// TestGolden reads the files of each case under testdata/documents and compares what is said about
// them, line by line, with the case's file "want". Adding a case means adding a file.
func TestGolden(t *testing.T) {
	err := filepath.WalkDir("testdata/documents", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { golden(t, path) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	at := -1
	for i, file := range archive.Files {
		if file.Name == "want" {
			at = i
			continue
		}
		report(&got, file.Name, file.Data)
	}
	if at < 0 {
		at = len(archive.Files)
		archive.Files = append(archive.Files, txtar.File{Name: "want"})
	}
	if diff := cmp.Diff(string(archive.Files[at].Data), got.String()); diff != "" && !*update {
		t.Errorf("what is said (-want +got):\n%s", diff)
	}
	if *update {
		archive.Files[at].Data = []byte(got.String())
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// report writes what decoding a file and reading its documents gives.
func report(out *strings.Builder, file string, data []byte) {
	docs, problems := v1alpha1.DecodeStream(file, data)
	for _, d := range docs {
		name := d.Name()
		if d.Namespace() != "" {
			name = d.Namespace() + "/" + name
		}
		switch {
		case v1alpha1.IsOurs(d.APIVersion, d.Kind):
			value, found := d.Typed()
			problems = append(problems, found...)
			fmt.Fprintf(out, "%s: ours %s %s: %T\n", d.Position, d.Kind, name, value)
		case v1alpha1.IsUnsupportedKarmada(d.APIVersion, d.Kind):
			_, found := d.Typed()
			problems = append(problems, found...)
			fmt.Fprintf(out, "%s: unsupported %s %s\n", d.Position, d.Kind, name)
		case d.Kind == "":
			fmt.Fprintf(out, "%s: no object\n", d.Position)
		default:
			fmt.Fprintf(out, "%s: object %s %s\n", d.Position, d.Kind, name)
		}
	}
	slices.SortStableFunc(problems, v1alpha1.Problem.Compare)
	for _, p := range problems {
		fmt.Fprintf(out, "%s %s %s\n", p.Severity, p.ID, p.Error())
	}
}
