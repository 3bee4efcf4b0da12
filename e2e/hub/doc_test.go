// Package hub_test tests the controller in a hub on real API servers: the definitions of its kinds, and a
// fleet that is run from objects.
package hub_test
