package v1alpha1

import (
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
)

func (t *typing) discovery(path string, d *DiscoveryConfig) {
	if d.ClusterAPI != nil {
		t.discoveryScope(path+".clusterAPI", d.ClusterAPI)
	}
	if d.ArgoCD != nil {
		t.discoveryScope(path+".argoCD", d.ArgoCD)
	}
	if d.ClusterProfiles == nil {
		return
	}
	path += ".clusterProfiles"
	t.discoveryScope(path, &d.ClusterProfiles.DiscoveryScope)
	if len(d.ClusterProfiles.Providers) == 0 {
		t.problem(path+".providers", "the field is required: without a plug-in no cluster can be reached")
	}
	seen := map[string]string{}
	for i, p := range d.ClusterProfiles.Providers {
		t.credentialProvider(at(path+".providers", i), p, seen)
	}
}

func (t *typing) discoveryScope(path string, s *DiscoveryScope) {
	if len(s.Namespaces) == 0 {
		t.problem(path+".namespaces", "the field is required: whoever may write there can bring clusters into the fleet")
	}
	seen := map[string]string{}
	for i, ns := range s.Namespaces {
		t.named(at(path+".namespaces", i), ns, validation.IsDNS1123Label)
		t.unique(seen, at(path+".namespaces", i), ns, "namespace")
	}
	t.labelSelector(path+".selector", s.Selector)
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		p := string(segment{key: k}.appendTo([]byte(path + ".labels")))
		t.qualifiedName(p, k)
		t.labelValue(p, s.Labels[k])
	}
}

// commandPattern matches the name of a file, without a folder.
func commandPattern() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`) }

func (t *typing) credentialProvider(path string, p CredentialProvider, seen map[string]string) {
	if t.required(path+".name", p.Name) {
		t.unique(seen, path, p.Name, "provider")
	}
	if t.required(path+".command", p.Command) && !commandPattern().MatchString(p.Command) {
		t.problem(path+".command", "%q is not the name of a file in the folder of --credential-plugins", shorten(p.Command))
	}
	if p.APIVersion != "" {
		oneOf(t, path+".apiVersion", p.APIVersion, "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
	}
}
