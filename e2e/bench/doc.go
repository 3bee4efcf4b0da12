// Package bench measures how fast objects get onto a real API server, beside the fastest way there is, bare
// apply requests with as many in flight, and beside the library that Flux applies with; then what the
// running controller asks of that API server, by its audit log. It prints tables. Counts of requests are
// held to their targets; times are not, since a loaded machine says little about the code: the ratio
// within a round says most.
//
//	go tool task bench:apply
package bench
