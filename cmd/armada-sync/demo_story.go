package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// stepTimeout bounds how long one step of the story may take to be seen.
const stepTimeout = 15 * time.Second

// step is one part of the story: what is done, why what follows follows, and how one sees it in the
// clusters.
type step struct {
	title string
	do    func(context.Context) (string, error)
	why   string
	// seen returns an empty string when the clusters show the step, else what is missing.
	seen func(context.Context) string
}

// play plays every step; it fails at the first one that is not seen.
func (d *stage) play(ctx context.Context, w io.Writer) error {
	started := time.Now()
	fmt.Fprintf(w, "%d simulated clusters in %d regions, repository %s\n", len(d.clusters), d.regions(), d.repo.dir)
	steps := d.story()
	for i, s := range steps {
		began := time.Now()
		fmt.Fprintf(w, "\n%d/%d %s\n", i+1, len(steps), s.title)
		did, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		fmt.Fprintf(w, "    %s\n", did)
		if err := d.await(ctx, s.seen); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		fmt.Fprintf(w, "    %s\n    seen in the clusters after %.1fs\n\n", s.why, time.Since(began).Seconds())
		if err := d.table(ctx, w); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\nAll %d steps were seen in the clusters, in %.1fs.\n\n", len(steps), time.Since(started).Seconds())
	return nil
}

func (d *stage) regions() int {
	seen := map[string]bool{}
	for _, c := range d.clusters {
		seen[c.Spec.Region] = true
	}
	return len(seen)
}

// await looks at the clusters after every turn of the engine until the step is seen.
func (d *stage) await(ctx context.Context, seen func(context.Context) string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	missing := "nothing happened"
	for {
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return fmt.Errorf("not seen within %s: %s", stepTimeout, missing)
			}
			return context.Cause(ctx)
		case <-look.C:
			if missing = seen(ctx); missing == "" {
				return nil
			}
		}
	}
}

func (d *stage) story() []step {
	victim := d.clusters[1].Name
	edited := d.clusters[len(d.clusters)-1].Name
	survivors := len(d.clusters) - 1
	return []step{{
		title: "push: a shop, where it goes, and what differs by region",
		do: func(context.Context) (string, error) {
			if err := d.repo.fill(); err != nil {
				return "", err
			}
			hash, err := d.repo.commit("A shop")
			return "commit " + hash + " on main", err
		},
		why: "web is divided evenly over all clusters, cart goes whole to the gold ones;\n    Europe has its own registry and euros (overrides/eu*.yaml), America its own greeting",
		seen: d.all(
			d.webReplicas(len(d.clusters), ""),
			d.everywhere("eu", func(s shopState) string { return differs("image", s.image, "eu.registry.example.com/shop/web:1.4.0") }),
			d.everywhere("eu", func(s shopState) string { return differs("currency", s.currency, "EUR") }),
			d.everywhere("us", func(s shopState) string { return differs("banner", s.banner, "Howdy") }),
			d.everywhere("ap", func(s shopState) string { return differs("currency", s.currency, "USD") }),
		),
	}, {
		title: "push: one region changes",
		do: func(context.Context) (string, error) {
			override, err := shop.ReadFile("shop/overrides/us.yaml")
			if err != nil {
				return "", err
			}
			if err := d.repo.write("overrides/us.yaml", []byte(strings.ReplaceAll(string(override), "Howdy", "Hi there"))); err != nil {
				return "", err
			}
			hash, err := d.repo.commit("Greet America anew")
			return "commit " + hash + ": overrides/us.yaml says BANNER=Hi there", err
		},
		why: "only the clusters in us are written to",
		seen: d.all(
			d.everywhere("us", func(s shopState) string { return differs("banner", s.banner, "Hi there") }),
			d.everywhere("eu", func(s shopState) string { return differs("banner", s.banner, "Welcome") }),
		),
	}, {
		title: "someone edits an object by hand",
		do: func(ctx context.Context) (string, error) {
			return fmt.Sprintf("kubectl patch deployment web: image hacked:latest, on %s", edited), d.edit(ctx, edited)
		},
		why:  "the API server tells within the watch that a field of ours has another owner; it is put back",
		seen: d.putBack(edited),
	}, {
		title: "a cluster dies",
		do: func(context.Context) (string, error) {
			d.fleet.Cluster(victim).Stop()
			return victim + " no longer answers", nil
		},
		why:  fmt.Sprintf("after a threshold of 1s it is tainted %s, after a toleration of 1s\n    its share of web is divided over the others (in earnest: 30s and 300s)", v1alpha1.TaintUnreachable),
		seen: d.webReplicas(survivors, victim),
	}, {
		title: "it comes back",
		do: func(context.Context) (string, error) {
			return victim + " answers again", d.fleet.Cluster(victim).Start()
		},
		why:  "what it holds is compared first; once it has been ready for 1s, it takes its share again",
		seen: d.webReplicas(len(d.clusters), ""),
	}}
}

// shopState is what one cluster shows of the shop.
type shopState struct {
	web, webReady, cart     int32
	hasWeb, hasCart         bool
	image, banner, currency string
}

// look reads the shop in one cluster.
func (d *stage) look(ctx context.Context, cluster string) (shopState, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := kubernetes.NewForConfig(d.fleet.Cluster(cluster).RESTConfig())
	if err != nil {
		return shopState{}, err
	}
	deployments, err := client.AppsV1().Deployments("shop").List(ctx, metav1.ListOptions{})
	if err != nil {
		return shopState{}, err
	}
	var s shopState
	for _, dep := range deployments.Items {
		replicas := replicasOf(dep)
		switch dep.Name {
		case "web":
			s.hasWeb, s.web, s.webReady = true, replicas, dep.Status.ReadyReplicas
			s.image = dep.Spec.Template.Spec.Containers[0].Image
			for _, e := range dep.Spec.Template.Spec.Containers[0].Env {
				if e.Name == "BANNER" {
					s.banner = e.Value
				}
			}
		case "cart":
			s.hasCart, s.cart = true, replicas
		}
	}
	maps, err := client.CoreV1().ConfigMaps("shop").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=shop"})
	if err != nil {
		return shopState{}, err
	}
	for _, m := range maps.Items {
		s.currency = m.Data["currency"]
	}
	return s, nil
}

func replicasOf(d appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// all is seen when each part is.
func (d *stage) all(parts ...func(context.Context) string) func(context.Context) string {
	return func(ctx context.Context) string {
		for _, p := range parts {
			if missing := p(ctx); missing != "" {
				return missing
			}
		}
		return ""
	}
}

// everywhere is seen when each cluster of a region shows it.
func (d *stage) everywhere(region string, check func(shopState) string) func(context.Context) string {
	return func(ctx context.Context) string {
		for _, c := range d.clusters {
			if c.Spec.Region != region {
				continue
			}
			s, err := d.look(ctx, c.Name)
			if err != nil {
				return fmt.Sprintf("%s: %v", c.Name, err)
			}
			if missing := check(s); missing != "" {
				return c.Name + ": " + missing
			}
		}
		return ""
	}
}

// webReplicas is seen when ten ready replicas of web stand on n clusters, without one that is away.
func (d *stage) webReplicas(n int, away string) func(context.Context) string {
	return func(ctx context.Context) string {
		replicas, ready, clusters := int32(0), int32(0), 0
		for _, c := range d.clusters {
			if c.Name == away {
				continue
			}
			s, err := d.look(ctx, c.Name)
			if err != nil {
				return fmt.Sprintf("%s: %v", c.Name, err)
			}
			if s.hasWeb {
				clusters++
				replicas += s.web
				ready += s.webReady
			}
		}
		want := min(n, demoReplicas)
		if replicas == demoReplicas && ready == demoReplicas && clusters == want {
			return ""
		}
		return fmt.Sprintf("web has %d replicas (%d ready) on %d clusters, want %d on %d", replicas, ready, clusters, demoReplicas, want)
	}
}

// demoReplicas is spec.replicas of the sample's web.
const demoReplicas = 10

func differs(what, got, want string) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s is %q, want %q", what, got, want)
}

// edit does what a person with kubectl would.
func (d *stage) edit(ctx context.Context, cluster string) error {
	client, err := kubernetes.NewForConfig(d.fleet.Cluster(cluster).RESTConfig())
	if err != nil {
		return err
	}
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"hacked:latest"}]}}}}`
	_, err = client.AppsV1().Deployments("shop").Patch(ctx, "web", types.StrategicMergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "kubectl-patch"})
	return err
}

// putBack is seen when the edited image is the desired one again.
func (d *stage) putBack(cluster string) func(context.Context) string {
	return func(ctx context.Context) string {
		s, err := d.look(ctx, cluster)
		if err != nil {
			return err.Error()
		}
		if strings.HasSuffix(s.image, "registry.example.com/shop/web:1.4.0") {
			return ""
		}
		return fmt.Sprintf("%s runs %q", cluster, s.image)
	}
}

// table prints workloads × clusters as the clusters themselves tell.
func (d *stage) table(ctx context.Context, w io.Writer) error {
	const most = 12
	shown := d.clusters[:min(len(d.clusters), most)]
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := [][]string{{"   "}, {"    web"}, {"    cart"}, {"    currency"}, {"    banner"}}
	for _, c := range shown {
		s, err := d.look(ctx, c.Name)
		rows[0] = append(rows[0], c.Name)
		if err != nil {
			for i := range rows[1:] {
				rows[i+1] = append(rows[i+1], "away")
			}
			continue
		}
		rows[1] = append(rows[1], count(s.hasWeb, s.web))
		rows[2] = append(rows[2], count(s.hasCart, s.cart))
		rows[3] = append(rows[3], s.currency)
		rows[4] = append(rows[4], s.banner)
	}
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	if len(d.clusters) > most {
		fmt.Fprintf(t, "    and %d more clusters\n", len(d.clusters)-most)
	}
	return t.Flush()
}

func count(there bool, n int32) string {
	if !there {
		return "-"
	}
	return fmt.Sprint(n)
}

// follow says what happens until the context ends: one line for each revision and for each cluster
// that is written to.
func (d *stage) follow(ctx context.Context, w io.Writer) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(w, "\nStopping; the simulated clusters go with it.")
			return
		case c := <-d.cycles:
			if line := describeCycle(c); line != "" && line != last {
				fmt.Fprintln(w, line)
				last = line
			}
		}
	}
}

// describeCycle is a line on what a plan changes; empty when that is nothing.
func describeCycle(c engine.Cycle) string {
	counts := map[v1alpha1.Action]int{}
	var clusters []string
	for _, cluster := range c.Plan.Clusters {
		touched := false
		for _, o := range cluster.Objects {
			if o.Action != v1alpha1.ActionUnchanged && o.Action != v1alpha1.ActionSkip {
				counts[o.Action]++
				touched = true
			}
		}
		if touched {
			clusters = append(clusters, cluster.Name)
		}
	}
	if len(clusters) == 0 {
		return ""
	}
	return fmt.Sprintf("%s  +%d ~%d -%d on %s", time.Now().Format(time.TimeOnly), counts[v1alpha1.ActionCreate],
		counts[v1alpha1.ActionConfigure], counts[v1alpha1.ActionPrune], strings.Join(clusters, ", "))
}
