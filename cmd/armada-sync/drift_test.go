package main

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// editObject is the command of scripts that changes an object of a simulated cluster as somebody else:
//
//	edit CLUSTER MANAGER KIND NAMESPACE/NAME PATCH
//
// PATCH is a JSON merge patch in which IN-3H is the time in three hours.
func editObject(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: edit CLUSTER MANAGER KIND NAMESPACE/NAME PATCH")
	}
	config, err := clientcmd.BuildConfigFromFlags("", ts.MkAbs(args[0]+".kubeconfig"))
	ts.Check(err)
	client, err := dynamic.NewForConfig(config)
	ts.Check(err)
	resource := schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(args[2]) + "s"}
	if args[2] == "Deployment" {
		resource.Group = "apps"
	}
	namespace, name, _ := strings.Cut(args[3], "/")
	patch := strings.ReplaceAll(args[4], "IN-3H", time.Now().Add(3*time.Hour-time.Second).UTC().Format(time.RFC3339))
	_, err = client.Resource(resource).Namespace(namespace).Patch(context.Background(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: args[1]})
	ts.Check(err)
}

// Whatever members call their managers and objects, the table keeps its width and does nothing to a
// terminal.
func TestTheTableOfDriftIsNarrowAndHarmless(t *testing.T) {
	now := time.Unix(1e9, 0)
	since := metav1.NewTime(now.Add(-50 * time.Hour))
	until := metav1.NewTime(now.Add(90 * time.Second))
	long := v1alpha1.ObjectDrift{
		Cluster: strings.Repeat("c", 60) + "-end", Handling: v1alpha1.DriftFought, Until: &until, More: 3,
		ObjectReference: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: strings.Repeat("n", 63), Name: strings.Repeat("ä", 200)},
		Fields: []v1alpha1.DriftField{
			{Path: "/spec/template/spec/containers/0/env/" + strings.Repeat("x", 300) + "/value", Manager: "evil\x1b[31m\u202e\n" + strings.Repeat("m", 100), Since: &since},
			{Path: "/metadata/labels/a"},
		},
	}
	paused := v1alpha1.ObjectDrift{Cluster: "eu-1", Handling: v1alpha1.DriftPaused, ObjectReference: v1alpha1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "a", Name: "b"}}
	table := driftTable([]v1alpha1.ObjectDrift{long, paused}, now)
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	if len(lines) != 5 {
		t.Errorf("%d lines, want 5", len(lines))
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > tableWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, bad := range []string{"\x1b", "\u202e"} {
		if strings.Contains(table, bad) {
			t.Errorf("the table holds %q", bad)
		}
	}
	for _, want := range []string{"/value", "-end", "2d", "fought (1m)", "and 3 more", "paused"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}
