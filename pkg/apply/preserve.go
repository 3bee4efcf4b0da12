package apply

import (
	"bytes"
	"maps"
	"strings"
	"sync"

	"k8s.io/client-go/util/jsonpath"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// preserved are the values of statuses that are kept of objects, should they have to be made anew
// elsewhere.
type preserved struct {
	mu sync.Mutex
	// paths are JSON paths in the status, by object and label.
	paths map[v1alpha1.ObjectKey]map[string]string
}

// SetPreserved is told with every plan which values of the status of which objects to keep: JSON paths in the
// status, by label. Held.State has them, as they were last seen. They are known of kinds alone that are
// watched whole, which are those whose health is judged.
func (m *Member) SetPreserved(paths map[v1alpha1.ObjectKey]map[string]string) {
	m.preserved.mu.Lock()
	before := m.preserved.paths
	m.preserved.paths = paths
	m.preserved.mu.Unlock()
	for key, wanted := range paths {
		if !maps.Equal(before[key], wanted) {
			// It was seen with other eyes: look once more.
			m.checks.add(check{kind: gkOfKey(key), name: nameOf(key), compare: true})
		}
	}
}

// longestValue bounds what is kept of a value, in bytes: one more than a label can have tells that it is too
// long.
const longestValue = 64

// keepState reads the values of an object's status that are to be kept.
func (m *Member) keepState(o *observed) *observed {
	if o.object == nil {
		return o
	}
	m.preserved.mu.Lock()
	paths := m.preserved.paths[o.key]
	m.preserved.mu.Unlock()
	status, _ := o.object.Object["status"].(map[string]any)
	for label, path := range paths {
		value, ok := statusText(status, path)
		if !ok {
			continue
		}
		if o.state == nil {
			o.state = map[string]string{}
		}
		o.state[label] = value[:min(len(value), longestValue)]
	}
	return o
}

// statusText evaluates a JSON path of kubectl's notation in a status; ok is false where there is no such value.
func statusText(status map[string]any, path string) (value string, ok bool) {
	if !strings.Contains(path, "{") {
		path = "{" + path + "}"
	}
	j := jsonpath.New("status")
	if err := j.Parse(path); err != nil {
		return "", false
	}
	var out bytes.Buffer
	if err := j.Execute(&out, status); err != nil || out.Len() == 0 {
		return "", false
	}
	return out.String(), true
}
