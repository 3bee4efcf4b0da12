#!/bin/sh
# Runs the benchmark of previews, base and head plan included, and prints it as a table beside what is to be
# reached on two cores. COUNT is how often each is computed, as go test -benchtime has it, and of RUNS runs the
# best counts. Processor time is what is judged: on a machine that does nothing else the clock shows no more,
# and on one that does the clock measures the others.
set -eu
go test -run '^$' -bench 'BenchmarkPreview$' -benchtime "${COUNT:-3x}" -count "${RUNS:-1}" -cpu 2 -timeout 30m ./pkg/plan/ |
	awk '
	function row(size, name, target,    verdict) {
		verdict = cpu[size] <= target ? "reached" : "MISSED"
		printf "%-36s %10.2f %10.2f %10.1f  %s\n", name, best[size], cpu[size], target, verdict
		if (verdict == "MISSED") bad = 1
	}
	/^BenchmarkPreview\// {
		split($1, p, "/"); sub(/-[0-9]+$/, "", p[2])
		wall = ""; used = ""
		for (i = 2; i < NF; i++) {
			if ($(i + 1) == "ns/op") wall = $i / 1e9
			if ($(i + 1) == "cpu-s/op") used = $i
		}
		if (!(p[2] in best) || used < cpu[p[2]]) { best[p[2]] = wall; cpu[p[2]] = used }
	}
	/^(FAIL|panic)|---/ { print; bad = 1 }
	END {
		printf "%-36s %10s %10s %10s\n", "seconds for each", "clock", "processor", "target"
		row("100x12", "100 workloads on 12 clusters", 0.5)
		row("1000x50", "1,000 workloads on 50 clusters", 2)
		row("500x1000", "500 workloads on 1,000 clusters", 10)
		exit bad
	}'
