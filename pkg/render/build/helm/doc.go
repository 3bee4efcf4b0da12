// Package helm renders a Helm chart as "helm template" does, within bounds and without surprises.
//
// Helm's own packages load the chart, its values and its dependencies, which must lie in charts/. The
// templates run here and not in Helm's engine: that one can be given neither a limit nor a way to
// notice a function whose result changes from run to run, and a chart of a stranger needs both.
// Functions, order, and the objects that templates see are those of Helm v4.
//
// Nothing is read but the files that are handed in, nothing is fetched, and no cluster is asked.
package helm
