package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// app is one object in Git with a policy of its own.
type app struct {
	kind, namespace, name string
	// version goes into the image or the data.
	version  int
	replicas int
	// strategy names one of strategies.
	strategy string
	// never pins the workload by annotation.
	never bool
	// gone leaves the object out of the commit; broken makes its file unreadable.
	gone, broken bool
	// sick is the cluster on which the workload crashes; empty: none.
	sick string
	// only is the cluster that some strategies name.
	only, backup string
}

// pinned tells that taints never move the application.
func (a app) pinned() bool { return a.kind == "StatefulSet" || a.never }

// strategies are placements by name.
var strategies = map[string]string{
	"everywhere": `{}`,
	"gold":       `{clusterAffinity: {labelSelector: {matchLabels: {tier: gold}}}}`,
	"one":        `{clusterAffinity: {clusterNames: [ONLY]}}`,
	"groups":     `{clusterAffinities: [{affinityName: first, clusterNames: [ONLY]}, {affinityName: second, clusterNames: [BACKUP]}, {affinityName: any}]}`,
	"static":     `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, weightPreference: {staticWeightList: [{targetCluster: {clusterNames: [ONLY]}, weight: 2}, {targetCluster: {labelSelector: {matchLabels: {tier: gold}}}, weight: 1}]}}}`,
	"equal":      `{replicaScheduling: {replicaSchedulingType: Divided}}`,
	"dynamic":    `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, weightPreference: {dynamicWeight: AvailableReplicas}}}`,
	"aggregated": `{replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Aggregated}}`,
	"two":        `{spreadConstraints: [{spreadByField: cluster, minGroups: 1, maxGroups: 2}]}`,
	"regions":    `{spreadConstraints: [{spreadByField: region, minGroups: 2, maxGroups: 2}, {spreadByField: cluster, minGroups: 2, maxGroups: 2}]}`,
}

// strategyNames are the names of strategies, sorted.
var strategyNames = func() []string {
	var names []string
	for name := range strategies {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

// newApps draws the applications that a run begins with: with their two namespaces at least minObjects.
func newApps(r *rand.Rand, clusters []string) []app {
	var apps []app
	add := func(kind, prefix string, n int) {
		for i := range n {
			k := r.IntN(len(clusters))
			a := app{
				kind: kind, namespace: []string{"shop", "bank"}[r.IntN(2)], name: prefix + strconv.Itoa(i+1), version: 1,
				replicas: 1 + r.IntN(7), strategy: strategyNames[r.IntN(len(strategyNames))],
				only: clusters[k], backup: clusters[(k+1)%len(clusters)],
			}
			a.never = kind == "Deployment" && r.IntN(6) == 0
			apps = append(apps, a)
		}
	}
	add("Deployment", "web", 8)
	add("ConfigMap", "config", 5)
	add("StatefulSet", "db", 2)
	add("Service", "svc", 2)
	add("Secret", "key", 1)
	return apps
}

// commit is what a repository holds at one moment.
type commit struct {
	apps []app
	// empty commits hold no file at all.
	empty bool
}

func (c commit) clone() commit { return commit{apps: slices.Clone(c.apps), empty: c.empty} }

// app returns an application by name; nil where there is none.
func (c *commit) app(name string) *app {
	for i := range c.apps {
		if c.apps[i].name == name {
			return &c.apps[i]
		}
	}
	return nil
}

// broken tells that a file cannot be read.
func (c commit) broken() bool {
	return slices.ContainsFunc(c.apps, func(a app) bool { return a.broken && !a.gone })
}

// files are the commit as a folder.
func (c commit) files() fstest.MapFS {
	files := fstest.MapFS{}
	if c.empty {
		return files
	}
	put := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text)} }
	for _, ns := range []string{"shop", "bank"} {
		put("namespaces/"+ns+".yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+ns+"}\n")
	}
	for _, a := range c.apps {
		if a.gone {
			continue
		}
		text := a.object()
		if a.broken {
			text += "\n  - this: [is not\nYAML"
		}
		put("apps/"+a.name+".yaml", text)
		put("policies/"+a.name+".yaml", a.policy())
		if a.sick != "" {
			put("overrides/"+a.name+".yaml", a.override())
		}
	}
	return files
}

func (a app) object() string {
	meta := fmt.Sprintf("metadata: {name: %s, namespace: %s", a.name, a.namespace)
	if a.never {
		meta += `, annotations: {armada-sync.io/failover: never}`
	}
	meta += "}\n"
	pod := fmt.Sprintf(`
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: main, image: "example.com/%[1]s:%[2]d", resources: {requests: {cpu: 100m, memory: 64Mi}}}]}
`, a.name, a.version)
	switch a.kind {
	case "Deployment":
		return "apiVersion: apps/v1\nkind: Deployment\n" + meta + fmt.Sprintf("spec:\n  replicas: %d", a.replicas) + pod
	case "StatefulSet":
		return "apiVersion: apps/v1\nkind: StatefulSet\n" + meta + fmt.Sprintf("spec:\n  replicas: %d\n  serviceName: %s", a.replicas, a.name) + pod
	case "Service":
		return "apiVersion: v1\nkind: Service\n" + meta + fmt.Sprintf("spec: {selector: {app: %s}, ports: [{name: http, port: %d}]}\n", a.name, 8000+a.version)
	case "Secret":
		return "apiVersion: v1\nkind: Secret\n" + meta + fmt.Sprintf("stringData: {version: \"%d\"}\n", a.version)
	}
	return "apiVersion: v1\nkind: ConfigMap\n" + meta + fmt.Sprintf("data: {version: \"%d\", name: %s}\n", a.version, a.name)
}

func (a app) apiVersion() string {
	if a.kind == "Deployment" || a.kind == "StatefulSet" {
		return "apps/v1"
	}
	return "v1"
}

func (a app) policy() string {
	placement := strings.NewReplacer("ONLY", a.only, "BACKUP", a.backup).Replace(strategies[a.strategy])
	return fmt.Sprintf(`apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  resourceSelectors: [{apiVersion: %[3]s, kind: %[4]s, name: %[1]s}]
  failover: {application: {decisionConditions: {tolerationSeconds: 30}}}
  placement: %[5]s
`, a.name, a.namespace, a.apiVersion(), a.kind, placement)
}

// override makes the workload crash on one cluster.
func (a app) override() string {
	return fmt.Sprintf(`apiVersion: policy.karmada.io/v1alpha1
kind: OverridePolicy
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  resourceSelectors: [{apiVersion: %[3]s, kind: %[4]s, name: %[1]s}]
  overrideRules:
    - targetCluster: {clusterNames: [%[5]s]}
      overriders: {annotationsOverrider: [{operator: add, value: {"%[6]s": crash}}]}
`, a.name, a.namespace, a.apiVersion(), a.kind, a.sick, simfleet.BehaviourAnnotation)
}
