package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// assumeFlags are the flags that change what is believed of the fleet.
type assumeFlags struct {
	down, labels, versions, files []string
}

func (a *assumeFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&a.down, "assume-down", nil, "suppose that a cluster, or all that match a pattern such as 'eu-*', has long been down; may be given several times")
	f.StringArrayVar(&a.labels, "assume-label", nil, "suppose that a cluster has a label, as CLUSTER=KEY=VALUE; may be given several times")
	f.StringArrayVar(&a.versions, "assume-version", nil, "suppose that a cluster runs a version of Kubernetes, as 'eu-*=1.36'; may be given several times")
	f.StringArrayVar(&a.files, "add-cluster", nil, "suppose that the clusters of this fleet file join; may be given several times")
	must(cmd.MarkFlagFilename("add-cluster", "yaml", "yml", "json"))
}

// read returns what the flags say.
func (a *assumeFlags) read() (plan.Assumptions, error) {
	assume := plan.Assumptions{Down: a.down}
	for _, text := range a.labels {
		l, err := plan.ParseLabelAssumption(text)
		if err != nil {
			return assume, fmt.Errorf("--assume-label %w", err)
		}
		assume.Labels = append(assume.Labels, l)
	}
	for _, text := range a.versions {
		v, err := plan.ParseVersionAssumption(text)
		if err != nil {
			return assume, fmt.Errorf("--assume-version %w", err)
		}
		assume.Versions = append(assume.Versions, v)
	}
	for _, file := range a.files {
		data, err := os.ReadFile(file)
		if err != nil {
			return assume, fmt.Errorf("--add-cluster: %w", err)
		}
		added, problems := plan.ReadFleet(file, data)
		if v1alpha1.Blocked(problems) {
			for _, p := range problems {
				if p.Severity == v1alpha1.SeverityBlocker {
					return assume, fmt.Errorf("--add-cluster: %w", p)
				}
			}
		}
		assume.Added = append(assume.Added, added)
	}
	return assume, nil
}

// apply changes a snapshot as the flags say; without any it stays as it is.
func (a *assumeFlags) apply(snap plan.Snapshot) (plan.Snapshot, error) {
	if len(a.down)+len(a.labels)+len(a.versions)+len(a.files) == 0 {
		return snap, nil
	}
	assume, err := a.read()
	if err != nil {
		return snap, err
	}
	if snap, err = plan.Assume(snap, assume); err != nil {
		return snap, fmt.Errorf("what is assumed of the fleet: %w", err)
	}
	return snap, nil
}
