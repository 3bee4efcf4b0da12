package helm

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	dependencies "helm.sh/helm/v4/pkg/chart/v2/util"
)

// DefaultKubeVersion is the version of Kubernetes that a chart sees unless it says otherwise: that of the
// Kubernetes modules this program is built with. It is never asked of a cluster, so that a commit renders
// the same everywhere.
const DefaultKubeVersion = "v1.37.0"

// Bounds of the files of a chart, with its packed dependencies unpacked.
const (
	MaxFiles = 20_000
	MaxBytes = 16 << 20

	// maxTime ends what the counts of the budget let through. It is processor time as well as time on the
	// clock, so that no chart fails since the machine has other things to do.
	maxTime   = 3 * time.Second / 2
	maxPacked = 8
)

// The annotations of Chart.yaml that say how the chart is rendered.
const (
	// AnnotationValuesFiles lists further values files of the chart's folder, separated by commas, the
	// last one winning.
	AnnotationValuesFiles = "armada-sync.io/values-files"
	// AnnotationKubeVersion is the version of Kubernetes in place of DefaultKubeVersion.
	AnnotationKubeVersion = "armada-sync.io/kube-version"
	// AnnotationAPIVersions lists what .Capabilities.APIVersions has beside the built-in versions.
	AnnotationAPIVersions = "armada-sync.io/api-versions"
)

// File is a file of the chart's folder, with its path relative to that.
type File struct {
	Name string
	Data []byte
}

// Options are what a release is beside its chart.
type Options struct {
	// Release is the name of the release, Namespace its namespace.
	Release, Namespace string
	// Check looks at a file before it is parsed as YAML, and may refuse it. Nil: all are taken.
	Check func(name string, data []byte) error
	// Conceal leaves out of errors whatever may quote a value.
	Conceal bool
}

// Output is what one file gave.
type Output struct {
	// File is the path of the template, or of the file in crds/, relative to the chart's folder. For
	// a packed dependency it names the folder that the package would be unpacked to.
	File string
	Text string
}

// Error says why a chart cannot be rendered.
type Error struct {
	// File is relative to the chart's folder and Line counts from 1; empty and 0 where not known.
	File string
	Line int
	// Nondeterministic is the function whose result differs from run to run; empty: something else.
	Nondeterministic string
	// Late tells that time ran out, so that another try may go better.
	Late    bool
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func failed(file, format string, args ...any) error {
	return &Error{File: file, Message: fmt.Sprintf(format, args...)}
}

// Render renders a chart from the files of its folder. A library chart gives nothing. The outputs are
// those in crds/ and then those of the templates, each in the order of their files; notes are left out.
// An error is an *Error.
func Render(ctx context.Context, from []File, o Options) ([]Output, error) {
	outputs, err := render(ctx, from, o)
	var e *Error
	if o.Conceal && errors.As(err, &e) && !e.Late && e.Nondeterministic == "" {
		concealed := *e
		concealed.Message = "what is wrong is not repeated here, since the chart reads encrypted values; helm template says it where you are"
		return nil, &concealed
	}
	return outputs, err
}

func render(ctx context.Context, from []File, o Options) ([]Output, error) {
	c, paths, err := load(from, o)
	if err != nil || c.Metadata.Type == "library" {
		return nil, err
	}
	own, err := valuesOf(c)
	if err != nil {
		return nil, err
	}
	capabilities, err := capabilitiesOf(c)
	if err != nil {
		return nil, err
	}
	if err := checkDependencies(c, nil); err != nil {
		return nil, err
	}
	if err := dependencies.ProcessDependencies(c, own); err != nil {
		return nil, failed("Chart.yaml", "the dependencies cannot be resolved: %v", err)
	}
	release := common.ReleaseOptions{Name: o.Release, Namespace: o.Namespace, Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c, own, release, capabilities, true)
	if err != nil {
		return nil, failed("values.yaml", "the values cannot be put together: %v", err)
	}
	if err := validateValues(c, values); err != nil {
		return nil, err
	}
	written, err := renderTemplates(ctx, c, values)
	if err != nil {
		return nil, located(paths.templates(c), err, ctx.Err() != nil)
	}
	return outputs(c, written, paths), nil
}

func outputs(c *chart.Chart, written map[string]string, paths paths) []Output {
	var list []Output
	for _, crd := range c.CRDObjects() {
		list = append(list, Output{paths.of(crd.File), string(crd.File.Data)})
	}
	byName := paths.templates(c)
	names := sortedNames(written)
	slices.Sort(names)
	for _, name := range names {
		if strings.TrimSpace(written[name]) != "" {
			list = append(list, Output{byName[name], written[name]})
		}
	}
	return list
}

// paths are the paths of files in the chart's folder by where their content lies in memory: Helm keeps
// the content of a file and not the folder that a dependency was read from, which may have another name.
type paths map[*byte]string

func (p paths) of(f *common.File) string {
	if len(f.Data) == 0 {
		return f.Name
	}
	return p[&f.Data[0]]
}

// templates are the paths of the template files by the names that templates know each other by.
func (p paths) templates(c *chart.Chart) map[string]string {
	byName := map[string]string{}
	for _, t := range c.Templates {
		byName[path.Join(c.ChartFullPath(), t.Name)] = p.of(t)
	}
	for _, d := range c.Dependencies() {
		maps.Copy(byName, p.templates(d))
	}
	return byName
}

// load reads the chart and, sorted by name, what is in charts/. It says where each file was.
func load(from []File, o Options) (c *chart.Chart, known paths, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, failed("Chart.yaml", "the chart cannot be read: %v", r)
		}
	}()
	unpacked, err := unpack(from, 0)
	if err != nil {
		return nil, nil, err
	}
	total := 0
	known = paths{}
	list := make([]*archive.BufferedFile, 0, len(unpacked))
	for _, f := range unpacked {
		if total += len(f.Data); total > MaxBytes || len(list) >= MaxFiles {
			return nil, nil, failed(f.Name, "the chart has more than %d bytes or %d files, those of its dependencies included", MaxBytes, MaxFiles)
		}
		if isParsed(f.Name) && o.Check != nil {
			if err := o.Check(f.Name, f.Data); err != nil {
				return nil, nil, failed(f.Name, "%v", err)
			}
		}
		if len(f.Data) > 0 {
			known[&f.Data[0]] = f.Name
		}
		list = append(list, &archive.BufferedFile{Name: f.Name, Data: f.Data})
	}
	if c, err = loader.LoadFiles(list); err != nil {
		return nil, nil, failed("Chart.yaml", "the chart cannot be read: %v", err)
	}
	sortDependencies(c)
	return c, known, nil
}

// isParsed tells a file that Helm parses as YAML to load a chart.
func isParsed(name string) bool {
	switch path.Base(name) {
	case "Chart.yaml", "Chart.lock", "values.yaml", "requirements.yaml", "requirements.lock", "values.schema.json":
		return true
	}
	return false
}

// sortDependencies gives them an order; Helm loads them in that of a map.
func sortDependencies(c *chart.Chart) {
	list := c.Dependencies()
	slices.SortStableFunc(list, func(a, b *chart.Chart) int {
		return strings.Compare(a.Name()+"\x00"+a.Metadata.Version, b.Name()+"\x00"+b.Metadata.Version)
	})
	c.SetDependencies(list...)
	for _, d := range list {
		sortDependencies(d)
	}
}

// unpack replaces packed charts by what is in them.
func unpack(from []File, depth int) ([]File, error) {
	var list []File
	for _, f := range from {
		dir, base := path.Split(f.Name)
		if path.Base(dir) != "charts" || !strings.HasSuffix(base, ".tgz") {
			list = append(list, f)
			continue
		}
		if depth >= maxPacked {
			return nil, failed(f.Name, "packed charts are nested more than %d deep", maxPacked)
		}
		inner, err := unpackOne(f)
		if err != nil {
			return nil, failed(f.Name, "the packed chart cannot be read: %v", err)
		}
		if inner, err = unpack(inner, depth+1); err != nil {
			return nil, err
		}
		list = append(list, inner...)
	}
	return list, nil
}

func unpackOne(f File) ([]File, error) {
	// The size is looked at first: Helm would keep a hundred megabytes in memory.
	unzipped, err := gzip.NewReader(bytes.NewReader(f.Data))
	if err != nil {
		return nil, err
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(unzipped, MaxBytes+1)); err != nil || n > MaxBytes {
		return nil, errors.Join(err, fmt.Errorf("it has more than %d bytes, or is damaged", MaxBytes))
	}
	parts, err := archive.LoadArchiveFiles(bytes.NewReader(f.Data))
	if err != nil {
		return nil, err
	}
	list := make([]File, 0, len(parts))
	for _, p := range parts {
		list = append(list, File{path.Join(strings.TrimSuffix(f.Name, ".tgz"), p.Name), p.Data})
	}
	return list, nil
}

// checkDependencies refuses a chart that lists one which is not in charts/: nothing is fetched.
func checkDependencies(c *chart.Chart, within []string) error {
	if len(within) > maxPacked*4 {
		return failed("Chart.yaml", "charts are nested more than %d deep", maxPacked*4)
	}
	for _, wanted := range c.Metadata.Dependencies {
		if wanted == nil {
			continue
		}
		present := slices.ContainsFunc(c.Dependencies(), func(d *chart.Chart) bool { return d.Name() == wanted.Name })
		if !present {
			return failed("Chart.yaml", "the chart %q needs the chart %q, which is not in its folder charts/: nothing is downloaded. "+
				"Run helm dependency build and commit charts/", c.Name(), wanted.Name)
		}
	}
	for _, d := range c.Dependencies() {
		if err := checkDependencies(d, append(within, d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// valuesOf merges the values files that the chart names.
func valuesOf(c *chart.Chart) (map[string]any, error) {
	merged := map[string]any{}
	for _, name := range list(c.Metadata.Annotations[AnnotationValuesFiles]) {
		clean := path.Clean(name)
		if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") {
			return nil, failed("Chart.yaml", "the values file %q is outside the chart's folder", name)
		}
		i := slices.IndexFunc(c.Raw, func(f *common.File) bool { return f.Name == clean })
		if i < 0 {
			return nil, failed("Chart.yaml", "the values file %q is not in the chart's folder", name)
		}
		values, err := loader.LoadValues(bytes.NewReader(c.Raw[i].Data))
		if err != nil {
			return nil, failed(clean, "the values cannot be read: %v", err)
		}
		merged = loader.MergeMaps(merged, values)
	}
	return merged, nil
}

// ValuesFiles returns the values files that a Chart.yaml names, without saying whether they are there.
func ValuesFiles(annotations map[string]string) []string {
	var clean []string
	for _, name := range list(annotations[AnnotationValuesFiles]) {
		clean = append(clean, path.Clean(name))
	}
	return clean
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
}

// capabilitiesOf is what the chart sees of Kubernetes.
func capabilitiesOf(c *chart.Chart) (*common.Capabilities, error) {
	version := DefaultKubeVersion
	if said := c.Metadata.Annotations[AnnotationKubeVersion]; said != "" {
		version = said
	}
	parsed, err := common.ParseKubeVersion(version)
	if err != nil {
		return nil, failed("Chart.yaml", "the annotation %s is %q, which is no version", AnnotationKubeVersion, version)
	}
	if c.Metadata.KubeVersion != "" && !dependencies.IsCompatibleRange(c.Metadata.KubeVersion, parsed.String()) {
		return nil, failed("Chart.yaml", "the chart wants Kubernetes %q and is rendered for %s; the annotation %s sets another version",
			c.Metadata.KubeVersion, parsed.String(), AnnotationKubeVersion)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *parsed
	versions := append(slices.Clone(capabilities.APIVersions), list(c.Metadata.Annotations[AnnotationAPIVersions])...)
	slices.Sort(versions)
	capabilities.APIVersions = slices.Compact(versions)
	return capabilities, nil
}
