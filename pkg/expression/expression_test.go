package expression_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/pkg/expression"
)

func TestEval(t *testing.T) {
	env, err := expression.NewEnvironment(10_000, "input")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason, text string
		want         any
		fault        string
	}{
		{"maps are iterated by key", `input.map(k, k)`, []any{"a", "b", "c", "d"}, ""},
		{"and so are those that the expression writes down", `{"z": 1, "y": input.a, "x": 3, "w": 4, "v": 5}.map(k, k)`, []any{"v", "w", "x", "y", "z"}, ""},
		{"and those of which nothing depends on the input", `{"z": 1, "y": 2, "x": 3, "w": 4, "v": 5}.map(k, k)`, []any{"v", "w", "x", "y", "z"}, ""},
		{"a map that is written down is an object of JSON", `{"k": {"a": 1}}`, map[string]any{"k": map[string]any{"a": int64(1)}}, ""},
		{"numbers of two types compare", `input.a < 1.5`, true, ""},
		{"a result that no JSON has", `b"x"`, nil, "cannot be part of an object"},
		{"what costs too much ends", `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, true))))`, nil, "cost limit"},
		{"what does not compile says where", `input.`, nil, "line 1, column 7"},
		{"what is too long", strings.Repeat(" ", 5000), nil, "more than 4096"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, err := evaluate(env, c.text)
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Fatalf("error %v, want %q", err, c.fault)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func evaluate(env *expression.Environment, text string) (any, error) {
	program, err := env.Compile(text)
	if err != nil {
		return nil, err
	}
	value, err := program.Eval(map[string]any{"input": map[string]any{"d": int64(4), "c": int64(3), "b": int64(2), "a": int64(1)}})
	if err != nil {
		return nil, err
	}
	return value.JSON()
}

func TestMayYield(t *testing.T) {
	env, err := expression.NewEnvironment(1000, "input")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"true": true, "[1]": true, "input.x": true, "'a'": false, "1": false, "{}": false} {
		program, err := env.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := program.MayYield("bool", "list"); got != want {
			t.Errorf("%s, of type %s: %t", text, program.Yields(), got)
		}
	}
}
