//go:build !race

// The race detector takes several times the time and memory that are bounded here, and nothing here is concurrent.

package build_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/armada-sync/armada-sync/pkg/render/build"
)

// maxPeak bounds the memory of a process that builds one hostile tree, and maxTime the processor time, the
// collector's included, so that it does not matter what else the machine does.
const (
	maxPeak = 256 << 20
	maxTime = 2 * time.Second
)

// hostileCase names the case that a child process plays.
const hostileCase = "ARMADA_SYNC_HOSTILE_CASE"

// TestHostileTrees builds each tree in a process of its own and looks at the most memory that it ever had,
// as the kernel counts it.
func TestHostileTrees(t *testing.T) {
	if reason := os.Getenv(hostileCase); reason != "" {
		playHostile(t, reason)
		return
	}
	for reason := range hostileTrees() {
		t.Run(reason, func(t *testing.T) {
			child := exec.Command(os.Args[0], "-test.run=^TestHostileTrees$", "-test.v")
			// Garbage is collected as for users, whatever the tests run with.
			child.Env = append(os.Environ(), hostileCase+"="+reason, "GOGC=100")
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if strings.Contains(line, "took") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

func playHostile(t *testing.T, reason string) {
	files := fstest.MapFS{}
	same := map[string]*fstest.MapFile{}
	for name, text := range hostileTrees()[reason]() {
		if same[text] == nil {
			same[text] = &fstest.MapFile{Data: []byte(text)}
		}
		files[name] = same[text]
	}
	files["beside.yaml"] = &fstest.MapFile{Data: []byte(configMap("beside"))}
	start := processTime(t)
	tree := mustBuild(t, build.New(), files, build.Options{Source: "shop"})
	took := processTime(t) - start
	peak := peakMemory(t)
	t.Logf("took %s, %d MiB: %d objects, %d problems", took.Round(time.Millisecond), peak>>20, len(tree.Objects), len(tree.Problems))
	if peak > maxPeak {
		t.Errorf("the process had %d MiB, want at most %d", peak>>20, maxPeak>>20)
	}
	if len(tree.Problems) > 200 {
		t.Errorf("%d problems, which nobody reads", len(tree.Problems))
	}
	if took > maxTime {
		t.Errorf("it took %s", took)
	}
	if len(tree.FailedUnits) == 0 {
		t.Error("nothing was refused")
	}
	for _, o := range tree.Objects {
		if o.GetName() == "beside" {
			return
		}
	}
	t.Error("the file beside it was not read")
}

// peakMemory is the most that the process ever had in memory.
func peakMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Logf("memory is not looked at: %v", err)
		return 0
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	t.Log("memory is not looked at: the kernel does not say")
	return 0
}

// TestHostileCharts renders charts that ask for more than there is. Each is one finding, soon.
func TestHostileCharts(t *testing.T) {
	double := `{{ $s := "xxxxxxxxxxxxxxxx" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}{{ $s }}`
	for reason, template := range map[string]string{
		"a list of a billion numbers":               `{{ range until 1000000000 }}x{{ end }}`,
		"a number as a loop":                        `{{ range 1000000000 }}{{ end }}`,
		"loops in loops":                            `{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`,
		"a step of one over the range of integers":  `{{ untilStep -9223372036854775807 9223372036854775807 1 }}`,
		"a sequence":                                `{{ seq 0 1 1000000000 }}`,
		"a template that includes itself":           `{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`,
		"a template that runs itself":               `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`,
		"a template that runs itself twice":         `{{ define "a" }}{{ if lt . 40 }}{{ include "a" (add1 .) }}{{ include "a" (add1 .) }}{{ end }}{{ end }}{{ include "a" 1 }}`,
		"a text that doubles":                       double,
		"a text that doubles by printf":             `{{ $s := "xxxxxxxx" }}{{ range until 60 }}{{ $s = printf "%s%s" $s $s }}{{ end }}`,
		"a text that doubles by replacement":        `{{ $s := "xxxxxxxx" }}{{ range until 60 }}{{ $s = replace "x" "xx" $s }}{{ end }}`,
		"a text that doubles by a pattern":          `{{ $s := "xxxxxxxx" }}{{ range until 60 }}{{ $s = regexReplaceAll "(.*)" $s "$1$1" }}{{ end }}`,
		"a text a billion times":                    `{{ repeat 1000000000 "x" }}`,
		"a wide number":                             `{{ printf "%999999d%999999d%999999d%999999d%999999d" 1 1 1 1 1 }}`,
		"a deep indentation":                        `{{ indent 1000000000 "x" }}`,
		"a map that doubles":                        `{{ $d := dict }}{{ range until 60 }}{{ $d = dict "a" $d "b" $d }}{{ end }}{{ $d }}`,
		"a list that doubles":                       `{{ $l := list 1 }}{{ range until 60 }}{{ $l = concat $l $l }}{{ end }}`,
		"a map that contains itself":                `{{ $d := dict }}{{ $_ := set $d "a" $d }}{{ $d | toYaml }}`,
		"a text with aliases":                       `{{ fromYaml (printf "a: &a [%s]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]" (repeat 100000 "1,")) }}`,
		"a large text written again and again":      `{{ $s := repeat 1000000 "x" }}{{ range until 1000 }}{{ $s }}{{ end }}`,
		"tpl in tpl":                                `{{ define "a" }}{{ tpl "{{ include \"a\" . }}" . }}{{ end }}{{ include "a" . }}`,
		"a loop in tpl":                             `{{ tpl "{{ range 1000000000 }}{{ end }}" . }}`,
		"a million passwords":                       `{{ range until 100000 }}{{ if derivePassword 1 "long" "a" "b" "c" }}{{ end }}{{ end }}`,
		"files written again and again as a config": `{{ range until 100000 }}{{ if ($.Files.Glob "**").AsConfig }}{{ end }}{{ end }}`,
	} {
		t.Run(reason, func(t *testing.T) {
			files := tree(map[string]string{
				"web/Chart.yaml":       "apiVersion: v2\nname: web\nversion: 1.0.0\n",
				"web/templates/a.yaml": template,
				"web/files/large.txt":  strings.Repeat("0123456789\n", 100_000),
			})
			start := processTime(t)
			built := mustBuild(t, build.New(), files, build.Options{Source: "shop"})
			if took := processTime(t) - start; took > maxTime {
				t.Errorf("it took %s", took)
			} else {
				t.Logf("%s", took.Round(time.Millisecond))
			}
			if len(built.Objects) > 0 || len(built.Problems) != 1 || len(built.FailedUnits) != 1 {
				t.Fatalf("problems %v", built.Problems)
			}
			if got := built.Problems[0].Message; !strings.Contains(got, "asks for too much") && !strings.Contains(got, "exceeded maximum template depth") {
				t.Errorf("the finding is %q", got)
			}
		})
	}
}

func one(name, text string) map[string]string { return map[string]string{name: text} }

// hostileTrees are what one commit can bring that costs much.
func hostileTrees() map[string]func() map[string]string {
	const mb = 1 << 20
	return map[string]func() map[string]string{
		"10 MB of a dense list": func() map[string]string {
			return one("a.yaml", "a: ["+strings.Repeat("1,", 5*mb-10)+"]\n")
		},
		"10 MB of dense JSON": func() map[string]string {
			return one("a.json", `{"a":[`+strings.Repeat("1,", 5*mb-10)+"1]}")
		},
		"10 MB of lines": func() map[string]string { return one("a.yaml", "a:\n"+strings.Repeat("- 1\n", 5*mb/2-10)) },
		"10 MB of nested maps": func() map[string]string {
			return one("a.yaml", "a:\n"+strings.Repeat("- {a: {a: {a: {a: {a: {}}}}}}\n", 300_000))
		},
		"50,000 documents": func() map[string]string {
			return one("a.yaml", strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", 50_000))
		},
		"a million documents": func() map[string]string { return one("a.yaml", strings.Repeat("---\na: 1\n", mb)) },
		"18,000 documents of many maps": func() map[string]string {
			return one("a.yaml", strings.Repeat("---\napiVersion: v1\nkind: A\nmetadata: {name: a}\nb: {c: {d: {e: {f: {g: {h: {}}}}}}}\nc: [{},{},{},{},{},{}]\n", 18_000)+"---\n[")
		},
		"many documents just below what one may have": func() map[string]string {
			return one("a.yaml", strings.Repeat("---\napiVersion: v1\nkind: A\nmetadata: {name: a}\nb: ["+strings.Repeat("1,", 200_000)+"]\n", 25)+"---\n[")
		},
		"an alias bomb": func() map[string]string {
			return one("a.yaml", "a: &a ["+strings.Repeat("x,", 1000)+"]\nb: &b ["+strings.Repeat("*a,", 1000)+"]\nc: ["+strings.Repeat("*b,", 1000)+"]\n")
		},
		"10,000 levels":           func() map[string]string { return one("a.yaml", "a: "+strings.Repeat("[", 10_000)+"\n") },
		"an unclosed text":        func() map[string]string { return one("a.yaml", "a: \""+strings.Repeat("x\n", 5*mb-10)) },
		"a merge key in a circle": func() map[string]string { return one("a.yaml", "a: &a\n  <<: *a\n") },
		"many files, each as large as it may be": func() map[string]string {
			files, text := map[string]string{}, "a: ["+strings.Repeat("1,", 5*mb-10)+"]\n"
			for i := range 25 {
				files[fmt.Sprintf("f%d.yaml", i)] = text
			}
			return files
		},
		"a kustomization of a dense file": func() map[string]string {
			return map[string]string{
				"k/kustomization.yaml": "resources: [a.yaml]\n",
				"k/a.yaml":             "apiVersion: v1\nkind: A\nmetadata: {name: a}\na: [" + strings.Repeat("1,", 3*mb) + "]\n",
			}
		},
		"a kustomization of an alias bomb": func() map[string]string {
			return map[string]string{
				"k/kustomization.yaml": "resources: [a.yaml]\n",
				"k/a.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a}\na: &a [" + strings.Repeat("x,", 1000) + "]\nb: &b [" +
					strings.Repeat("*a,", 1000) + "]\nc: [" + strings.Repeat("*b,", 1000) + "]\n",
			}
		},
		"a generator that is a bomb": func() map[string]string {
			return map[string]string{
				"k/kustomization.yaml": "configMapGenerator:\n" + strings.Repeat("- {name: a, files: [large.txt]}\n", 1000),
				"k/large.txt":          strings.Repeat("x", 7*mb),
			}
		},
		"a chart that writes much": func() map[string]string {
			return map[string]string{
				"c/Chart.yaml":       "apiVersion: v2\nname: c\nversion: 1.0.0\n",
				"c/templates/a.yaml": "a: [{{ range until 190000 }}1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,{{ end }}]\n",
			}
		},
		"a chart of dense values": func() map[string]string {
			return map[string]string{
				"c/Chart.yaml":  "apiVersion: v2\nname: c\nversion: 1.0.0\n",
				"c/values.yaml": "a: [" + strings.Repeat("1,", 5*mb) + "]\n",
			}
		},
		"a chart of dense custom resource definitions": func() map[string]string {
			return map[string]string{
				"c/Chart.yaml":  "apiVersion: v2\nname: c\nversion: 1.0.0\n",
				"c/crds/a.yaml": "a: [" + strings.Repeat("1,", 5*mb) + "]\n",
			}
		},
		"an encrypted file of very many values": func() map[string]string {
			return one("a.yaml", "a: ["+strings.Repeat("1,", 5*mb-100)+"]\nsops:\n  mac: x\n")
		},
		"an encrypted JSON file of very many values": func() map[string]string {
			return one("a.json", `{"a":[`+strings.Repeat("1,", 5*mb-100)+`1],"sops":{"mac":"x"}}`)
		},
	}
}
