// Package placement decides which clusters a workload goes to and how many replicas each gets.
//
// It is a pure function from requests, a fleet and previous decisions to decisions: the same bytes
// for the same input, whatever its order. Every cluster of the fleet is in every answer, chosen
// with its score and share or rejected by the first filter that rejected it, with a reason.
//
// The path of one request is decide in schedule.go: stand, filter, score, select, divide. Filters
// stand in one ordered list in filter.go and scorers in one in scorer.go; capacity is in
// capacity.go, the choice under spread constraints in spread.go, the division in divide.go and
// webster.go.
package placement
