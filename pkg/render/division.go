package render

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// divide writes a cluster's share, and takes from a Job what would delete and so repeat it.
func (w *work) divide(d *Division) {
	isJob := w.kind == "Job" && w.apiVersion == "batch/v1"
	if d == nil && !isJob {
		return
	}
	spec, ok := w.mutable()["spec"].(map[string]any)
	if !ok {
		if isJob {
			return
		}
		spec = map[string]any{}
		w.object["spec"] = spec
	}
	if _, has := spec["ttlSecondsAfterFinished"]; isJob && has {
		delete(spec, "ttlSecondsAfterFinished")
		w.note(v1alpha1.FindingFieldIgnored, "spec.ttlSecondsAfterFinished is left out: a Job that is deleted when it is done would be created again")
	}
	if d == nil {
		return
	}
	by := writer{
		policy: divisionWriter,
		Origin: Origin{Kind: OriginDivision, Name: d.Policy, Source: d.Source},
	}
	field := "replicas"
	if isJob {
		field = "parallelism"
	}
	spec[field] = d.Replicas
	w.writers["/spec/"+field] = by
	if isJob && d.Completions != nil {
		spec["completions"] = *d.Completions
		w.writers["/spec/completions"] = by
	}
}
