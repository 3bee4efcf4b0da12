package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// discoveryManager owns what discovery writes of a Cluster, in contrast to what people do.
const discoveryManager = "armada-sync-discovery"

// annotationDigest on a Cluster is the digest of what its source said when it was last written: while that is
// the same nothing is written, whatever people made of the Cluster.
const annotationDigest = "armada-sync.io/discovered-digest"

// annotationKubernetes on a Cluster is the version of Kubernetes that its source says it has.
const annotationKubernetes = "armada-sync.io/discovered-version"

// maxName keeps the name of a cluster usable as the value of a label.
const maxName = 63

// body is the part of a Cluster that discovery writes.
type body struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   bodyMeta       `json:"metadata"`
	Spec       map[string]any `json:"spec"`
}

type bodyMeta struct {
	Name            string            `json:"name"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
}

// digest is that of what a source says.
func (f *found) digest() string {
	data, err := json.Marshal([]any{f.labels, f.provider, f.region, f.zones, f.kubernetes})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// desired is the Cluster as its source describes it.
func (f *found) desired(name, uid string) body {
	b := body{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindCluster, Spec: map[string]any{}, Metadata: bodyMeta{
		Name: name, Labels: maps.Clone(f.labels),
		Annotations: map[string]string{
			v1alpha1.AnnotationDiscoveredFrom: f.String(), annotationDigest: f.digest(), register.AnnotationClusterUID: uid,
		},
	}}
	if f.kubernetes != "" {
		b.Metadata.Annotations[annotationKubernetes] = f.kubernetes
	}
	if f.provider != "" {
		b.Spec["provider"] = f.provider
	}
	if f.region != "" {
		b.Spec["region"] = f.region
	}
	if len(f.zones) > 0 {
		b.Spec["zones"] = f.zones
	}
	switch f.by {
	case v1alpha1.DiscoveredByClusterProfile:
		b.Spec["clusterProfileRef"] = map[string]any{"namespace": f.namespace, "name": f.name}
	case v1alpha1.DiscoveredByClusterAPI:
		b.Spec["secretRef"] = map[string]any{"namespace": f.namespace, "name": f.name, "key": capiSecretKey}
	case v1alpha1.DiscoveredByArgoCD:
		b.Spec["secretRef"] = map[string]any{"namespace": f.namespace, "name": f.name}
	}
	return b
}

// yield leaves out what somebody else has given another value since: a label that a person changed stays as
// that person wants it. What nobody else set stays with us.
func (b *body) yield(live *v1alpha1.Cluster) {
	owned := ownedFields(live.ManagedFields)
	for k, v := range b.Metadata.Labels {
		if now, ok := live.Labels[k]; ok && now != v && !owned["metadata/labels/"+k] {
			delete(b.Metadata.Labels, k)
		}
	}
	present := map[string]bool{
		"provider": live.Spec.Provider != "", "region": live.Spec.Region != "", "zones": len(live.Spec.Zones) > 0,
		"secretRef": live.Spec.SecretRef != nil, "clusterProfileRef": live.Spec.ClusterProfileRef != nil,
	}
	for field := range b.Spec {
		if present[field] && !owned["spec/"+field] {
			delete(b.Spec, field)
		}
	}
	// Of the two ways to reach a cluster there is one.
	if present["secretRef"] || present["clusterProfileRef"] {
		for _, field := range []string{"secretRef", "clusterProfileRef"} {
			if !present[field] {
				delete(b.Spec, field)
			}
		}
	}
}

// ownedFields are the labels and fields of the spec that discovery owns alone or with others.
func ownedFields(entries []metav1.ManagedFieldsEntry) map[string]bool {
	owned := map[string]bool{}
	for _, e := range entries {
		if e.Manager != discoveryManager || e.Operation != metav1.ManagedFieldsOperationApply || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Metadata struct {
				Labels map[string]json.RawMessage `json:"f:labels"`
			} `json:"f:metadata"`
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for k := range fields.Metadata.Labels {
			owned["metadata/labels/"+strings.TrimPrefix(k, "f:")] = true
		}
		for k := range fields.Spec {
			owned["spec/"+strings.TrimPrefix(k, "f:")] = true
		}
	}
	return owned
}

// applyCluster writes what discovery says of a Cluster and takes nothing over from anybody: a conflict is an
// error. A new Cluster must not exist yet.
func (c *client) applyCluster(ctx context.Context, b body, isNew bool) error {
	if isNew {
		b.Metadata.ResourceVersion = "1" // Exists already: 409, in the same request.
	}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return c.ours.Patch(types.ApplyPatchType).Resource(clusters).Name(b.Metadata.Name).
		Param("fieldManager", discoveryManager).Body(data).Timeout(writeTimeout).Do(ctx).Error()
}

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// nameFor makes a valid name of a wish: the wish itself where it is one and free, else with the hash of
// where the cluster was found.
func nameFor(wish string, from origin, taken func(string) bool) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(wish), "-"), "-.")
	for strings.Contains(name, "..") || strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		name = strings.NewReplacer("..", ".", ".-", "-", "-.", "-").Replace(name)
	}
	if name == "" {
		name = "cluster"
	}
	if len(name) <= maxName && !taken(name) {
		return name
	}
	sum := sha256.Sum256([]byte(from.String()))
	end := "-" + hex.EncodeToString(sum[:4])
	return strings.TrimRight(name[:min(len(name), maxName-len(end))], "-.") + end
}

// goneMessage says what to do about a Cluster whose source is gone.
func goneMessage(from origin, cluster string) string {
	return fmt.Sprintf("%s, from which this cluster was discovered, is gone. That is no proof that the cluster is, so nothing is removed: "+
		"take it out of the fleet with: armada-sync unjoin %s, or give it another secretRef", from.words(), cluster)
}
