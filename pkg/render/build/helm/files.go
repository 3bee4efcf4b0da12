package helm

import (
	"encoding/base64"
	"path"
	"strings"

	"github.com/gobwas/glob"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/chart/common"
)

// files are what templates see as .Files: those of the chart that are neither templates nor values.
// The methods are those of Helm, which templates call by name.
type files map[string][]byte

func newFiles(from []*common.File) files {
	f := files{}
	for _, each := range from {
		f[each.Name] = each.Data
	}
	return f
}

// GetBytes returns a file, and nothing where there is none.
func (f files) GetBytes(name string) []byte {
	if data, ok := f[name]; ok {
		return data
	}
	return []byte{}
}

// Get returns a file as text.
func (f files) Get(name string) string { return string(f.GetBytes(name)) }

// Glob returns the files whose names match a pattern.
func (f files) Glob(pattern string) files {
	found := files{}
	g, err := glob.Compile(pattern, '/')
	if err != nil {
		g = glob.MustCompile("**")
	}
	for name, data := range f {
		if g.Match(name) {
			found[name] = data
		}
	}
	return found
}

// AsConfig returns the files as the data of a ConfigMap.
func (f files) AsConfig() string { return f.asYAML(func(data []byte) string { return string(data) }) }

// AsSecrets returns the files as the data of a Secret.
func (f files) AsSecrets() string { return f.asYAML(base64.StdEncoding.EncodeToString) }

func (f files) asYAML(encode func([]byte) string) string {
	if f == nil {
		return ""
	}
	data := map[string]string{}
	for _, name := range sortedNames(f) {
		data[path.Base(name)] = encode(f[name])
	}
	text, err := yaml.Marshal(data)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// Lines returns the lines of a file.
func (f files) Lines(name string) []string {
	if len(f[name]) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(f[name]), "\n"), "\n")
}
