package engine

import (
	"fmt"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// DefaultNamespace is the namespace of GitSources that name none, and of what we keep on members.
const DefaultNamespace = "armada-system"

// Configuration is what a controller runs with: from a file when it stands alone, from the hub's
// objects when it runs in one.
type Configuration struct {
	// Name tells configurations on one machine apart; it is the name of the Config document.
	Name     string
	Config   v1alpha1.ConfigSpec
	Sources  []v1alpha1.GitSource
	Clusters []v1alpha1.Cluster
	// Unusable are the ids of sources that exist but cannot be used. Nothing of theirs changes.
	Unusable []string
	// SourceCredentials and ClusterCredentials tell versions of what sources, by id, and clusters, by
	// name, are reached with apart: with another version the connection is made anew. Empty where
	// credentials do not change while the engine runs.
	SourceCredentials, ClusterCredentials map[string]string
}

// ParseConfiguration reads a YAML stream of Config, GitSource and Cluster documents. All problems
// are reported at once; with a blocker among them the configuration is not usable.
func ParseConfiguration(file string, data []byte) (Configuration, []v1alpha1.Problem) {
	c := Configuration{Name: "default"}
	docs, problems := v1alpha1.DecodeStream(file, data)
	seen := map[string]v1alpha1.Position{}
	configured := false
	for _, d := range docs {
		typed, found := d.Typed()
		problems = append(problems, found...)
		if typed == nil {
			continue
		}
		name := c.add(typed)
		if name == "" {
			problems = append(problems, v1alpha1.Problem{
				Position: d.Position, ID: "invalid-configuration", Severity: v1alpha1.SeverityBlocker,
				Message: fmt.Sprintf("kind %q has no place in a configuration: want Config, GitSource or Cluster", d.Kind),
			})
			continue
		}
		configured = configured || d.Kind == v1alpha1.KindConfig
		problems = append(problems, forHub(d, typed)...)
		if settings, ok := typed.(*v1alpha1.Config); ok {
			problems = append(problems, ruleProblems(d, settings.Spec)...)
		}
		if first, ok := seen[name]; ok {
			problems = append(problems, v1alpha1.Problem{
				Position: d.Position, ID: "invalid-configuration", Severity: v1alpha1.SeverityBlocker,
				Message: fmt.Sprintf("%s is declared twice, first at %s", name, first),
			})
		}
		seen[name] = d.Position
	}
	if !configured {
		c.Config.SetDefaults()
	}
	slices.SortFunc(c.Sources, func(a, b v1alpha1.GitSource) int { return compareStrings(SourceID(a), SourceID(b)) })
	slices.SortFunc(c.Clusters, func(a, b v1alpha1.Cluster) int { return compareStrings(a.Name, b.Name) })
	return c, problems
}

// add takes a typed document and returns its name for messages, or "" if it has no place here.
func (c *Configuration) add(typed any) string {
	switch d := typed.(type) {
	case *v1alpha1.Config:
		if d.Name != "" {
			c.Name = d.Name
		}
		c.Config = d.Spec
		return "Config"
	case *v1alpha1.GitSource:
		c.Sources = append(c.Sources, *d)
		return "GitSource " + SourceID(*d)
	case *v1alpha1.Cluster:
		c.Clusters = append(c.Clusters, *d)
		return "Cluster " + d.Name
	}
	return ""
}

// SourceID is the name under which a GitSource appears in plans and on members: namespace/name.
func SourceID(s v1alpha1.GitSource) string {
	if s.Namespace == "" {
		return DefaultNamespace + "/" + s.Name
	}
	return s.Namespace + "/" + s.Name
}
