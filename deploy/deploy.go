// Package deploy holds what installs the controller into a hub: a kustomize base, a Helm chart made from
// it, and the same objects for `armada-sync init`.
package deploy

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
)

//go:generate go test -count=1 -run TestChartIsFresh -update .

// Repository is where released images are, without a tag. The tag is the version.
const Repository = "ghcr.io/armada-sync/armada-sync"

// baseImage is the image that the base names.
const baseImage = Repository + ":dev"

//go:embed kustomize/*.yaml
var base embed.FS

// Files returns the names of the files of the base in the order in which their objects are installed.
func Files() []string {
	return []string{"namespace.yaml", "service-account.yaml", "rbac.yaml", "disruption-budget.yaml", "service.yaml", "deployment.yaml"}
}

// Objects returns everything that is installed into a hub, the definitions of our kinds first, with the
// controller's image. An empty image leaves the one of the base.
func Objects(image string) ([]*unstructured.Unstructured, error) {
	definitions, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, name := range definitions {
		if out, err = read(out, crds.Files, name); err != nil {
			return nil, err
		}
	}
	for _, name := range Files() {
		if out, err = read(out, base, "kustomize/"+name); err != nil {
			return nil, err
		}
	}
	if image == "" {
		return out, nil
	}
	for _, o := range out {
		if o.GetKind() == "Deployment" {
			if err := setImage(o, image); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// read appends the objects of a file.
func read(out []*unstructured.Unstructured, files fs.FS, name string) ([]*unstructured.Unstructured, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	return Decode(out, data)
}

// Decode appends the objects of a YAML stream.
func Decode(out []*unstructured.Unstructured, data []byte) ([]*unstructured.Unstructured, error) {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode manifests: %w", err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

func setImage(deployment *unstructured.Unstructured, image string) error {
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	for _, c := range containers {
		if container, ok := c.(map[string]any); ok && container["image"] == baseImage {
			container["image"] = image
		}
	}
	return unstructured.SetNestedSlice(deployment.Object, containers, "spec", "template", "spec", "containers")
}

// Print writes objects as a YAML stream.
func Print(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("print %s %q: %w", o.GetKind(), o.GetName(), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return err
		}
	}
	return nil
}
