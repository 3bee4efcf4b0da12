package apply

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	quantity "k8s.io/apimachinery/pkg/api/resource"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Differences lists, as sorted JSON pointers into desired, the fields that we own and in which the live
// object differs from desired. owned is the fieldsV1 document of our Apply entry: it says which fields
// are ours and by which keys the items of a list are told apart, so that no schema is needed. Null and
// empty values of desired are don't-care, as are fields that someone else owns: those show in owned.
func Differences(desired, live map[string]any, owned []byte) []string {
	var fields map[string]any
	if json.Unmarshal(owned, &fields) != nil {
		return nil
	}
	kind, _ := desired["kind"].(string)
	if kind == "Secret" {
		desired = foldStringData(desired)
	}
	c := comparison{secret: kind == "Secret"}
	c.object("", desired, live, fields)
	slices.Sort(c.found)
	return c.found
}

type comparison struct {
	secret bool
	found  []string
}

// value compares one field. fields is its node of the fieldsV1 tree; a node without members is a leaf,
// owned as a whole. parent is the name of the field around it.
func (c *comparison) value(path, parent string, desired, live any, fields map[string]any) {
	switch d := desired.(type) {
	case nil:
	case map[string]any:
		if len(d) == 0 {
			return
		}
		l, ok := live.(map[string]any)
		if !ok {
			c.differs(path)
			return
		}
		c.object(path, d, l, fields)
	case []any:
		if len(d) == 0 {
			return
		}
		l, ok := live.([]any)
		if !ok {
			c.differs(path)
			return
		}
		c.list(path, parent, d, l, fields)
	default:
		if d != "" && !c.sameScalar(path, parent, d, live) {
			c.differs(path)
		}
	}
}

func (c *comparison) object(path string, desired, live, fields map[string]any) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for key, d := range desired {
		child, owned := fields["f:"+key].(map[string]any)
		if len(fields) > 0 && !owned {
			continue
		}
		c.value(path+"/"+escapePointer(key), name, d, live[key], child)
	}
}

// list compares lists: item by item where the list is owned as a whole, else by what tells its items
// apart.
func (c *comparison) list(path, parent string, desired, live []any, fields map[string]any) {
	if len(fields) == 0 {
		if len(desired) != len(live) {
			c.differs(path)
			return
		}
		for i := range desired {
			c.value(path+"/"+strconv.Itoa(i), parent, desired[i], live[i], nil)
		}
		return
	}
	for i, d := range desired {
		at := path + "/" + strconv.Itoa(i)
		item, isMap := d.(map[string]any)
		if !isMap {
			if _, owned := fields["v:"+jsonString(d)]; owned && !slices.ContainsFunc(live, func(l any) bool { return sameNumberOrText(d, l) }) {
				c.differs(at)
			}
			continue
		}
		key, child := itemKey(item, fields)
		if key == nil {
			continue
		}
		if l := itemWith(key, live); l != nil {
			c.value(at, parent, item, l, child)
		} else {
			c.differs(at)
		}
	}
}

// itemKey finds the k: entry of a list that belongs to an item: every field of the key that the item
// has is equal, and at least one is there. The rest of a key are defaults that the API server filled in.
func itemKey(item map[string]any, fields map[string]any) (key, child map[string]any) {
	best := 0
	for name, node := range fields {
		text, ok := strings.CutPrefix(name, "k:")
		if !ok {
			continue
		}
		var k map[string]any
		if json.Unmarshal([]byte(text), &k) != nil {
			continue
		}
		equal := 0
		for field, v := range k {
			mine, has := item[field]
			if has && !sameNumberOrText(mine, v) {
				equal = -1
				break
			}
			if has {
				equal++
			}
		}
		if equal > best {
			best = equal
			key = k
			child, _ = node.(map[string]any)
		}
	}
	return key, child
}

// itemWith finds the live item that has all fields of the key.
func itemWith(key map[string]any, live []any) any {
	for _, l := range live {
		item, _ := l.(map[string]any)
		all := item != nil
		for field, v := range key {
			all = all && sameNumberOrText(item[field], v)
		}
		if all {
			return l
		}
	}
	return nil
}

func (c *comparison) differs(path string) { c.found = append(c.found, path) }

// sameScalar compares leaves, with the API server's own spelling of quantities and of base64.
func (c *comparison) sameScalar(path, parent string, desired, live any) bool {
	if sameNumberOrText(desired, live) {
		return true
	}
	if live == nil {
		// A zero value that the API server leaves out.
		return desired == false || sameNumberOrText(desired, int64(0))
	}
	field := path[strings.LastIndexByte(path, '/')+1:]
	if (field == "nodePort" || field == "healthCheckNodePort") && sameNumberOrText(desired, int64(0)) {
		// The API server chooses one.
		return true
	}
	if c.secret && strings.HasPrefix(path, "/data/") {
		return sameBase64(desired, live)
	}
	return holdsQuantity(parent, field) && sameQuantity(desired, live)
}

// holdsQuantity tells which fields of the built-in kinds are quantities, by their own name or that of
// the map around them. Their text is rewritten by the API server: 1000m becomes 1.
func holdsQuantity(parent, field string) bool {
	switch parent {
	case "requests", "limits", "hard", "capacity", "allocatable", "default", "defaultRequest", "min", "max", "maxLimitRequestRatio", "podFixed", "overhead":
		return true
	}
	switch field {
	case "sizeLimit", "divisor", "averageValue", "storage", "storageCapacity", "maximumVolumeSize", "tolerance":
		return true
	}
	return field == "value" && parent == "target"
}

func sameQuantity(a, b any) bool {
	if v1alpha1.CheckQuantity(fmt.Sprint(a)) != nil || v1alpha1.CheckQuantity(fmt.Sprint(b)) != nil {
		return false
	}
	x, err1 := quantity.ParseQuantity(fmt.Sprint(a))
	y, err2 := quantity.ParseQuantity(fmt.Sprint(b))
	return err1 == nil && err2 == nil && x.Cmp(y) == 0
}

func sameBase64(a, b any) bool {
	x, ok1 := decodeBase64(a)
	y, ok2 := decodeBase64(b)
	return ok1 && ok2 && x == y
}

func decodeBase64(v any) (string, bool) {
	s, ok := v.(string)
	if !ok {
		return "", false
	}
	out, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(s))
	return string(out), err == nil
}

// sameNumberOrText compares scalars; numbers by value, whatever Go type JSON made of them.
func sameNumberOrText(a, b any) bool {
	if a == b {
		return true
	}
	x, ok1 := number(a)
	y, ok2 := number(b)
	return ok1 && ok2 && x == y
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// jsonString encodes a scalar as fieldsV1 does.
func jsonString(v any) string {
	out, err := marshalPlain(v)
	if err != nil {
		return ""
	}
	return string(out)
}

// escapePointer escapes a name for a JSON pointer (RFC 6901).
func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
