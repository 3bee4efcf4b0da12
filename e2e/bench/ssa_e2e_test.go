//go:build e2e

package bench

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// ssaConcurrency is what Flux's kustomize-controller uses where it is told to hurry.
const ssaConcurrency = 8

// applyAll applies the objects as Flux does: a GET and a dry run of each, side by side, and then the applies.
func applyAll(t *testing.T, cfg *rest.Config, namespace string) time.Duration {
	t.Helper()
	log.SetLogger(logr.Discard())
	kube, err := client.New(rest.CopyConfig(cfg), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	manager := ssa.NewResourceManager(kube, nil, ssa.Owner{Field: "ssa", Group: "bench.example.com"})
	manager.SetConcurrency(ssaConcurrency)
	all := mixed(t, namespace)
	start := time.Now()
	if _, err := manager.ApplyAll(t.Context(), all, ssa.DefaultApplyOptions()); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}
