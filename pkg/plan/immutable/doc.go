// Package immutable knows which fields of the built-in kinds cannot be changed once an object exists, and in which
// words an API server refuses to. Both are facts of Kubernetes 1.36, from its validation of updates
// (pkg/apis/*/validation): the preview reads the fields, the executor the words.
package immutable
