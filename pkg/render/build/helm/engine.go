package helm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	accessor "helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"
)

// The functions that are called between the lines of a template.
const (
	stepFunction  = "armadaStep"
	meterFunction = "armadaMeter"
)

// engine runs the templates of one chart.
type engine struct {
	budget budget
	// tolerant lets functions whose result differs from run to run give a fixed text.
	tolerant bool
	root     *template.Template
	prepared map[*parse.Tree]bool
}

// scope is a template file with what its templates see.
type scope struct {
	text   string
	values map[string]any
	base   string
}

// renderTemplates runs the templates of a chart and of its dependencies and returns what they write by
// the full name of their files. Notes are read, for what they define, and not run.
func renderTemplates(ctx context.Context, c *chart.Chart, values common.Values) (written map[string]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the templates cannot be run: %v", r)
		}
	}()
	scopes := map[string]scope{}
	collectScopes(c, scopes, values)
	e := &engine{budget: newBudget(ctx), prepared: map[*parse.Tree]bool{}}
	e.root = template.New("gotpl").Option("missingkey=zero").Funcs(e.functions())
	e.root.Funcs(template.FuncMap{"include": e.include(e.root), "tpl": e.tpl(e.root)})
	names := sortedNames(scopes)
	for _, name := range names {
		if _, err := e.root.New(name).Parse(scopes[name].text); err != nil {
			return nil, err
		}
	}
	e.prepare(e.root)
	written = make(map[string]string, len(names))
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") || path.Base(name) == notesFile {
			continue
		}
		s := scopes[name]
		s.values["Template"] = map[string]any{"Name": name, "BasePath": s.base}
		if written[name], err = e.file(name, s.values); err != nil {
			return nil, err
		}
	}
	return written, nil
}

const notesFile = "NOTES.txt"

// file runs the template of a file. Tests and other hooks, which are not applied, may call what they like.
func (e *engine) file(name string, values map[string]any) (string, error) {
	text, err := e.execute(e.root, name, values)
	var forbidden *nondeterministicError
	if !errors.As(err, &forbidden) {
		return text, err
	}
	e.tolerant = true
	defer func() { e.tolerant = false }()
	if again, failed := e.execute(e.root, name, values); failed == nil && onlyHooks(again) {
		return again, nil
	}
	return "", err
}

// onlyHooks tells that every document of a text is a hook.
func onlyHooks(text string) bool {
	if estimate(text) > maxValues/100 {
		return false
	}
	for _, document := range regexp.MustCompile(`(?m)^---[ \t]*`).Split(text, -1) {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var head struct {
			Metadata struct {
				Annotations map[string]string `json:"annotations"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil || head.Metadata.Annotations["helm.sh/hook"] == "" {
			return false
		}
	}
	return true
}

// execute runs a template. A missing value prints as nothing, as Helm has it.
func (e *engine) execute(t *template.Template, name string, data any) (string, error) {
	if e.budget.depth++; e.budget.depth > maxRecursion {
		return "", tooMuch("templates run each other more than %d deep", maxRecursion)
	}
	defer func() { e.budget.depth-- }()
	w := &bounded{budget: &e.budget}
	if err := t.ExecuteTemplate(w, name, data); err != nil {
		return "", err
	}
	return strings.ReplaceAll(string(w.text), "<no value>", ""), nil
}

func (e *engine) include(t *template.Template) func(string, any) (string, error) {
	return func(name string, data any) (string, error) {
		// Helm leaves "<no value>" to the end here; what is printed in the end is the same.
		return e.execute(t, name, data)
	}
}

// tpl runs a text as a template that sees what the templates around it define.
func (e *engine) tpl(parent *template.Template) func(string, any) (string, error) {
	return func(text string, data any) (string, error) {
		if err := e.budget.spend(100 + 10*len(parent.Templates()) + len(text)); err != nil {
			return "", err
		}
		t, err := parent.Clone()
		if err != nil {
			return "", err
		}
		t.Option("missingkey=zero")
		t.Funcs(template.FuncMap{"include": e.include(t), "tpl": e.tpl(t)})
		t, err = t.New(parent.Name()).Parse(text)
		if err != nil {
			return "", errors.New("the text that tpl is given is no template")
		}
		e.prepare(t)
		return e.execute(t, t.Name(), data)
	}
}

// prepare puts the calls that count into the templates that are new.
func (e *engine) prepare(t *template.Template) {
	for _, each := range t.Templates() {
		if each.Tree == nil || each.Root == nil || e.prepared[each.Tree] {
			continue
		}
		e.prepared[each.Tree] = true
		prepareList(each.Root)
		each.Root.Nodes = slices.Insert(each.Root.Nodes, 0, stepNode(each.Root.Pos, 1))
	}
}

func prepareList(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			n.Pipe.Cmds = append(n.Pipe.Cmds, call(meterFunction, n.Pos))
		case *parse.IfNode:
			prepareList(n.List)
			prepareList(n.ElseList)
		case *parse.WithNode:
			prepareList(n.List)
			prepareList(n.ElseList)
		case *parse.RangeNode:
			prepareList(n.List)
			prepareList(n.ElseList)
			n.List.Nodes = slices.Insert(n.List.Nodes, 0, stepNode(n.Pos, n.Line))
		}
	}
}

func stepNode(at parse.Pos, line int) parse.Node {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Pos: at, Line: line, Cmds: []*parse.CommandNode{call(stepFunction, at)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: at, Line: line, Pipe: pipe}
}

func call(function string, at parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: []parse.Node{parse.NewIdentifier(function).SetPos(at)}}
}

// collectScopes lists the template files of a chart and its dependencies with what each may see: a
// dependency sees its own part of the values.
func collectScopes(c *chart.Chart, scopes map[string]scope, values map[string]any) map[string]any {
	sub := map[string]any{}
	see := map[string]any{
		"Chart": chartDescription(c), "Files": newFiles(c.Files), "Release": values["Release"],
		"Capabilities": values["Capabilities"], "Values": common.Values{}, "Subcharts": sub,
	}
	if c.IsRoot() {
		see["Values"] = values["Values"]
	} else if own, err := common.Values(values).Table("Values." + c.Name()); err == nil {
		see["Values"] = own
	}
	for _, d := range c.Dependencies() {
		sub[d.Name()] = collectScopes(d, scopes, see)
	}
	for _, t := range c.Templates {
		if t == nil || c.Metadata.Type == "library" && !strings.HasPrefix(path.Base(t.Name), "_") {
			continue
		}
		scopes[path.Join(c.ChartFullPath(), t.Name)] = scope{
			text: string(t.Data), values: see, base: path.Join(c.ChartFullPath(), "templates"),
		}
	}
	return see
}

// chartDescription is what templates see as .Chart.
func chartDescription(c *chart.Chart) map[string]any {
	a, err := accessor.NewAccessor(c)
	if err != nil {
		return map[string]any{}
	}
	description := a.MetadataAsMap()
	description["IsRoot"] = c.IsRoot()
	return description
}

// sortedNames returns the deepest files first, so that what a chart defines wins over what its
// dependencies define under the same name.
func sortedNames[V any](scopes map[string]V) []string {
	names := make([]string, 0, len(scopes))
	for name := range scopes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := strings.Count(b, "/") - strings.Count(a, "/"); d != 0 {
			return d
		}
		return strings.Compare(b, a)
	})
	return names
}
