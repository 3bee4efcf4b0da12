// Package fleet runs real Kubernetes control planes on this machine, for tests
// that must not take a simulation's word.
//
// A cluster is etcd and kube-apiserver and, on request, the controllers, the
// scheduler and a few fake nodes (kwok) on which pods become Running without
// running anything. All of it is built from Go modules by [Build] (no images,
// no downloads beside the module proxy), once per version: about eight minutes
// on two cores, kept in the user's cache folder or in $ARMADA_SYNC_CACHE.
// Run `go run ./e2e/cmd/fleet build` before the first test run, since `go
// test` gives a package ten minutes. Everything listens on loopback only.
//
// A test that needs three members:
//
//	//go:build e2e
//
//	func TestThreeMembers(t *testing.T) {
//		f := fleet.StartT(t, fleet.Options{
//			Names:           []string{"eu-1", "us-1", "ap-1"},
//			WithControllers: true, // Deployments make pods, namespaces go away, garbage is collected
//			WithNodes:       2,    // …and the pods become Running
//		})
//		east := f.Cluster("us-1")
//		client, err := kubernetes.NewForConfig(east.RESTConfig()) // or pass east.Kubeconfig to a command
//		…
//		err = east.StopAPIServer(ctx, syscall.SIGKILL) // the member is gone
//		err = east.StartAPIServer(ctx)                 // same address, same objects
//		events, err := east.AuditEvents()              // who wrote what, by the server's own account
//	}
//
// A pod whose annotation e2e.armada-sync.io/pod says "unready" or "crash" does
// not become ready (stages.yaml); one that asks for more than a node has stays
// Pending.
//
// A test that needs only an API server (server-side apply, watches, conflicts)
// leaves WithControllers out: such a cluster starts in two seconds and takes
// about 300 MB. One hub and three members with everything start in five to ten
// seconds on two cores and take 1.2 GB. Still, share a fleet between the tests
// of a package (a parent test with subtests, or TestMain with
// [Start] and [Fleet.Close]) and give each test a namespace of its own.
//
// Tests that start a fleet stand behind the build tag e2e:
//
//	go test -tags e2e ./e2e/...
//
// The processes end with the test, also when the test binary is killed (on
// Linux; elsewhere only through [Fleet.Close]). [Up] and [Down] are for a fleet
// that outlives the command that started it.
package fleet
