// Package engine is the loop: observe, plan, execute, record. It decides nothing itself.
//
// One goroutine plans. Around it pollers watch the repositories, probers watch the clusters, and
// one worker for each cluster carries that cluster's part of the plan out, so that a dead or slow
// cluster costs the others nothing. Whatever happens, a commit, a lost cluster, a hand edit, a timer,
// leads to the same step: take one snapshot and plan again.
package engine
