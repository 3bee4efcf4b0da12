// Package schema decides whether a manifest is what an API server of a given version takes: known
// kinds and fields, the right types, what must be there, and rules of custom kinds.
//
// Kinds of Kubernetes are checked against the OpenAPI documents of its releases, which are embedded
// (see tools/schemas), custom ones against the CustomResourceDefinitions that go along, with the API
// server's own code, and the age of an API is told by the lifecycle methods of k8s.io/api. The package
// would rather say nothing than something false: what it reports, the API server of that version
// refuses.
package schema
