package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// validateValues checks the values against the schemas of the chart and its dependencies, where these
// are complete in themselves.
func validateValues(c *chart.Chart, values common.Values) error {
	var check func(c *chart.Chart) error
	check = func(c *chart.Chart) error {
		if len(c.Schema) > 0 {
			if err := checkSchema(c.Schema); err != nil {
				return failed("values.schema.json", "the schema of the chart %q cannot be used: %v", c.Name(), err)
			}
		}
		for _, d := range c.Dependencies() {
			if err := check(d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := check(c); err != nil {
		return err
	}
	own, err := values.Table("Values")
	if err != nil {
		return failed("values.yaml", "the values are no map")
	}
	if err := chartutil.ValidateAgainstSchema(c, own); err != nil {
		return failed("values.yaml", "the values are not as values.schema.json wants them: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}

// checkSchema refuses a schema that refers to others, which the validator would fetch or read from the
// disk, and one that refers to its own parts so often that checking would take very long.
func checkSchema(data []byte) error {
	var root any
	if err := json.Unmarshal(data, &root); err != nil {
		return fmt.Errorf("the schema is no JSON: %w", err)
	}
	s := &schema{root: root, sizes: map[string]int{}}
	if size, err := s.size(root, 0); err != nil || size > maxValues {
		return errors.Join(err, tooLarge(size))
	}
	return nil
}

func tooLarge(size int) error {
	if size <= maxValues {
		return nil
	}
	return fmt.Errorf("the schema has more than %d parts, counting each time that one is referred to", maxValues)
}

// schema counts the parts of a JSON schema with its references followed once for each.
type schema struct {
	root  any
	sizes map[string]int
}

func (s *schema) size(node any, depth int) (int, error) {
	if depth > 256 {
		return 0, errors.New("the schema is nested too deep")
	}
	total := 1
	add := func(child any) error {
		n, err := s.size(child, depth+1)
		total = min(total+n, maxValues+1)
		return err
	}
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			if err := add(child); err != nil {
				return 0, err
			}
		}
	case map[string]any:
		for _, key := range sortedNames(n) {
			text, isText := n[key].(string)
			switch {
			case isText && key == "$schema":
				if !isDraft(text) {
					return 0, fmt.Errorf("the schema is written in %q, which is not one of the drafts of json-schema.org", text)
				}
			case isText && (key == "$ref" || key == "$dynamicRef" || key == "$recursiveRef"):
				n, err := s.reference(text, depth)
				if err != nil {
					return 0, err
				}
				total = min(total+n, maxValues+1)
			default:
				if err := add(n[key]); err != nil {
					return 0, err
				}
			}
		}
	}
	return total, nil
}

// reference returns the size of what a reference names: 1 where it is within itself.
func (s *schema) reference(to string, depth int) (int, error) {
	if !strings.HasPrefix(to, "#") {
		return 0, fmt.Errorf("the schema refers to %q; only references within the file are followed", to)
	}
	if size, known := s.sizes[to]; known {
		return size, nil
	}
	s.sizes[to] = 1
	target := s.root
	for _, step := range strings.Split(strings.TrimPrefix(to, "#"), "/")[1:] {
		m, _ := target.(map[string]any)
		target = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	size, err := s.size(target, depth+1)
	s.sizes[to] = size
	return size, err
}

func isDraft(name string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(name, "#"), "https://"), "http://")
	return slices.Contains([]string{
		"json-schema.org/draft-04/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-07/schema",
		"json-schema.org/draft/2019-09/schema", "json-schema.org/draft/2020-12/schema", "json-schema.org/schema",
	}, name)
}
