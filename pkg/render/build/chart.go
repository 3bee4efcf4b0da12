package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/ignore"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build/helm"
)

const (
	chartFile = "Chart.yaml"

	hookAnnotation = "helm.sh/hook"
)

// chart renders the Helm chart in the unit's folder.
func (u *unit) chart(ctx context.Context, files fs.FS, o Options) {
	u.content = contentDigest(files, u.path)
	outputs, err := u.render(ctx, files, o)
	if err != nil {
		u.failChart(files, err)
		return
	}
	// What the templates of a chart write has together no more than what one file may have.
	limits := v1alpha1.DefaultLimits()
	total := 0
	for _, out := range outputs {
		if total += len(out.Text); total > limits.MaxBytes {
			u.failChart(files, &helm.Error{File: out.File, Message: fmt.Sprintf("the chart writes more than %d bytes", limits.MaxBytes)})
			return
		}
	}
	for _, out := range outputs {
		u.takeOutput(out, limits, o)
	}
	if u.failed {
		u.objects, u.propag, u.override, u.clusters = nil, nil, nil, nil
	}
}

func (u *unit) render(ctx context.Context, files fs.FS, o Options) ([]helm.Output, error) {
	content, err := u.chartFiles(ctx, files, o)
	if err != nil {
		return nil, err
	}
	name := releaseName(u.path, o.Source)
	if err := util.ValidateReleaseName(name); err != nil {
		return nil, &helm.Error{Message: fmt.Sprintf("the folder's name %q cannot be the name of a release: use lower-case letters, digits and dashes, at most 53", name)}
	}
	return helm.Render(ctx, content, helm.Options{
		Release: name, Namespace: o.DefaultNamespace, Check: checkYAML, Conceal: u.secrets != nil,
	})
}

// releaseName is the name of the chart's folder; that of the source for a chart at the very top.
func releaseName(dir, source string) string {
	if dir != "." {
		return path.Base(dir)
	}
	return path.Base(source)
}

// checkYAML refuses a file that is too large once its aliases are resolved.
func checkYAML(name string, data []byte) error {
	if n := estimate(data); n > maxNodes {
		return fmt.Errorf("%w: the file has more than about %d values", errTooLarge, maxNodes)
	}
	_, err := nodes(name, data)
	if errors.Is(err, errTooLarge) {
		return err
	}
	return nil
}

// failChart notes why the chart gives nothing.
func (u *unit) failChart(files fs.FS, err error) {
	p := v1alpha1.Problem{
		Position: v1alpha1.Position{File: path.Join(u.path, chartFile)}, ID: v1alpha1.FindingBuildFailed,
		Severity: v1alpha1.SeverityBlocker, Message: "the chart cannot be rendered: " + cut(err.Error()),
	}
	var sealed *sealedError
	if errors.As(err, &sealed) {
		u.failSealed(err)
		return
	}
	var e *helm.Error
	if errors.As(err, &e) {
		// The place may be in a packed dependency, which is one file here.
		if _, missing := lstat(files, path.Join(u.path, e.File)); e.File != "" && missing == nil {
			p.Position = v1alpha1.Position{File: path.Join(u.path, e.File), Line: e.Line}
		}
		u.again = e.Late
		if e.Nondeterministic != "" {
			p.ID = v1alpha1.FindingNondeterministicRender
		}
	}
	u.objects, u.propag, u.override, u.clusters = nil, nil, nil, nil
	u.fail(p)
}

// cut bounds a message.
func cut(text string) string {
	if len(text) > maxMessage {
		return strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// separator begins a document. Helm takes what follows on the same line as part of it.
func separator() *regexp.Regexp { return regexp.MustCompile(`(?m)^---[ \t]*`) }

// takeOutput takes the objects out of what one template wrote. Their lines are not those of the
// template, so that the file alone is named.
func (u *unit) takeOutput(out helm.Output, limits v1alpha1.Limits, o Options) {
	file := path.Join(u.path, out.File)
	text := separator().ReplaceAll([]byte(out.Text), []byte("---\n"))
	documents, problems := limits.DecodeStream(file, text)
	u.conceal(problems)
	for _, p := range problems {
		p.Message = fmt.Sprintf("line %d of what the template writes: %s", p.Position.Line, p.Message)
		p.Position.Line = 0
		u.problems = append(u.problems, p)
	}
	u.failed = u.failed || v1alpha1.Blocked(problems)
	for _, d := range documents {
		d.Position.Line = 0
		if hook, isHook := hookOf(d); isHook {
			u.noteHook(d, hook)
			continue
		}
		u.take(d, render.Origin{Kind: render.OriginChart, Source: d.Position.String()}, o)
	}
}

func hookOf(d v1alpha1.Document) (string, bool) {
	metadata, _ := d.Content["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	hook, ok := annotations[hookAnnotation].(string)
	return hook, ok
}

// noteHook reports an object that Helm would run at some point of a release. Tests are what nobody
// asked for here, and are left out without a word.
func (u *unit) noteHook(d v1alpha1.Document, hook string) {
	kinds := strings.FieldsFunc(hook, func(r rune) bool { return r == ',' || r == ' ' })
	isTest := func(kind string) bool { return strings.HasPrefix(kind, "test") }
	if !slices.ContainsFunc(kinds, func(kind string) bool { return !isTest(kind) }) {
		return
	}
	metadata, _ := d.Content["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	u.problems = append(u.problems, v1alpha1.Problem{
		Position: d.Position, ID: v1alpha1.FindingHelmHook, Severity: v1alpha1.SeverityCaution,
		Message: fmt.Sprintf("%s %q is a hook of Helm (%s) and is not applied: what follows a commit is a state, not the steps of a release",
			d.Kind, name, cut(hook)),
	})
}

// chartFiles reads the files of the chart's folder, less what .helmignore names.
func (u *unit) chartFiles(ctx context.Context, files fs.FS, o Options) ([]helm.File, error) {
	rules, err := helmIgnore(files, u.path)
	if err != nil {
		return nil, &helm.Error{File: ignore.HelmIgnore, Message: err.Error()}
	}
	var list []helm.File
	total := int64(0)
	err = fs.WalkDir(files, u.path, func(name string, entry fs.DirEntry, err error) error {
		relative := strings.TrimPrefix(strings.TrimPrefix(name, u.path), "/")
		if u.path == "." {
			relative = name
		}
		if err != nil {
			return &helm.Error{Message: fmt.Sprintf("%q cannot be read: %s", relative, reason(err))}
		}
		info, err := lstat(files, name)
		if err != nil || name == u.path {
			return err
		}
		if rules.Ignore(relative, info) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		if !info.Mode().IsRegular() {
			return &helm.Error{Message: fmt.Sprintf("%q is a symbolic link or no regular file, which is not followed", relative)}
		}
		if total += info.Size(); total > helm.MaxBytes || len(list) >= helm.MaxFiles {
			return &helm.Error{Message: fmt.Sprintf("the chart has more than %d bytes or %d files", helm.MaxBytes, helm.MaxFiles)}
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return &helm.Error{Message: fmt.Sprintf("%q cannot be read: %s", relative, reason(err))}
		}
		// A template that looks encrypted is none.
		if !strings.HasPrefix(relative, "templates/") {
			if data, err = u.open(ctx, name, data, o); err != nil {
				return err
			}
		}
		list = append(list, helm.File{Name: relative, Data: bytes.TrimPrefix(data, []byte("\ufeff"))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, checkValuesFiles(list)
}

// checkValuesFiles looks at the values files that the chart names before Helm parses them.
func checkValuesFiles(list []helm.File) error {
	var metadata struct {
		Annotations map[string]string `yaml:"annotations"`
	}
	for _, f := range list {
		if f.Name == chartFile && len(f.Data) <= maxKustomizationBytes && checkYAML(f.Name, f.Data) == nil {
			// What is wrong with the file is said when it is loaded.
			_ = yaml.Unmarshal(f.Data, &metadata)
		}
	}
	for _, name := range helm.ValuesFiles(metadata.Annotations) {
		for _, f := range list {
			if f.Name != name {
				continue
			}
			if err := checkYAML(name, f.Data); err != nil {
				return &helm.Error{File: name, Message: err.Error()}
			}
		}
	}
	return nil
}

func helmIgnore(files fs.FS, dir string) (*ignore.Rules, error) {
	rules := ignore.Empty()
	data, err := fs.ReadFile(files, path.Join(dir, ignore.HelmIgnore))
	if err == nil {
		if len(data) > maxKustomizationBytes {
			return nil, errors.New("the file is too large")
		}
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("the file cannot be read: %w", err)
		}
	}
	rules.AddDefaults()
	return rules, nil
}
