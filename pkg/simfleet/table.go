package simfleet

import (
	"k8s.io/apiserver/pkg/registry/rest"
)

func tableFor(k *kind) rest.TableConvertor { return rest.NewDefaultTableConvertor(k.resource()) }
