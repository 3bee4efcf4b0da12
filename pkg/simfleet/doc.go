// Package simfleet simulates Kubernetes clusters in one process: each answers
// the Kubernetes REST API, so that client-go and kubectl work on it, and can be
// slowed, cut off, made to fail and stopped on request.
//
// The API is not imitated. Requests go through the API server's own REST
// handlers (k8s.io/apiserver/pkg/endpoints/handlers), and merging, server-side
// apply included, is done by k8s.io/apimachinery/pkg/util/managedfields with the
// typed schemas of client-go. What is written here is the store below them, the
// defaults and validation of the built-in kinds as far as manifests need them,
// and a small stand-in for the controllers, the kubelet and the garbage
// collector. The suite in e2e/contract says what must hold, and runs on a real
// API server, too; where the two differ, this package is wrong.
//
//	fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "eu-1"}, {Name: "us-1"}}})
//	defer fleet.Close()
//	client, err := dynamic.NewForConfig(fleet.Cluster("eu-1").RESTConfig())
//
// RESTConfig connects in memory, without a socket, so it works inside a
// testing/synctest bubble. Serve and WriteKubeconfig open a loopback port for
// kubectl and other processes.
//
// Inside a bubble, reduce k8s.io/apimachinery's runtime.ErrorHandlers to the
// first in TestMain. The second pauses after errors and keeps the time of the
// last one in a variable of the process, which another bubble may have set to
// years ahead.
//
// Objects are as ready as their annotation simfleet.armada-sync.io/behaviour
// says: ok (the default), hang (never becomes ready) or crash (fails).
package simfleet
