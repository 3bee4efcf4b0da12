package deploy_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/deploy"
)

var update = flag.Bool("update", false, "write the templates of the chart anew")

// template is one file of the chart and how it is made from a file of the base.
type template struct {
	// from is relative to this folder.
	from string
	// when is the condition under which Helm renders it; empty: always.
	when string
	// values are texts of the base, each of which is there exactly once, and what stands in their place.
	values [][2]string
}

// templates lists the files of the chart.
func templates() map[string]template {
	const resources = `          resources:
            requests:
              cpu: 100m
              memory: 256Mi
            limits:
              memory: 2Gi
`
	all := map[string]template{
		"namespace.yaml":         {from: "kustomize/namespace.yaml", when: ".Values.namespace.create"},
		"service-account.yaml":   {from: "kustomize/service-account.yaml"},
		"rbac.yaml":              {from: "kustomize/rbac.yaml"},
		"disruption-budget.yaml": {from: "kustomize/disruption-budget.yaml"},
		"service.yaml":           {from: "kustomize/service.yaml"},
		"network-policy.yaml":    {from: "kustomize/network-policy/network-policy.yaml", when: ".Values.networkPolicy.enabled"},
		"deployment.yaml": {from: "kustomize/deployment.yaml", values: [][2]string{
			{"replicas: 2\n", "replicas: {{ .Values.replicas }}\n"},
			{"image: " + deploy.Repository + ":dev\n", "image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}\n"},
			{"--log-format=json", "--log-format={{ .Values.logFormat }}"},
			{resources, "          resources:\n            {{- toYaml .Values.resources | nindent 12 }}\n"},
		}},
	}
	for _, kind := range []string{"clusters", "configs", "gitsources", "placements"} {
		all["crd-"+kind+".yaml"] = template{from: "crds/" + kind + ".yaml", when: ".Values.crds.install", values: [][2]string{
			{"metadata:\n  annotations:\n", "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n"},
		}}
	}
	return all
}

// The chart is made from the base, so that the two cannot come apart: `task generate` repairs it.
func TestChartIsFresh(t *testing.T) {
	want := map[string][]byte{"checks.yaml": []byte(checks)}
	for name, tpl := range templates() {
		data, err := tpl.make()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want[name] = data
	}
	const dir = "chart/templates"
	if *update {
		for name, data := range want {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("%s/%s is made from nothing in the base", dir, e.Name())
		}
	}
	for name, data := range want {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(have, data) {
			t.Errorf("%s/%s is stale (%v): run `go tool task generate`", dir, name, err)
		}
	}
}

// checks refuses what would only fail later.
const checks = `{{- if ne .Release.Namespace "armada-system" }}
{{- fail "armada-sync lives in the namespace armada-system: add --namespace armada-system --create-namespace" }}
{{- end }}
`

func (tpl template) make() ([]byte, error) {
	data, err := os.ReadFile(tpl.from)
	if err != nil {
		return nil, err
	}
	text := string(data)
	if strings.Contains(text, "{{") {
		return nil, fmt.Errorf("%s has {{, which Helm would take for its own", tpl.from)
	}
	for _, v := range tpl.values {
		if n := strings.Count(text, v[0]); n != 1 {
			return nil, fmt.Errorf("%s has %q %d times", tpl.from, v[0], n)
		}
		text = strings.Replace(text, v[0], v[1], 1)
	}
	if tpl.when != "" {
		text = "{{- if " + tpl.when + " }}\n" + text + "{{- end }}\n"
	}
	return []byte("{{- /* Made from deploy/" + tpl.from + " by `task generate`. */}}\n" + text), nil
}
