package fidelity

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"
)

// item is one object in Git with a policy of its own.
type item struct {
	kind, namespace, name string
	// version goes into images, data and the like; extra is how many more entries there are.
	version, extra, replicas int
	// strategy names one of strategies, override one of overrides; empty: none.
	strategy, override string
	// only and backup are the clusters that some of them name.
	only, backup string
	// gone leaves it out of the commit.
	gone bool
}

// strategies are placements by name.
var strategies = map[string]string{
	"everywhere": `{}`,
	"gold":       `{clusterAffinity: {labelSelector: {matchLabels: {tier: gold}}}}`,
	"one":        `{clusterAffinity: {clusterNames: [ONLY]}}`,
	"pair":       `{clusterAffinity: {clusterNames: [ONLY, BACKUP]}}`,
	"groups":     `{clusterAffinities: [{affinityName: first, clusterNames: [ONLY]}, {affinityName: second, clusterNames: [BACKUP]}]}`,
	"static":     `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, weightPreference: {staticWeightList: [{targetCluster: {clusterNames: [ONLY]}, weight: 2}, {targetCluster: {labelSelector: {matchLabels: {tier: gold}}}, weight: 1}]}}}`,
	"equal":      `{replicaScheduling: {replicaSchedulingType: Divided}}`,
	"dynamic":    `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, weightPreference: {dynamicWeight: AvailableReplicas}}}`,
	"aggregated": `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Aggregated}}`,
	"two":        `{spreadConstraints: [{spreadByField: cluster, minGroups: 1, maxGroups: 2}]}`,
	"regions":    `{spreadConstraints: [{spreadByField: region, minGroups: 2, maxGroups: 2}, {spreadByField: cluster, minGroups: 2, maxGroups: 3}]}`,
}

// overrides are rules by name; those of workloads come first.
var overrides = map[string]string{
	"image":  `{targetCluster: {labelSelector: {matchLabels: {tier: gold}}}, overriders: {imageOverrider: [{component: Registry, operator: replace, value: "ONLY.example.com"}]}}`,
	"args":   `{targetCluster: {clusterNames: [ONLY]}, overriders: {argsOverrider: [{containerName: main, operator: add, value: ["--on=BACKUP"]}]}}`,
	"env":    `{targetCluster: {clusterNames: [BACKUP]}, overriders: {plaintext: [{path: /spec/template/spec/containers/0/env/0/value, operator: replace, value: overridden}]}}`,
	"labels": `{overriders: {labelsOverrider: [{operator: add, value: {stage: "of-ONLY", "example.com/at.home": "yes"}}]}}`,
	"notes":  `{targetCluster: {clusterNames: [ONLY, BACKUP]}, overriders: {annotationsOverrider: [{operator: add, value: {"example.com/note": "for ONLY"}}]}}`,
	"wipe":   `{targetCluster: {labelSelector: {matchLabels: {tier: silver}}}, overriders: {annotationsOverrider: [{operator: remove, value: {"example.com/since": ""}}]}}`,
}

var (
	workloads         = []string{"Deployment", "StatefulSet"}
	workloadOverrides = []string{"image", "args", "env", "labels", "notes", "wipe", ""}
	otherOverrides    = []string{"labels", "notes", "wipe", ""}
)

// repository is what Git holds.
type repository struct {
	items []item
	// tag and color go into the kustomization.
	tag, color int
	// vault adds a namespace with something in it.
	vault bool
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func strategyNames() []string {
	var names []string
	for name := range strategies {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func newRepository(r *rand.Rand, clusters []string) *repository {
	repo := &repository{tag: 1, color: 1}
	for _, k := range []struct {
		kind, prefix string
		n            int
	}{{"Deployment", "web", 7}, {"StatefulSet", "db", 2}, {"DaemonSet", "agent", 1}, {"CronJob", "job", 1}, {"ConfigMap", "config", 5}, {"Service", "svc", 2}, {"Secret", "key", 3}, {"Widget", "widget", 3}} {
		for i := range k.n {
			at := r.IntN(len(clusters))
			it := item{
				kind: k.kind, namespace: pick(r, []string{"shop", "bank"}), name: k.prefix + strconv.Itoa(i+1), version: 1, extra: r.IntN(3),
				replicas: 1 + r.IntN(7), strategy: pick(r, strategyNames()), only: clusters[at], backup: clusters[(at+1)%len(clusters)],
				gone: r.IntN(5) == 0,
			}
			it.override = pick(r, it.overrides())
			repo.items = append(repo.items, it)
		}
	}
	return repo
}

func (it item) isWorkload() bool { return slices.Contains(workloads, it.kind) }

func (it item) overrides() []string {
	if it.isWorkload() {
		return workloadOverrides
	}
	return otherOverrides
}

// change makes the next commit and says what it does.
func (repo *repository) change(r *rand.Rand, clusters []string) (said []string) {
	repo.items = slices.Clone(repo.items)
	for range 1 + r.IntN(6) {
		switch r.IntN(20) {
		case 0:
			repo.tag++
			said = append(said, "another tag in the kustomization")
		case 1:
			repo.color++
			said = append(said, "another value of the generated ConfigMap")
		case 2:
			repo.vault = !repo.vault
			said = append(said, "the namespace vault comes or goes")
		default:
			said = append(said, repo.changeItem(r, clusters))
		}
	}
	return said
}

func (repo *repository) changeItem(r *rand.Rand, clusters []string) string {
	it := &repo.items[r.IntN(len(repo.items))]
	switch r.IntN(8) {
	case 0, 1:
		it.version++
		return "touch " + it.name
	case 2:
		it.extra = r.IntN(4)
		return fmt.Sprintf("%d extras in %s", it.extra, it.name)
	case 3:
		it.replicas = 1 + r.IntN(9)
		return fmt.Sprintf("%s with %d replicas", it.name, it.replicas)
	case 4:
		it.override = pick(r, it.overrides())
		return fmt.Sprintf("override %q of %s", it.override, it.name)
	case 5:
		it.gone = !it.gone
		return fmt.Sprintf("%s comes or goes", it.name)
	case 6:
		at := r.IntN(len(clusters))
		it.only, it.backup = clusters[at], clusters[(at+1)%len(clusters)]
		return fmt.Sprintf("%s names %s", it.name, it.only)
	default:
		it.strategy = pick(r, strategyNames())
		return fmt.Sprintf("%s placed as %s", it.name, it.strategy)
	}
}

// files are the commit as a folder.
func (repo *repository) files() fstest.MapFS {
	files := fstest.MapFS{}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text)} }
	namespaces := []string{"shop", "bank"}
	if repo.vault {
		namespaces = append(namespaces, "vault")
		put("apps/vault.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vault, namespace: vault}\ndata: {a: b}\n")
		put("policies/vault.yaml", item{kind: "ConfigMap", namespace: "vault", name: "vault", strategy: "gold"}.policy())
	}
	for _, ns := range namespaces {
		put("namespaces/"+ns+".yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+ns+"}\n")
	}
	put("definition.yaml", definition)
	for _, it := range repo.items {
		if it.gone {
			continue
		}
		put("apps/"+it.name+".yaml", it.object())
		put("policies/"+it.name+".yaml", it.policy())
		if it.override != "" {
			put("overrides/"+it.name+".yaml", it.overridePolicy())
		}
	}
	put("generated/kustomization.yaml", fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: shop
resources: [deployment.yaml]
images: [{name: example.com/painter, newTag: "%d"}]
configMapGenerator: [{name: paint, literals: ["color=%d"]}]
`, repo.tag, repo.color))
	put("generated/deployment.yaml", `apiVersion: apps/v1
kind: Deployment
metadata: {name: painter}
spec:
  replicas: 2
  selector: {matchLabels: {app: painter}}
  template:
    metadata: {labels: {app: painter}}
    spec: {containers: [{name: main, image: example.com/painter, envFrom: [{configMapRef: {name: paint}}]}]}
`)
	put("policies/painter.yaml", `apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: painter, namespace: shop}
spec:
  propagateDeps: true
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: painter}]
  placement: {clusterAffinity: {labelSelector: {matchLabels: {tier: gold}}}}
`)
	return files
}

const definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: definitions}
spec:
  resourceSelectors: [{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, name: widgets.example.com}]
  placement: {}
`

func (it item) apiVersion() string {
	switch it.kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return "apps/v1"
	case "CronJob":
		return "batch/v1"
	case "Widget":
		return "example.com/v1"
	}
	return "v1"
}

// entries are as many more lines as the item has extras.
func (it item) entries(format string) string {
	var b strings.Builder
	for i := range it.extra {
		fmt.Fprintf(&b, format, i, it.version)
	}
	return b.String()
}

func (it item) object() string {
	head := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s, annotations: {example.com/since: \"%d\"}}\n",
		it.apiVersion(), it.kind, it.name, it.namespace, it.version/2)
	pod := fmt.Sprintf(`metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: main, image: "example.com/%[1]s:%[2]d", args: [serve], env: [{name: FIRST, value: "1"}%[3]s], resources: {requests: {cpu: 100m, memory: 64Mi}}}]}`,
		it.name, it.version, it.entries(`, {name: EXTRA%d, value: "of-%d"}`))
	switch it.kind {
	case "Deployment":
		return head + fmt.Sprintf("spec: {replicas: %d, selector: {matchLabels: {app: %s}}, template: {%s}}\n", it.replicas, it.name, pod)
	case "StatefulSet":
		return head + fmt.Sprintf("spec: {replicas: %d, serviceName: %[2]s, selector: {matchLabels: {app: %[2]s}}, template: {%[3]s}}\n", it.replicas, it.name, pod)
	case "DaemonSet":
		return head + fmt.Sprintf("spec: {selector: {matchLabels: {app: %s}}, template: {%s}}\n", it.name, pod)
	case "CronJob":
		return head + fmt.Sprintf("spec: {schedule: \"%d * * * *\", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: \"example.com/%s:%d\"}]}}}}}\n", it.replicas, it.name, it.version)
	case "Service":
		return head + fmt.Sprintf("spec: {selector: {app: %s}, ports: [{name: http, port: %d}%s]}\n", it.name, 8000+it.version, it.entries(`, {name: extra%d, port: 90%[1]d%[2]d}`))
	case "Secret":
		return head + fmt.Sprintf("stringData: {version: \"%d\", same: \"%d\", fixed: always%s}\n", it.version, it.version, it.entries(`, extra%d: "%d"`))
	case "Widget":
		return head + fmt.Sprintf("spec: {size: %d, version: %d, list: [%s]}\n", it.replicas, it.version, strings.TrimPrefix(it.entries(`, {at: %d, value: %d}`), ", "))
	}
	return head + fmt.Sprintf("data: {version: \"%d\", name: %s%s}\n", it.version, it.name, it.entries(`, extra%d: "%d"`))
}

func (it item) named(text string) string {
	return strings.NewReplacer("ONLY", it.only, "BACKUP", it.backup).Replace(text)
}

func (it item) policy() string {
	return fmt.Sprintf(`apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  resourceSelectors: [{apiVersion: %[3]s, kind: %[4]s, name: %[1]s}]
  placement: %[5]s
`, it.name, it.namespace, it.apiVersion(), it.kind, it.named(strategies[it.strategy]))
}

func (it item) overridePolicy() string {
	return fmt.Sprintf(`apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  resourceSelectors: [{apiVersion: %[3]s, kind: %[4]s, name: %[1]s}]
  overrideRules:
    - %[5]s
`, it.name, it.namespace, it.apiVersion(), it.kind, it.named(overrides[it.override]))
}
