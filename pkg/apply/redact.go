package apply

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// withheld stands for a value that must not be shown.
const withheld = "***"

// shortestSecret is the length below which a value is not looked for in messages: replacing each "a"
// would hide the message and no secret.
const shortestSecret = 4

// redactor removes from messages the values of all Secrets that a plan sends, in the encodings in which
// they are likely to be quoted. The values are collected when the first message needs it.
type redactor struct {
	operations []plan.Operation
	once       sync.Once
	values     []string
}

func newRedactor(operations []plan.Operation) *redactor { return &redactor{operations: operations} }

func (r *redactor) redact(message string) string {
	r.once.Do(r.collect)
	for _, v := range r.values {
		message = strings.ReplaceAll(message, v, withheld)
	}
	return message
}

func (r *redactor) collect() {
	for i := range r.operations {
		op := &r.operations[i]
		if op.Kind != "Secret" || op.Group() != "" || op.Manifest == nil {
			continue
		}
		data, _ := foldStringData(op.Manifest.Object)["data"].(map[string]any)
		for _, v := range data {
			encoded, _ := v.(string)
			r.add(encoded)
			if plain, ok := decodeBase64(v); ok {
				r.add(plain)
				// Whoever quotes JSON or several lines escapes them.
				if quoted, err := json.Marshal(plain); err == nil {
					r.add(strings.Trim(string(quoted), `"`))
				}
				r.add(base64.URLEncoding.EncodeToString([]byte(plain)))
				for _, line := range strings.Split(plain, "\n") {
					r.add(strings.TrimSpace(line))
				}
			}
		}
	}
	// The longest first, so that no part of one is left over by the replacement of another.
	slices.SortFunc(r.values, func(a, b string) int { return len(b) - len(a) })
}

func (r *redactor) add(v string) {
	if len(v) >= shortestSecret {
		r.values = append(r.values, v)
	}
}
