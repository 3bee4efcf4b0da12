// Package crds holds the CustomResourceDefinitions of the kinds that live on a hub, as they are
// installed. They are generated from pkg/api/v1alpha1.
package crds

import "embed"

//go:generate sh -c "cd ../.. && sh tools/crds.sh pkg/api/v1alpha1 deploy/crds"

// Files are the definitions, one YAML file each.
//
//go:embed *.yaml
var Files embed.FS
