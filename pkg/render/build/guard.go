package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Bounds of one YAML file that kustomize reads. Aliases count as what they stand for.
const (
	maxNodes              = 200_000
	maxDepth              = 256
	maxKustomizationBytes = 512 << 10
)

// placedError is an error about a place other than the kustomization that the build started from.
type placedError struct {
	position v1alpha1.Position
	err      error
}

func (e *placedError) Error() string { return e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

func placed(file string, line int, format string, args ...any) error {
	return &placedError{v1alpha1.Position{File: file, Line: line}, fmt.Errorf(format, args...)}
}

// plainFields are the fields of a kustomization that hold values, never paths. What another field
// holds is checked for remote locations, known field or not.
func plainFields() []string {
	return []string{
		"apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels",
		"commonAnnotations", "images", "imageTags", "replicas", "vars", "generatorOptions", "buildMetadata", "sortOptions",
	}
}

// plainKeys are the keys below the other fields that hold values, never paths.
func plainKeys() []string {
	return []string{"literals", "patch", "target", "options", "source", "targets"}
}

// pathKeys are the keys by which kustomize's built-in plugins name files.
func pathKeys() []string {
	return []string{
		"path", "paths", "files", "envs", "env", "targetfilepath", "argsfromfile", "valuesfile", "additionalvaluesfiles",
		"charthome", "repo", "crds", "configurations",
	}
}

// helmFields ask for Helm.
func helmFields() []string {
	return []string{"helmcharts", "helmglobals", "helmchartinflationgenerator"}
}

// checkKustomization refuses a kustomization that refers to something outside the repository, asks
// for Helm, or is too large once its aliases are resolved.
func checkKustomization(p string, data []byte) error {
	if len(data) > maxKustomizationBytes {
		return placed(p, 0, "the kustomization has %d bytes, more than %d", len(data), maxKustomizationBytes)
	}
	documents, err := nodes(p, data)
	if err != nil {
		return err
	}
	for _, root := range documents {
		if root.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(root.Content); i += 2 {
			key, value := root.Content[i].Value, root.Content[i+1]
			if slices.Contains(helmFields(), strings.ToLower(key)) {
				return placed(p, root.Content[i].Line, "%s is not supported: Helm charts are not built inside a kustomization", key)
			}
			if slices.Contains(plainFields(), key) {
				continue
			}
			if err := checkScalars(p, value, func(string) bool { return true }, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFile refuses a YAML file that is too large once its aliases are resolved, or that configures
// a built-in plugin of kustomize with a remote location.
func checkFile(p string, data []byte) error {
	configures := bytes.Contains(data, []byte("builtin"))
	if !configures && (!slices.Contains(manifestExtensions(), path.Ext(p)) || !bytes.ContainsAny(data, "&[{")) && len(data) < 1<<20 {
		return nil
	}
	documents, err := nodes(p, data)
	if errors.Is(err, errTooLarge) || err != nil && configures && bytes.Contains(data, []byte("apiVersion")) {
		return err
	}
	// Whether anything else has to be YAML is for kustomize to say.
	for _, root := range documents {
		if configures {
			isPath := func(key string) bool { return slices.Contains(pathKeys(), strings.ToLower(key)) }
			if err := checkScalars(p, root, isPath, false); err != nil {
				return err
			}
		}
	}
	return nil
}

var errTooLarge = errors.New("too large")

// nodes reads the documents of a YAML file within the bounds.
func nodes(p string, data []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, placed(p, 0, "%w", err)
		}
		if len(document.Content) == 0 {
			continue
		}
		m := measure{sizes: map[*yaml.Node]int{}}
		if !m.within(document.Content[0], 0) {
			return nil, placed(p, 0, "%w: more than %d values, or nested more than %d levels deep", errTooLarge, maxNodes, maxDepth)
		}
		documents = append(documents, document.Content[0])
	}
}

// estimate is about how many values a YAML file has, found without parsing it: parsing takes some
// hundred bytes of memory for a value, and kustomize parses several times.
func estimate(data []byte) int {
	n := 0
	for _, c := range data {
		switch c {
		case ',', '\n', '[', '{':
			n++
		}
	}
	return n
}

// measure counts the values of a document with aliases resolved, without resolving them.
type measure struct {
	sizes map[*yaml.Node]int
}

func (m measure) within(n *yaml.Node, depth int) bool {
	size := m.count(n, depth)
	return size >= 0 && size <= maxNodes
}

// count returns -1 for a node that is too large, too deep or contains itself.
func (m measure) count(n *yaml.Node, depth int) int {
	if depth > maxDepth {
		return -1
	}
	if n.Kind == yaml.AliasNode {
		return m.count(n.Alias, depth+1)
	}
	if size, ok := m.sizes[n]; ok {
		return size
	}
	// A node that is met again while it is counted contains itself.
	m.sizes[n] = -1
	size := 1
	for _, child := range n.Content {
		inner := m.count(child, depth+1)
		if inner < 0 || size > maxNodes {
			return -1
		}
		size += inner
	}
	m.sizes[n] = size
	return size
}

// checkScalars looks for remote locations in the strings below a node. isPath tells which keys hold
// paths; everything below such a key counts. Inline documents are looked into where asked for.
func checkScalars(p string, n *yaml.Node, isPath func(key string) bool, inline bool) error {
	seen := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node, counts bool) error
	walk = func(n *yaml.Node, counts bool) error {
		switch n.Kind {
		case yaml.AliasNode:
			return walk(n.Alias, counts)
		case yaml.ScalarNode:
			if counts && isRemote(n.Value) {
				return placed(p, n.Line, "%q is remote; only files of the repository are read", withoutUser(n.Value))
			}
			if counts && inline {
				return checkInline(p, n)
			}
			return nil
		case yaml.MappingNode:
			if seen[n] {
				return nil
			}
			seen[n] = true
			for i := 0; i+1 < len(n.Content); i += 2 {
				if key := n.Content[i].Value; !slices.Contains(plainKeys(), key) {
					if err := walk(n.Content[i+1], counts || isPath(key)); err != nil {
						return err
					}
				}
			}
			return nil
		default:
			for _, child := range n.Content {
				if err := walk(child, counts); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return walk(n, isPath(""))
}

// checkInline looks into a string that holds the configuration of a plugin.
func checkInline(p string, n *yaml.Node) error {
	if !strings.Contains(n.Value, "builtin") {
		return nil
	}
	documents, err := nodes(p, []byte(n.Value))
	if err != nil {
		return err
	}
	isPath := func(key string) bool { return slices.Contains(pathKeys(), strings.ToLower(key)) }
	for _, root := range documents {
		if err := checkScalars(p, root, isPath, false); err != nil {
			return err
		}
	}
	return nil
}

// hasUser tells whether a string starts like an scp-like Git location: user@host.
func hasUser(s string) bool {
	name, _, found := strings.Cut(s, "@")
	if !found || name == "" {
		return false
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// isRemote tells whether kustomize would fetch what a string names, by HTTP or with git. The rules
// are those of kustomize's loader (IsRemoteFile) and Git locations (NewRepoSpecFromURL).
func isRemote(s string) bool {
	for _, candidate := range []string{s, strings.TrimSpace(s), afterEquals(s)} {
		if parsed, err := url.Parse(candidate); err == nil && (strings.EqualFold(parsed.Scheme, "http") || strings.EqualFold(parsed.Scheme, "https")) {
			return true
		}
		lower := strings.ToLower(candidate)
		lower = strings.TrimPrefix(lower, "git::")
		for _, prefix := range []string{"ssh://", "https://", "http://", "file://", "github.com/", "github.com:"} {
			if strings.HasPrefix(lower, prefix) {
				return true
			}
		}
		if hasUser(lower) {
			return true
		}
	}
	return false
}

// withoutUser leaves out the user information of a URL, which may be a token.
func withoutUser(s string) string {
	return regexp.MustCompile(`//[^/]*@`).ReplaceAllLiteralString(s, "//")
}

// afterEquals returns the path of a file source "key=path".
func afterEquals(s string) string {
	_, after, _ := strings.Cut(s, "=")
	return after
}

// withOrigins asks kustomize to note on each object which file it comes from.
func withOrigins(data []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil || len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return data, nil //nolint:nilerr // kustomize says better what is wrong.
	}
	root := document.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		if strings.EqualFold(root.Content[i].Value, "buildMetadata") {
			if list := root.Content[i+1]; list.Kind == yaml.SequenceNode {
				list.Content = append(list.Content, scalar(originAnnotations))
			}
			return yaml.Marshal(&document)
		}
	}
	root.Content = append(root.Content, scalar("buildMetadata"), &yaml.Node{
		Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{scalar(originAnnotations)},
	})
	return yaml.Marshal(&document)
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// references is what a kustomization refers to, as far as the folders go.
type references struct {
	component bool
	folders   []string
}

// folderFields are the fields of a kustomization that may refer to the folder of another one.
func folderFields() []string {
	return []string{"resources", "bases", "components", "generators", "transformers", "validators"}
}

// readReferences reads the folders that a folder's kustomization refers to. What cannot be read has
// none: the build says why.
func readReferences(files fs.FS, dir string) references {
	var r references
	for _, name := range kustomizationNames() {
		p := path.Join(dir, name)
		info, err := lstat(files, p)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxKustomizationBytes {
			continue
		}
		data, err := fs.ReadFile(files, p)
		if err != nil {
			continue
		}
		documents, err := nodes(p, data)
		if err != nil {
			continue
		}
		for _, root := range documents {
			r.read(files, dir, root)
		}
	}
	return r
}

// read takes the references out of a document. kustomize takes the names of fields in any case.
func (r *references) read(files fs.FS, dir string, root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := strings.ToLower(root.Content[i].Value), resolved(root.Content[i+1])
		if key == "kind" {
			r.component = r.component || value.Value == "Component"
		}
		if !slices.Contains(folderFields(), key) {
			continue
		}
		for _, item := range value.Content {
			folder := path.Join(dir, resolved(item).Value)
			if resolved(item).Value == "" || isRemote(resolved(item).Value) || !fs.ValidPath(folder) {
				continue
			}
			if info, err := lstat(files, folder); err == nil && info.IsDir() {
				r.folders = append(r.folders, folder)
			}
		}
	}
}

func resolved(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	return n
}

// checkGraph refuses kustomizations that refer to each other in a circle, too deep, or so often that
// together they are too many. kustomize itself would find out late: the time that it takes to report
// a failure grows with the square of the depth, and a base that is referred to twice is built twice.
func checkGraph(files fs.FS, dir string) error {
	known := map[string]references{}
	visits := 0
	var trail []string
	var visit func(dir string) error
	visit = func(dir string) error {
		if slices.Contains(trail, dir) {
			return fmt.Errorf("kustomizations refer to each other in a circle: %s",
				strings.Join(append(trail[slices.Index(trail, dir):], dir), " → "))
		}
		if len(trail) >= maxNesting {
			return fmt.Errorf("kustomizations are nested more than %d levels deep", maxNesting)
		}
		if visits++; visits > maxKustomizations {
			return fmt.Errorf("more than %d kustomizations, counting those that are referred to several times", maxKustomizations)
		}
		r, ok := known[dir]
		if !ok {
			r = readReferences(files, dir)
			known[dir] = r
		}
		trail = append(trail, dir)
		defer func() { trail = trail[:len(trail)-1] }()
		for _, to := range r.folders {
			if err := visit(to); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(dir)
}
