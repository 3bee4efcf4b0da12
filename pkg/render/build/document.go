package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// read reads a plain file.
func (u *unit) read(ctx context.Context, files fs.FS, o Options) {
	u.inputs[u.path] = digestOf(files, u.path)
	data, err := fs.ReadFile(files, u.path)
	if err != nil {
		u.fail(v1alpha1.Problem{
			Position: v1alpha1.Position{File: u.path}, ID: v1alpha1.FindingBuildFailed, Severity: v1alpha1.SeverityBlocker,
			Message: "the file cannot be read: " + reason(err),
		})
		return
	}
	if data, err = u.open(ctx, u.path, data, o); err != nil {
		u.failSealed(err)
		return
	}
	limits := v1alpha1.DefaultLimits()
	limits.MaxBytes = int(min(int64(limits.MaxBytes), *o.Limits.MaxFileBytes))
	room := unitRoom(o.Limits)
	var taken []v1alpha1.Problem
	problems := limits.DecodeEach(u.path, data, func(d v1alpha1.Document) bool {
		u.take(d, render.Origin{Kind: render.OriginFile, Source: d.Position.String()}, o)
		message := ""
		switch {
		case u.weight > room:
			message = fmt.Sprintf("the objects of the file need more than %d bytes of memory together; the rest is left out. Divide the file", room)
		case len(u.problems) > limits.MaxProblems:
			message = fmt.Sprintf("more than %d problems; the rest of the file is not read", limits.MaxProblems)
		default:
			return true
		}
		taken = append(taken, v1alpha1.Problem{
			Position: d.Position, ID: v1alpha1.FindingInvalidDocument, Severity: v1alpha1.SeverityBlocker, Message: message,
		})
		return false
	})
	problems = append(problems, taken...)
	u.conceal(problems)
	u.problems = append(u.problems, problems...)
	u.failed = u.failed || v1alpha1.Blocked(problems)
}

// reason is an error's text without the path, which the problem names already.
func reason(err error) string {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err.Error()
	}
	return err.Error()
}

// take sorts a document into objects, policies and clusters.
func (u *unit) take(d v1alpha1.Document, origin render.Origin, o Options) {
	switch {
	case v1alpha1.IsOurs(d.APIVersion, d.Kind), v1alpha1.IsUnsupportedKarmada(d.APIVersion, d.Kind):
		u.takeOurs(d, o)
		return
	case strings.HasPrefix(d.APIVersion, "kustomize.config.k8s.io/"):
		u.refuse(d, "a kustomization is read only from a file named %s", strings.Join(kustomizationNames(), ", "))
		return
	}
	object := &unstructured.Unstructured{Object: d.Content}
	if message := unusable(object); message != "" {
		u.refuse(d, "%s", message)
		return
	}
	u.weight += weigh(d.Content)
	u.objects = append(u.objects, render.Object{
		Unstructured: object, Unit: u.path, Origin: origin, ContentDigest: render.Digest(object),
		Variables: render.HasVariables(d.Content),
	})
}

// takeOurs reads a policy or a cluster. The other kinds of ours are not read from a repository.
func (u *unit) takeOurs(d v1alpha1.Document, o Options) {
	d.DefaultNamespace(o.DefaultNamespace)
	value, problems := d.Typed()
	u.conceal(problems)
	u.problems = append(u.problems, problems...)
	u.failed = u.failed || v1alpha1.Blocked(problems)
	switch v := value.(type) {
	case nil:
	case *v1alpha1.PropagationPolicy:
		u.propag = append(u.propag, *v)
	case *v1alpha1.OverridePolicy:
		u.override = append(u.override, *v)
	case *v1alpha1.Cluster:
		u.clusters = append(u.clusters, *v)
	default:
		u.problems = append(u.problems, v1alpha1.Problem{
			Position: d.Position, ID: v1alpha1.FindingKindNotSupported, Severity: v1alpha1.SeverityCaution,
			Message: fmt.Sprintf("a %s belongs into the configuration or the fleet file; in a repository it has no effect", d.Kind),
		})
	}
}

// refuse notes a document that is no object.
func (u *unit) refuse(d v1alpha1.Document, format string, args ...any) {
	u.fail(v1alpha1.Problem{
		Position: d.Position, ID: v1alpha1.FindingInvalidDocument, Severity: v1alpha1.SeverityBlocker,
		Message: fmt.Sprintf(format, args...),
	})
}

// unusable says what keeps a document from being an object; empty: nothing.
func unusable(u *unstructured.Unstructured) string {
	apiVersion, _ := u.Object["apiVersion"].(string)
	kind, _ := u.Object["kind"].(string)
	if apiVersion == "" && kind == "" {
		return "this is no Kubernetes object: it has no apiVersion and no kind. " +
			"Values files, patches and the like belong outside the path, into a hidden folder, or beside a kustomization"
	}
	var missing []string
	for _, field := range []struct{ name, value string }{{"apiVersion", apiVersion}, {"kind", kind}} {
		if field.value == "" {
			missing = append(missing, field.name)
		}
	}
	metadata, isMap := u.Object["metadata"].(map[string]any)
	if u.Object["metadata"] != nil && !isMap {
		return "metadata is not a map"
	}
	if _, ok := metadata["generateName"]; ok {
		return "generateName is not possible here: an object needs a name of its own to be found again"
	}
	if name, _ := metadata["name"].(string); name == "" {
		missing = append(missing, "metadata.name")
	}
	if len(missing) > 0 {
		return "the document has no " + strings.Join(missing, " and no ")
	}
	if _, isString := metadata["namespace"].(string); metadata["namespace"] != nil && !isString {
		return "metadata.namespace is not a string"
	}
	for _, field := range []string{"labels", "annotations"} {
		if message := stringMap(metadata, field); message != "" {
			return message
		}
	}
	return ""
}

func stringMap(metadata map[string]any, field string) string {
	value := metadata[field]
	if value == nil {
		return ""
	}
	m, ok := value.(map[string]any)
	if !ok {
		return "metadata." + field + " is not a map"
	}
	var keys []string
	for key, v := range m {
		if _, isString := v.(string); !isString && v != nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	return fmt.Sprintf("metadata.%s[%s] is not a string", field, keys[0])
}
