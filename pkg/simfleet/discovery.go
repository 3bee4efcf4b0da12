package simfleet

import (
	"net/http"
	"slices"
	"sort"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

const (
	contentJSON       = "application/json"
	contentAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
)

// serveNonResource answers what is no object: health, version, discovery and the
// API's description.
func (c *Cluster) serveNonResource(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimSuffix(req.URL.Path, "/")
	aggregated := strings.Contains(req.Header.Get("Accept"), "as=APIGroupDiscoveryList") &&
		strings.Contains(req.Header.Get("Accept"), "v=v2;")
	switch {
	case path == "/healthz" || path == "/livez" || path == "/readyz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok"))
	case path == "/version":
		writeJSON(w, contentJSON, c.versionInfo())
	case path == "/api" && aggregated:
		writeJSON(w, contentAggregated, c.aggregated(func(group string) bool { return group == "" }))
	case path == "/apis" && aggregated:
		writeJSON(w, contentAggregated, c.aggregated(func(group string) bool { return group != "" }))
	case path == "/api":
		writeJSON(w, contentJSON, &metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: c.name}},
		})
	case path == "/apis":
		writeJSON(w, contentJSON, c.groupList())
	case strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/apis/"):
		c.serveGroup(w, path)
	case path == "/openapi/v3" || strings.HasPrefix(path, "/openapi/v3/"):
		c.serveOpenAPI(w, strings.TrimPrefix(strings.TrimPrefix(path, "/openapi/v3"), "/"))
	default:
		notFound(w)
	}
}

func (c *Cluster) versionInfo() apimachineryversion.Info {
	major, minor := "1", "36"
	if parts := strings.SplitN(strings.TrimPrefix(c.version, "v"), ".", 3); len(parts) >= 2 {
		major, minor = parts[0], parts[1]
	}
	return apimachineryversion.Info{Major: major, Minor: minor, GitVersion: c.version, GitTreeState: "clean", Platform: "linux/amd64", GoVersion: "simfleet", Compiler: "gc"}
}

// serveGroup answers /api/v1, /apis/<group> and /apis/<group>/<version>.
func (c *Cluster) serveGroup(w http.ResponseWriter, path string) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) == 2:
		c.serveResources(w, schema.GroupVersion{Version: parts[1]})
	case parts[0] == "apis" && len(parts) == 3:
		c.serveResources(w, schema.GroupVersion{Group: parts[1], Version: parts[2]})
	case parts[0] == "apis" && len(parts) == 2:
		for _, g := range c.groupList().Groups {
			if g.Name == parts[1] {
				g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				writeJSON(w, contentJSON, g)
				return
			}
		}
		notFound(w)
	default:
		notFound(w)
	}
}

func (c *Cluster) serveResources(w http.ResponseWriter, gv schema.GroupVersion) {
	list := &metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String(), APIResources: []metav1.APIResource{},
	}
	for _, sv := range c.allServed() {
		if sv.gvk.GroupVersion() != gv {
			continue
		}
		namespaced := sv.registry.NamespaceScoped()
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: sv.plural, SingularName: sv.singular, Namespaced: namespaced, Kind: sv.gvk.Kind,
			Verbs: mainVerbs(), ShortNames: sv.short, Categories: sv.categories,
		})
		for _, sub := range sv.subresources {
			row := metav1.APIResource{Name: sv.plural + "/" + sub.name, Namespaced: namespaced, Kind: sub.gvk.Kind, Verbs: sub.verbs}
			if sub.gvk.GroupVersion() != gv {
				row.Group, row.Version = sub.gvk.Group, sub.gvk.Version
			}
			list.APIResources = append(list.APIResources, row)
		}
	}
	if len(list.APIResources) == 0 {
		notFound(w)
		return
	}
	sort.Slice(list.APIResources, func(i, j int) bool { return list.APIResources[i].Name < list.APIResources[j].Name })
	writeJSON(w, contentJSON, list)
}

// groupVersions lists the groups and their versions, both in a stable order.
func (c *Cluster) groupVersions() (groups []string, versions map[string][]string) {
	versions = map[string][]string{}
	for _, sv := range c.allServed() {
		g, v := sv.gvk.Group, sv.gvk.Version
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
		if !slices.Contains(versions[g], v) {
			versions[g] = append(versions[g], v)
		}
	}
	for g := range versions {
		sortVersions(versions[g])
	}
	return groups, versions
}

func (c *Cluster) groupList() *metav1.APIGroupList {
	out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	groups, versions := c.groupVersions()
	for _, g := range groups {
		if g == "" {
			continue
		}
		group := metav1.APIGroup{Name: g}
		for _, v := range versions[g] {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: g + "/" + v, Version: v})
		}
		group.PreferredVersion = group.Versions[0]
		out.Groups = append(out.Groups, group)
	}
	return out
}

// aggregated is the answer that has all groups in one.
func (c *Cluster) aggregated(wanted func(group string) bool) *apidiscoveryv2.APIGroupDiscoveryList {
	out := &apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}, Items: []apidiscoveryv2.APIGroupDiscovery{},
	}
	groups, versions := c.groupVersions()
	all := c.allServed()
	for _, g := range groups {
		if !wanted(g) {
			continue
		}
		group := apidiscoveryv2.APIGroupDiscovery{}
		group.Name = g
		for _, v := range versions[g] {
			version := apidiscoveryv2.APIVersionDiscovery{Version: v, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
			for _, sv := range all {
				if sv.gvk.Group == g && sv.gvk.Version == v {
					version.Resources = append(version.Resources, sv.discovery())
				}
			}
			sort.Slice(version.Resources, func(i, j int) bool { return version.Resources[i].Resource < version.Resources[j].Resource })
			group.Versions = append(group.Versions, version)
		}
		out.Items = append(out.Items, group)
	}
	return out
}

func (sv *served) discovery() apidiscoveryv2.APIResourceDiscovery {
	kind := func(gvk schema.GroupVersionKind) *metav1.GroupVersionKind {
		return &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	}
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: sv.plural, SingularResource: sv.singular, ResponseKind: kind(sv.gvk), Scope: apidiscoveryv2.ScopeCluster,
		Verbs: mainVerbs(), ShortNames: sv.short, Categories: sv.categories,
	}
	if sv.registry.NamespaceScoped() {
		out.Scope = apidiscoveryv2.ScopeNamespace
	}
	for _, sub := range sv.subresources {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: sub.name, ResponseKind: kind(sub.gvk), Verbs: sub.verbs})
	}
	return out
}
