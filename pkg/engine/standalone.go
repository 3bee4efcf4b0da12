package engine

import (
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// forHub reports the fields of a document in a configuration file that only a controller in a hub heeds, so
// that nobody relies on them.
func forHub(d v1alpha1.Document, typed any) []v1alpha1.Problem {
	var out []v1alpha1.Problem
	lines := d.Lines()
	report := func(field string, isSet bool, message string) {
		if !isSet {
			return
		}
		at := d.Position
		if line, ok := lines[field]; ok {
			at.Line = line
		}
		out = append(out, v1alpha1.Problem{
			Position: at, Field: field, ID: v1alpha1.FindingFieldIgnored, Severity: v1alpha1.SeverityCaution, Message: message,
		})
	}
	switch o := typed.(type) {
	case *v1alpha1.GitSource:
		report("spec.secretRef", o.Spec.SecretRef != nil,
			"the field has no effect in a configuration file, where there are no Secrets: put their entries into a YAML file and name it in credentialsFile")
		report("spec.decryption.secretRef", o.Spec.Decryption != nil && o.Spec.Decryption.SecretRef != nil,
			"the field has no effect in a configuration file, where there are no Secrets: put the age identities into a file and name it in spec.decryption.keysFile")
	case *v1alpha1.Cluster:
		report("spec.secretRef", o.Spec.SecretRef != nil,
			"the field has no effect in a configuration file, where there are no Secrets: name a file in kubeconfigFile")
		report("spec.clusterProfileRef", o.Spec.ClusterProfileRef != nil,
			"the field has no effect in a configuration file, where there are no ClusterProfiles: name a file in kubeconfigFile")
	case *v1alpha1.Config:
		report("spec.discovery", o.Spec.Discovery != (v1alpha1.DiscoveryConfig{}),
			"the field has no effect in a configuration file: clusters are discovered in a hub")
	}
	return out
}
