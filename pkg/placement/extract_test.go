package placement

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func TestExtract(t *testing.T) {
	const pod = `{containers: [{name: a, resources: {requests: {cpu: 100m, memory: 64Mi}}}]}`
	cases := []struct {
		reason, object, want, err string
	}{
		{"a Deployment without replicas has one", `{apiVersion: apps/v1, kind: Deployment, spec: {template: {spec: ` + pod + `}}}`,
			`replicas 1 at spec.replicas, cpu 100m memory 64Mi`, ""},
		{"null replicas are absent", `{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: null}}`, `replicas 1 at spec.replicas`, ""},
		{"a StatefulSet is stateful", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3}}`, `replicas 3 at spec.replicas, stateful`, ""},
		{"what mounts a claim is stateful", `{apiVersion: apps/v1, kind: Deployment, spec: {template: {spec: {containers: [{name: a}], volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]}}}}`,
			`replicas 1 at spec.replicas, stateful`, ""},
		{"the annotation pins", `{apiVersion: v1, kind: ConfigMap, metadata: {annotations: {armada-sync.io/failover: never}}}`, `stateful`, ""},
		{"a Job runs parallelism pods", `{apiVersion: batch/v1, kind: Job, spec: {parallelism: 4, template: {spec: ` + pod + `}}}`,
			`replicas 4 at spec.parallelism, cpu 100m memory 64Mi, pinned once started`, ""},
		{"but no more than it completes", `{apiVersion: batch/v1, kind: Job, spec: {parallelism: 4, completions: 2}}`, `replicas 2 at spec.parallelism, pinned once started`, ""},
		{"an Indexed Job is not divided", `{apiVersion: batch/v1, kind: Job, spec: {completionMode: Indexed}}`, `replicas 1 at spec.parallelism, pinned once started, indivisible`, ""},
		{"a Pod is one replica", `{apiVersion: v1, kind: Pod, spec: ` + pod + `}`, `replicas 1, cpu 100m memory 64Mi, pinned once started, indivisible`, ""},
		{"a CronJob has no replicas", `{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: ` + pod + `}}}}}`, `cpu 100m memory 64Mi`, ""},
		{"nor has a DaemonSet", `{apiVersion: apps/v1, kind: DaemonSet, spec: {template: {spec: ` + pod + `}}}`, `cpu 100m memory 64Mi`, ""},
		{"a custom kind with integer replicas is divided", `{apiVersion: example.com/v1, kind: Db, spec: {replicas: 5, template: {spec: ` + pod + `}}}`,
			`replicas 5 at spec.replicas, cpu 100m memory 64Mi`, ""},
		{"one with other replicas is not", `{apiVersion: example.com/v1, kind: Db, spec: {replicas: {min: 1}}}`, ``, ""},
		{"a Deployment's must be a number", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: many}}`, ``, `spec.replicas is many, want a whole number`},
		{"and a whole one", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1.5}}`, ``, `spec.replicas is 1.5, want a whole number`},
		{"and not negative", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: -1}}`, ``, `spec.replicas is -1, want 0 or more`},
		{"a quantity that takes hours to read is refused", `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, resources: {requests: {cpu: "1e-999999999"}}}]}}`, ``, `read the pod of Pod "p": cpu: a quantity with an exponent`},
		{"wherever it is", `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {volumes: [{name: v, emptyDir: {sizeLimit: 1E+2147483647}}]}}`, ``, `read the pod of Pod "p": a quantity with an exponent`},
		{"but a value that only looks like one is none", `{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, env: [{name: limits, value: "1e-999999999"}]}]}}`, `replicas 1, pinned once started, indivisible`, ""},
		{"sidecars count with the containers, the largest init stage instead of them, overhead on top, limits for requests",
			`{apiVersion: v1, kind: Pod, spec: {overhead: {cpu: 10m}, containers: [{name: a, resources: {limits: {cpu: 100m, memory: 10Mi}}}],
			  initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 50m}}}, {name: i, resources: {requests: {cpu: 400m}}}, {name: j, resources: {requests: {memory: 5Mi}}}]}}`,
			`replicas 1, cpu 460m memory 10Mi, pinned once started, indivisible`, ""},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(tc.object), &object); err != nil {
				t.Fatal(err)
			}
			e, err := Extract(object)
			if message := errorText(err); !strings.HasPrefix(message, tc.err) || (tc.err == "") != (err == nil) {
				t.Fatalf("error %q, want %q", message, tc.err)
			}
			if tc.err != "" {
				return
			}
			if diff := cmp.Diff(tc.want, describe(e)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func describe(e Extracted) string {
	var parts []string
	if e.Replicas != nil {
		text, _ := json.Marshal(*e.Replicas)
		parts = append(parts, "replicas "+string(text))
		if e.ReplicasField != nil {
			parts[0] += " at " + dotted(e.ReplicasField)
		}
	}
	var requests []string
	for name, q := range e.Requests {
		requests = append(requests, string(name)+" "+q.String())
	}
	if slices.Sort(requests); len(requests) > 0 {
		parts = append(parts, strings.Join(requests, " "))
	}
	for _, fact := range []struct {
		holds bool
		name  string
	}{{e.Stateful, "stateful"}, {e.PinnedOnceStarted, "pinned once started"}, {e.Indivisible, "indivisible"}} {
		if fact.holds {
			parts = append(parts, fact.name)
		}
	}
	return strings.Join(parts, ", ")
}

// TestExtractReadsRealManifests reads the Online Boutique where it is at hand.
func TestExtractReadsRealManifests(t *testing.T) {
	const manifests = "../../../shared/data/online-boutique/kubernetes-manifests"
	if _, err := os.Stat(manifests); errors.Is(err, fs.ErrNotExist) {
		t.Log("the manifests are not here; the table above stands for them")
		return
	}
	read := 0
	err := filepath.WalkDir(manifests, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, document := range strings.Split(string(content), "\n---") {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(document), &object); err != nil || object["kind"] != "Deployment" {
				continue
			}
			e, err := Extract(object)
			if err != nil || e.Replicas == nil || e.Requests.Cpu().IsZero() || e.Requests.Memory().IsZero() {
				t.Errorf("%s: %+v %v", path, e, err)
			}
			read++
		}
		return nil
	})
	if err != nil || read == 0 {
		t.Errorf("%d Deployments read: %v", read, err)
	}
}

func TestScorersAreThoseThatPoliciesMayName(t *testing.T) {
	var names []string
	for _, s := range scorers() {
		names = append(names, s.name)
	}
	if !reflect.DeepEqual(names, v1alpha1.ScorerNames()) {
		t.Errorf("the scorers are %v, policies may name %v", names, v1alpha1.ScorerNames())
	}
}
