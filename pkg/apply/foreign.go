package apply

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	acceptMetadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
	// foreignSample is how many objects of a kind are looked at to find a foreign one. A namespace has
	// few that do not count.
	foreignSample = 50
	// maxRecreatePause is the longest pause between two looks whether the old object is gone.
	maxRecreatePause = 2 * time.Second
)

// transient tells which kinds say nothing about whether a namespace is in use.
func transient(r resource) bool {
	switch r.kind {
	case "Event", "Lease", "Endpoints", "EndpointSlice", "ControllerRevision":
		return true
	}
	return false
}

// firstForeign names the first object of a metadata list that a person or program put there.
func firstForeign(r resource, list []byte) (string, error) {
	var found metav1.PartialObjectMetadataList
	if err := json.Unmarshal(list, &found); err != nil {
		return "", fmt.Errorf("read the list of %s: %w", r.Resource, err)
	}
	for i := range found.Items {
		item := &found.Items[i]
		builtIn := r.kind == "ConfigMap" && item.Name == "kube-root-ca.crt" || r.kind == "ServiceAccount" && item.Name == "default"
		if !builtIn && metav1.GetControllerOfNoCopy(item) == nil {
			return item.Name, nil
		}
	}
	return "", nil
}

// beforeDeadline tells whether there is time left to wait.
func (r *run) beforeDeadline() bool { return time.Now().Before(r.deadline) }
