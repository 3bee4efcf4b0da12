#!/bin/sh
# Runs the benchmarks of rendering and prints them as a table beside what is to be reached. Processor time counts, the
# collector's included, so that it does not matter what else the machine does. COUNT is how often each piece of work is
# done at least, as go test -benchtime has it.
set -eu
{
	go test -run '^$' -bench 'Render|OneFile' -benchtime "${COUNT:-1s}" -timeout 30m ./pkg/render/ ./pkg/render/build/
	go test -run '^$' -bench 'IndexMatch' -benchtime "${COUNT:-1s}" ./pkg/api/affinity/
} | awk '
	function value(unit,    i) {
		for (i = 2; i < NF; i++) if ($(i + 1) == unit) return $i
		return -1
	}
	function row(name, got, unit, sense, target,    verdict) {
		verdict = (sense == ">=" ? got >= target : got <= target) ? "reached" : "MISSED"
		printf "%-76s %12.1f %-9s %2s %8g  %s\n", name, got, unit, sense, target, verdict
	}
	BEGIN { printf "%-76s %12s %-9s %11s\n", "what", "measured", "", "target" }
	/^BenchmarkRenderDistinct/ { row("distinct results through json-patch", value("results/cpu-s"), "/cpu-s", ">=", 5000); next }
	/^BenchmarkRenderPairs/ { row("(object, cluster) pairs, 100 clusters, ten override classes", value("pairs/cpu-s"), "/cpu-s", ">=", 40000); next }
	/^BenchmarkIndexMatch/ { row("an object against 1,000 override policies", value("ns/op") / 1000, "µs", "<=", 2); next }
	/^BenchmarkOneFile/ {
		row("one file of 10,000, 100 clusters: build and what it touches", value("cpu-ms/change"), "cpu-ms", "<=", 100)
		row("the same: objects rendered for a change", value("renders/change"), "renders", "<=", 1)
		next
	}
	/^(FAIL|panic)|---/ { print; bad = 1 }
	END { exit bad }'
