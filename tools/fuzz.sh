#!/bin/sh
# Runs every fuzz target of the module for the given time, one after another.
set -eu
for package in $(go list ./...); do
	dir=$(go list -f '{{.Dir}}' "$package")
	targets=$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort) || true
	for target in $targets; do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package"
	done
done
