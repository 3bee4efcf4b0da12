package schema

import (
	"slices"
)

// alsoRequired are fields that the documents call optional and every API server demands, from the
// validation of k8s.io/kubernetes/pkg/apis.
var alsoRequired = map[string][]string{
	"apps.v1.Deployment":      {"spec"},
	"apps.v1.DaemonSet":       {"spec"},
	"apps.v1.ReplicaSet":      {"spec"},
	"apps.v1.StatefulSet":     {"spec"},
	"batch.v1.Job":            {"spec"},
	"core.v1.Pod":             {"spec"},
	"core.v1.Container":       {"image"},
	"core.v1.PodTemplateSpec": {"spec"},
}

// notRequired are fields that the documents demand and API servers do without: an absent list, number
// or truth value counts as empty, 0 or false, and for these that is good enough.
var notRequired = map[string][]string{
	"apps.v1.ControllerRevision":            {"revision"},
	"batch.v1.PodFailurePolicy":             {"rules"},
	"core.v1.Event":                         {"metadata", "involvedObject"},
	"core.v1.HTTPHeader":                    {"value"},
	"core.v1.ISCSIPersistentVolumeSource":   {"lun"},
	"core.v1.ISCSIVolumeSource":             {"lun"},
	"core.v1.LimitRangeSpec":                {"limits"},
	"core.v1.SleepAction":                   {"seconds"},
	"core.v1.Sysctl":                        {"value"},
	"events.v1.Event":                       {"eventTime"},
	"storage.v1.CSINodeSpec":                {"drivers"},
	"core.v1.PersistentVolumeClaimTemplate": {"spec"},
	"apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion": {"served", "storage"},
}

// referredRequired are required structs all of whose own fields are optional and which are demanded
// none the less.
var referredRequired = map[string][]string{
	"apps.v1.DaemonSetSpec":   {"selector", "template"},
	"apps.v1.DeploymentSpec":  {"selector", "template"},
	"apps.v1.ReplicaSetSpec":  {"selector"},
	"apps.v1.StatefulSetSpec": {"selector", "template"},
	"batch.v1.JobSpec":        {"template"},
}

// required lists the fields that an API server refuses to do without.
func required(t *typeSchema) []string {
	if len(t.Required) == 0 && alsoRequired[t.name] == nil {
		return nil
	}
	fields := slices.Clone(alsoRequired[t.name])
	for _, name := range t.Required {
		field := t.Properties[name]
		switch {
		case field == nil || slices.Contains(notRequired[t.name], name) || slices.Contains(fields, name):
		case field.to != nil && field.to.Properties != nil && len(required(field.to)) == 0 &&
			!slices.Contains(referredRequired[t.name], name):
			// An absent struct is an empty one.
		default:
			fields = append(fields, name)
		}
	}
	return fields
}
