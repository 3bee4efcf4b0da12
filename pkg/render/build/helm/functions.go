package helm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// nondeterministic are the functions whose result differs from run to run, from machine to machine or
// from cluster to cluster.
func nondeterministic() []string {
	return []string{
		"now", "ago", "randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randBytes", "randInt", "shuffle", "uuidv4",
		"bcrypt", "htpasswd", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
		"genSignedCert", "genSignedCertWithKey", "encryptAES", "env", "expandenv", "getHostByName", "lookup",
	}
}

// nondeterministicError is the use of such a function.
type nondeterministicError struct{ function string }

func (e *nondeterministicError) Error() string {
	return fmt.Sprintf("%s gives another result on each run", e.function)
}

// statedError is what a chart's author has to say, by fail or required.
type statedError struct{ text string }

func (e *statedError) Error() string { return e.text }

// functions are those of Helm: sprig's, less what reads the environment, and Helm's own.
func (e *engine) functions() template.FuncMap {
	f := sprig.TxtFuncMap()
	maps.Copy(f, serializers())
	maps.Copy(f, e.parsers())
	maps.Copy(f, dates())
	for _, name := range builders() {
		f[name] = e.budget.metered(f[name])
	}
	maps.Copy(f, e.sizes(f))
	maps.Copy(f, e.patterns(f))
	for _, name := range nondeterministic() {
		f[name] = func(...any) (string, error) {
			if e.tolerant {
				return "random", nil
			}
			return "", &nondeterministicError{name}
		}
	}
	f["keys"], f["values"] = keys, values
	f["fail"] = func(text string) (string, error) { return "", &statedError{text} }
	f["required"] = func(text string, value any) (any, error) {
		if value == nil || value == "" {
			return value, &statedError{text}
		}
		return value, nil
	}
	f["derivePassword"] = e.costly(f["derivePassword"])
	f[stepFunction], f[meterFunction] = e.budget.step, e.budget.meter
	return f
}

// builders make values of several, of which a few make one too large to print.
func builders() []string {
	return []string{
		"dict", "list", "tuple", "set", "pick", "omit", "merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite",
		"append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend", "concat", "deepCopy", "mustDeepCopy", "pluck",
		"cat", "quote", "squote", "toString", "toStrings", "toJson", "mustToJson", "toPrettyJson", "mustToPrettyJson",
		"toRawJson", "mustToRawJson", "toYaml", "mustToYaml", "toYamlPretty", "toToml", "mustToToml",
		"fromYaml", "fromYamlArray", "fromJson", "fromJsonArray", "mustFromJson", "fromToml", "split", "splitList", "splitn",
		"chunk", "mustChunk", "slice", "mustSlice", "reverse", "mustReverse", "uniq", "mustUniq", "without", "mustWithout",
	}
}

// keys and values go by the order of keys, where sprig has none.
func keys(dicts ...map[string]any) []string {
	var all []string
	for _, d := range dicts {
		all = append(all, slices.Sorted(maps.Keys(d))...)
	}
	return append([]string{}, all...)
}

func values(dict map[string]any) []any {
	all := make([]any, 0, len(dict))
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		all = append(all, dict[key])
	}
	return all
}

// costly is a function that takes a tenth of a second for each call, so that few are allowed.
func (e *engine) costly(function any) any {
	derive, _ := function.(func(uint32, string, string, string, string) string)
	return func(counter uint32, kind, password, user, site string) (string, error) {
		if err := e.budget.spend(maxWork / 5); err != nil {
			return "", err
		}
		return derive(counter, kind, password, user, site), nil
	}
}

// dates are sprig's functions on a time that is given, in UTC where sprig takes the zone of the machine.
func dates() template.FuncMap {
	in := func(layout string, date any, zone string) (string, error) {
		var t time.Time
		switch d := date.(type) {
		case time.Time:
			t = d
		case int64:
			t = time.Unix(d, 0)
		case int:
			t = time.Unix(int64(d), 0)
		case int32:
			t = time.Unix(int64(d), 0)
		default:
			// sprig takes the present time for anything else.
			return "", &nondeterministicError{"date without a time"}
		}
		location, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			location = time.UTC
		}
		return t.In(location).Format(layout), nil
	}
	parse := func(layout, text string) (time.Time, error) { return time.ParseInLocation(layout, text, time.UTC) }
	return template.FuncMap{
		"date":           func(layout string, date any) (string, error) { return in(layout, date, "UTC") },
		"dateInZone":     in,
		"date_in_zone":   in,
		"htmlDate":       func(date any) (string, error) { return in(time.DateOnly, date, "UTC") },
		"htmlDateInZone": func(date any, zone string) (string, error) { return in(time.DateOnly, date, zone) },
		"mustToDate":     parse,
		"toDate": func(layout, text string) time.Time {
			t, _ := parse(layout, text)
			return t
		},
		"durationRound": func(duration any) (string, error) {
			if _, isTime := duration.(time.Time); isTime {
				return "", &nondeterministicError{"durationRound of a time"}
			}
			round, _ := sprig.TxtFuncMap()["durationRound"].(func(any) string)
			return round(duration), nil
		},
	}
}

// serializers write values as Helm writes them: errors are swallowed but for the functions that begin
// with must.
func serializers() template.FuncMap {
	toYAML := func(v any) (string, error) {
		data, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(data), "\n"), err
	}
	toJSON := func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	}
	toTOML := func(v any) (string, error) {
		var b bytes.Buffer
		err := toml.NewEncoder(&b).Encode(v)
		return b.String(), err
	}
	lenient := func(f func(any) (string, error)) func(any) string {
		return func(v any) string {
			text, err := f(v)
			if err != nil {
				return ""
			}
			return text
		}
	}
	return template.FuncMap{
		"toYaml": lenient(toYAML), "mustToYaml": toYAML, "toJson": lenient(toJSON), "mustToJson": toJSON,
		"mustToToml": toTOML,
		"toToml": func(v any) string {
			text, err := toTOML(v)
			if err != nil {
				return err.Error()
			}
			return text
		},
		"toYamlPretty": lenient(func(v any) (string, error) {
			var b bytes.Buffer
			encoder := goyaml.NewEncoder(&b)
			encoder.SetIndent(2)
			err := encoder.Encode(v)
			return strings.TrimSuffix(b.String(), "\n"), err
		}),
	}
}

// parsers read values as Helm reads them: an error becomes part of the value.
func (e *engine) parsers() template.FuncMap {
	mapOf := func(unmarshal func([]byte, any) error) func(string) (map[string]any, error) {
		return func(text string) (map[string]any, error) {
			m := map[string]any{}
			if err := e.parsable(text); err != nil {
				return nil, err
			}
			if err := unmarshal([]byte(text), &m); err != nil {
				m["Error"] = err.Error()
			}
			return m, nil
		}
	}
	listOf := func(unmarshal func([]byte, any) error) func(string) ([]any, error) {
		return func(text string) ([]any, error) {
			list := []any{}
			if err := e.parsable(text); err != nil {
				return nil, err
			}
			if err := unmarshal([]byte(text), &list); err != nil {
				list = []any{err.Error()}
			}
			return list, nil
		}
	}
	fromYAML := func(data []byte, into any) error { return yaml.Unmarshal(data, into) }
	return template.FuncMap{
		"fromYaml": mapOf(fromYAML), "fromYamlArray": listOf(fromYAML),
		"fromJson": mapOf(json.Unmarshal), "fromJsonArray": listOf(json.Unmarshal),
		"fromToml": mapOf(func(data []byte, into any) error { return toml.Unmarshal(data, into) }),
	}
}

// parsable tells a text that may be parsed. Where a text may repeat itself by anchors, it has to be short;
// the parser then stops what repeats too often.
func (e *engine) parsable(text string) error {
	values := estimate(text)
	if values > maxValues || values > maxValues/100 && strings.Contains(text, "*") && strings.Contains(text, "&") {
		return tooMuch("a text to parse of more than %d values", maxValues)
	}
	return e.budget.spend(values)
}

// estimate is about how many values a text has.
func estimate(text string) int {
	n := 1
	for i := range len(text) {
		switch text[i] {
		case ',', '\n', '[', '{':
			n++
		}
	}
	return n
}
