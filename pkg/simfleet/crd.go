package simfleet

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// definition is a custom kind in all its versions.
type definition struct {
	served []*served
	byGVR  map[schema.GroupVersionResource]*served
}

func definitionRules() kindRules { return kindRules{} }

func (c *Cluster) watchDefinitions(schema.GroupResource, change) {}
