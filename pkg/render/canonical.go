package render

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// canonicalJSON writes a JSON tree in its one form: keys sorted by their bytes, no space, no HTML
// escapes; strings and numbers as encoding/json writes them.
func canonicalJSON(value any) []byte { return appendCanonical(make([]byte, 0, 2048), value) }

func appendCanonical(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case map[string]any:
		b = append(b, '{')
		var few [16]string
		keys := slices.AppendSeq(few[:0], maps.Keys(v))
		slices.Sort(keys)
		for i, key := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = appendCanonical(b, v[key])
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, item)
		}
		return append(b, ']')
	}
	return appendEncoded(b, value)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendEncoded(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendEncoded leaves a value to encoding/json. What comes from a decoder always encodes; of
// anything else nothing is written, which is no JSON.
func appendEncoded(b []byte, value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return b
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
