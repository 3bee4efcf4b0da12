package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// maxEvents is how many events one report may make: who needs more looks at the conditions.
const maxEvents = 10

// maxNote bounds the message of an event, in bytes; Kubernetes takes 1024.
const maxNote = 1000

// events tells of problems that are new and of those that are solved, on the GitSource or Cluster that they
// concern. What stands when a leader begins is no news.
func (r *reporter) events(ctx context.Context, problems []engine.Problem) error {
	now := map[string]engine.Problem{}
	for _, p := range problems {
		now[strings.Join([]string{p.Source, p.Cluster, p.Object, p.At, p.ID}, "\x00")] = p
	}
	before := r.standing
	r.standing = now
	if r.first {
		r.first = false
		return nil
	}
	made := 0
	for _, turn := range []struct {
		from, not map[string]engine.Problem
		kind      string
	}{{now, before, corev1.EventTypeWarning}, {before, now, corev1.EventTypeNormal}} {
		for _, key := range slices.Sorted(maps.Keys(turn.from)) {
			if _, both := turn.not[key]; both || made >= maxEvents {
				continue
			}
			sent, err := r.event(ctx, turn.from[key], turn.kind)
			if err != nil {
				return err
			}
			if sent {
				made++
			}
		}
	}
	return nil
}

// event makes one event; sent is false where there is no object to tell it of.
func (r *reporter) event(ctx context.Context, p engine.Problem, kind string) (sent bool, err error) {
	about, found := r.regarding(p)
	if !found {
		return false, nil
	}
	reason, note := "Problem", strings.TrimSpace(strings.Join([]string{p.Object, p.At, p.Reason}, " "))
	if p.Source != "" && p.Cluster != "" {
		note = "on " + p.Cluster + ": " + note
	}
	if kind == corev1.EventTypeNormal {
		reason, note = "Solved", "solved: "+note
	}
	if err := r.writer.limiter.Wait(ctx); err != nil {
		return false, err
	}
	namespace := about.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	at := metav1.Now()
	_, err = r.client.core.Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: r.eventName(about.Name), Namespace: namespace},
		InvolvedObject: about, Type: kind, Reason: reason, Message: shortened(note, maxNote),
		FirstTimestamp: at, LastTimestamp: at, Count: 1, Source: corev1.EventSource{Component: fieldManager}, ReportingController: fieldManager,
	}, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return false, fmt.Errorf("make an event about %s %q: %w", about.Kind, about.Name, err)
	}
	return true, nil
}

// regarding is the object that a problem concerns: its source, else its cluster, else what stands for the
// whole fleet.
func (r *reporter) regarding(p engine.Problem) (corev1.ObjectReference, bool) {
	for _, s := range list[v1alpha1.GitSource](r.watcher.sources) {
		if p.Source != "" && engine.SourceID(*s) == p.Source {
			return involved(v1alpha1.KindGitSource, s.Namespace, s.Name, s.UID), true
		}
	}
	for _, c := range list[v1alpha1.Cluster](r.watcher.clusters) {
		if p.Cluster != "" && c.Name == p.Cluster {
			return involved(v1alpha1.KindCluster, "", c.Name, c.UID), true
		}
	}
	if p.ID == engine.ProblemFailoverVeto || p.ID == engine.ProblemFailoverPaused || p.Cluster == "" && p.ID == conditionDiscoveryIncomplete {
		return r.wholeFleet(), true
	}
	return corev1.ObjectReference{}, false
}

// wholeFleet is the object that problems of the whole fleet concern: the Config, else the namespace of the
// controller.
func (r *reporter) wholeFleet() corev1.ObjectReference {
	for _, c := range list[v1alpha1.Config](r.watcher.configs) {
		if c.Name == configName {
			return involved(v1alpha1.KindConfig, "", c.Name, c.UID)
		}
	}
	about := involved("Namespace", "", r.watcher.namespace, "")
	about.APIVersion = "v1"
	return about
}

// eventName is one that no other event has: two may be made at the same moment.
func (r *reporter) eventName(about string) string {
	r.made++
	return fmt.Sprintf("%s.%x.%x", about, time.Now().UnixNano(), r.made)
}

func involved(kind, namespace, name string, uid types.UID) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: kind, Namespace: namespace, Name: name, UID: uid}
}
