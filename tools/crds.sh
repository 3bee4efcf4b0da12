#!/bin/sh
# Writes what is generated from the Go types of pkg/api/v1alpha1: the deep copies, into CODE, and the
# CustomResourceDefinitions of the kinds that live on a hub, into CRDS.
# Usage: crds.sh CODE CRDS, from the root of the repository.
set -eu
code=$1 crds=$2
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
go tool -modfile=tools/go.mod controller-gen object crd paths=./pkg/api/v1alpha1 \
	output:object:dir="$code" output:crd:dir="$all"
# Policies live in Git, and a fleet file is no object: of those kinds there is no definition.
for kind in clusters configs gitsources placements; do
	cp "$all/armada-sync.io_$kind.yaml" "$crds/$kind.yaml"
done
