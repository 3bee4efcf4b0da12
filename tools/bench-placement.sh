#!/bin/sh
# Runs the benchmarks of pkg/placement and prints them as a table beside what is to be reached and what
# Karmada's scheduler core took for the like on such a machine (for orientation: it does other work, too).
# COUNT is how often each piece of work is done at least, as go test -benchtime has it.
set -eu
go test -run '^$' -bench 'Decision|Grades|Webster|Fleet' -benchtime "${COUNT:-1s}" -timeout 30m ./pkg/placement/ |
	awk '
	function row(name, karmada, target,    i, wall, cpu, peak, moved, ratio, verdict) {
		for (i = 2; i < NF; i++) {
			if ($(i + 1) == "ms/each") wall = $i
			if ($(i + 1) == "cpu-ms/each") cpu = $i
			if ($(i + 1) == "peak-MB") peak = ", at most " int($i) " MB"
			if ($(i + 1) == "moved/op") moved = ", " int($i) " move"
		}
		ratio = karmada == "" ? "" : sprintf("%.0f×", karmada / cpu)
		verdict = cpu <= target ? "reached" : "MISSED"
		printf "%-44s %10.4f %10.4f %10g %10s %8s  %s%s%s\n", name, wall, cpu, target, karmada, ratio, verdict, peak, moved
	}
	BEGIN { printf "%-44s %10s %10s %10s %10s %8s\n", "ms for each", "clock", "processor", "target", "Karmada", "ratio" }
	/^BenchmarkDecision\/Regions8to10\/1000/ { row("20 regions, choose 8 to 10, 1000 clusters", 237, 1); next }
	/^BenchmarkDecision\/Regions8to10/ { row("20 regions, choose 8 to 10, 100 clusters", 237, 1); next }
	/^BenchmarkDecision.*\/1000/ { split($1, p, "/"); row("decision, " p[2] ", 1000 clusters", "", 0.5); next }
	/^BenchmarkDecision/ { split($1, p, "/"); row("decision, " p[2] ", 100 clusters", 3.3, 0.05); next }
	/^BenchmarkGrades/ { row("node grades, 10 clusters of 500 nodes", 35000, 0.2); next }
	/^BenchmarkWebster/ { split($1, p, "/"); row("divide 10,000 over 1000 clusters, " p[2], 7.6, 0.2); next }
	/^BenchmarkFleet\/from/ { row("10,000 workloads on 1000, from nothing", "", 8000); next }
	/^BenchmarkFleet\/after/ { row("the same after one taint", "", 200); next }
	/^(FAIL|panic)|---/ { print; bad = 1 }
	END { exit bad }'
