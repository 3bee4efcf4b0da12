// Command schemas writes the schemas of Kubernetes' own kinds as pkg/schema embeds them: the OpenAPI v3
// documents of one release, put together, without texts, examples, defaults and paths.
//
// Usage, from the root of the repository:
//
//	go mod download -json k8s.io/kubernetes@v1.37.2     # prints Dir
//	go run ./tools/schemas DIR/api/openapi-spec/v3 > pkg/schema/builtin/v1.37.json
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemas FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

// run writes one type a line, so that a new release is a readable change.
func run(folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*_openapi.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no OpenAPI documents in %q", folder)
	}
	types := map[string]any{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read a document: %w", err)
		}
		var document struct {
			Components struct {
				Schemas map[string]any `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(data, &document); err != nil {
			return fmt.Errorf("read %q: %w", file, err)
		}
		for name, schema := range document.Components.Schemas {
			types[name] = strip(schema)
		}
	}
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "{")
	names := slices.Sorted(maps.Keys(types))
	for i, name := range names {
		line, err := json.Marshal(types[name])
		if err != nil {
			return fmt.Errorf("write %q: %w", name, err)
		}
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		fmt.Fprintf(out, "%q:%s%s\n", name, line, comma)
	}
	fmt.Fprintln(out, "}")
	return out.Flush()
}

// strip leaves out what checking a manifest does not need.
func strip(schema any) any {
	m, ok := schema.(map[string]any)
	if !ok {
		if list, ok := schema.([]any); ok {
			for i := range list {
				list[i] = strip(list[i])
			}
		}
		return schema
	}
	kept := map[string]any{}
	for key, value := range m {
		switch key {
		case "description", "default", "title", "example", "x-kubernetes-unions", "x-kubernetes-map-type", "x-kubernetes-patch-strategy":
		case "properties":
			fields := map[string]any{}
			for name, field := range value.(map[string]any) {
				fields[name] = strip(field)
			}
			kept[key] = fields
		default:
			kept[key] = strip(value)
		}
	}
	return kept
}
