package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

const originAnnotations = types.OriginAnnotations

// kustomizeLock is held during a build, since kustomize keeps the OpenAPI schema that a build works
// with in a global of its own: two builds at once race. It guards a global, and so has to be one.
var kustomizeLock sync.Mutex

// kustomize builds the kustomization in the unit's folder.
func (u *unit) kustomize(ctx context.Context, files fs.FS, o Options) {
	top, err := kustomizationFile(files, u.path)
	tree := &treeFS{files: files, top: top, inputs: u.inputs, open: func(name string, data []byte) ([]byte, error) {
		return u.open(ctx, name, data, o)
	}}
	// Whatever else happens, another kustomization file makes another unit.
	for _, name := range kustomizationNames() {
		tree.Exists("/" + path.Join(u.path, name))
	}
	if err == nil {
		err = checkGraph(files, u.path)
	}
	if err == nil {
		err = u.run(tree, o)
	}
	if err == nil {
		return
	}
	u.objects, u.propag, u.override, u.clusters = nil, nil, nil, nil
	var sealed *sealedError
	if errors.As(err, &sealed) {
		u.failSealed(err)
		return
	}
	if u.secrets != nil && tree.refused == nil {
		err = errConcealed
	}
	u.fail(v1alpha1.Problem{
		Position: position(files, top, err), ID: v1alpha1.FindingBuildFailed, Severity: v1alpha1.SeverityBlocker,
		Message: "the kustomization cannot be built: " + oneLine(err),
	})
}

// kustomizationFile returns the path of a folder's only kustomization file.
func kustomizationFile(files fs.FS, dir string) (string, error) {
	var found []string
	for _, name := range kustomizationNames() {
		if _, err := lstat(files, path.Join(dir, name)); err == nil {
			found = append(found, path.Join(dir, name))
		}
	}
	if len(found) > 1 {
		return found[0], fmt.Errorf("the folder has several kustomization files: %s", strings.Join(found, ", "))
	}
	return found[0], nil
}

func (u *unit) run(tree *treeFS, o Options) error {
	result, err := runKustomize(tree, "/"+relative(u.path))
	if tree.refused != nil {
		return tree.refused
	}
	if err != nil {
		return err
	}
	places := map[string][]v1alpha1.Document{}
	for _, r := range result {
		source, at := u.origin(tree, r, places)
		d, err := document(r, at)
		if err != nil {
			return err
		}
		if v1alpha1.IsOurs(d.APIVersion, d.Kind) && reflect.DeepEqual(d.Content, source.Content) {
			// What stands in the file as it is keeps the lines of its fields.
			d = source
		}
		u.take(d, render.Origin{Kind: render.OriginKustomization, Source: d.Position.String()}, o)
	}
	return nil
}

// built is an object with what kustomize noted about where it is from.
type built struct {
	json       []byte
	origin     *resource.Origin
	kind, name string
}

// runKustomize builds a folder under the lock. kustomize panics on some malformed input; that is an
// error of the unit and not the end of the process.
func runKustomize(tree *treeFS, dir string) (result []built, err error) {
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, fmt.Errorf("kustomize gave up: %v", r)
		}
	}()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionNone
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	options.PluginConfig = types.DisabledPluginConfig()
	resources, err := krusty.MakeKustomizer(options).Run(tree, dir)
	if err != nil {
		return nil, err
	}
	return collect(resources)
}

// collect takes the objects out of kustomize's own types, without the notes that it was asked to make.
func collect(resources resmap.ResMap) ([]built, error) {
	list := make([]built, 0, resources.Size())
	for _, r := range resources.Resources() {
		origin, err := r.GetOrigin()
		if err != nil {
			return nil, fmt.Errorf("the origin of %s: %w", r.CurId(), err)
		}
		list = append(list, built{origin: origin, kind: r.GetKind(), name: r.GetName()})
	}
	if err := resources.RemoveOriginAnnotations(); err != nil {
		return nil, err
	}
	for i, r := range resources.Resources() {
		raw, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("%s as JSON: %w", r.CurId(), err)
		}
		list[i].json = raw
	}
	return list, nil
}

// document turns an object into one as it would be read from a file.
func document(b built, place v1alpha1.Position) (v1alpha1.Document, error) {
	var content map[string]any
	if err := utiljson.Unmarshal(b.json, &content); err != nil {
		return v1alpha1.Document{}, fmt.Errorf("%s %q: %w", b.kind, b.name, err)
	}
	d := v1alpha1.Document{Position: place, Content: content}
	d.APIVersion, _ = content["apiVersion"].(string)
	d.Kind, _ = content["kind"].(string)
	return d, nil
}

// origin finds the file and line that an object comes from: the document of its first kind and name
// in the base that kustomize names, or the kustomization that generated it.
func (u *unit) origin(tree *treeFS, b built, places map[string][]v1alpha1.Document) (v1alpha1.Document, v1alpha1.Position) {
	none := v1alpha1.Document{}
	switch {
	case b.origin == nil || b.origin.Path == "" && b.origin.ConfiguredIn == "":
		return none, v1alpha1.Position{File: tree.top}
	case b.origin.Path == "":
		return none, v1alpha1.Position{File: path.Join(u.path, b.origin.ConfiguredIn)}
	}
	file := path.Join(u.path, b.origin.Path)
	documents, known := places[file]
	if !known {
		if data, err := fs.ReadFile(tree.files, file); err == nil {
			if data, err = tree.open(file, data); err == nil {
				documents, _ = v1alpha1.DecodeStream(file, data)
			}
		}
		places[file] = documents
	}
	d, ok := written(documents, b)
	if !ok {
		return none, v1alpha1.Position{File: file}
	}
	return d, d.Position
}

// written finds the document that an object was built from. Its name may have got a prefix and a
// suffix since: the longest name that the object's name contains is the one.
func written(documents []v1alpha1.Document, b built) (v1alpha1.Document, bool) {
	var best v1alpha1.Document
	length := 0
	for _, d := range documents {
		metadata, _ := d.Content["metadata"].(map[string]any)
		name, _ := metadata["name"].(string)
		if d.Kind == b.kind && len(name) > length && strings.Contains(b.name, name) {
			best, length = d, len(name)
		}
	}
	return best, length > 0
}

// position looks in the kustomization for the line that an error quotes.
func position(files fs.FS, top string, err error) v1alpha1.Position {
	var elsewhere *placedError
	if errors.As(err, &elsewhere) {
		return elsewhere.position
	}
	at := v1alpha1.Position{File: top}
	text := err.Error()
	data, readError := fs.ReadFile(files, top)
	if readError != nil {
		return at
	}
	if len(data) > maxKustomizationBytes {
		return at
	}
	documents, nodesError := nodes(top, data)
	if nodesError != nil || len(documents) == 0 {
		return at
	}
	for _, r := range readReferenceLines(documents[0].Content) {
		if strings.Contains(text, "'"+r.text+"'") || strings.Contains(text, "\""+r.text+"\"") {
			at.Line = r.line
			return at
		}
	}
	return at
}

// line is a string of a YAML file and where it stands.
type line struct {
	text string
	line int
}

// readReferenceLines lists the strings below the fields that name files and folders.
func readReferenceLines(root []*yaml.Node) []line {
	var lines []line
	for i := 0; i+1 < len(root); i += 2 {
		if slices.Contains(plainFields(), root[i].Value) {
			continue
		}
		for _, item := range root[i+1].Content {
			if item.Kind == yaml.ScalarNode {
				lines = append(lines, line{item.Value, item.Line})
			}
		}
	}
	return lines
}

// quotation is a place where kustomize's errors quote content, which may be that of a Secret, or
// print addresses, which differ from run to run; with is said instead.
type quotation struct {
	pattern *regexp.Regexp
	with    string
}

func quotations() []quotation {
	return []quotation{
		{regexp.MustCompile("(?s)`[^`]*`?"), "[…]"},
		{regexp.MustCompile(`(?s)patch from \[.*`), "patch"},
		{regexp.MustCompile(`(?s)literal source.*`), "a literal is not of the form key=value"},
		{regexp.MustCompile(`&\{0x[^}]*\}`), "[…]"},
	}
}

// causes are the parts of kustomize's errors that say what is wrong; what it wraps around them says
// through which kustomizations it came there, several times over.
func causes() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`cycle detected: [^:]*'`),
		regexp.MustCompile(`security; file '[^']*' is not in or below '[^']*'`),
		regexp.MustCompile(`external plugins disabled; [^:]*`),
		regexp.MustCompile(`"[^"]*" is not in the repository`),
		regexp.MustCompile(`new root '[^']*' cannot be absolute`),
	}
}

// oneLine is an error's text for a message, in one line and without quotations of content.
func oneLine(err error) string {
	text := err.Error()
	for _, q := range quotations() {
		text = q.pattern.ReplaceAllLiteralString(text, q.with)
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, cause := range causes() {
		if found := cause.FindString(text); found != "" {
			text = found
			break
		}
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// maxMessage bounds a message, in bytes.
const maxMessage = 600
