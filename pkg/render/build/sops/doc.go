// Package sops opens files that are encrypted with SOPS, in memory, and tells when someone changed them.
//
// The format is that of SOPS: a data key per file, which a key service opens, values encrypted with AES-GCM
// and bound to their path, and a MAC over all values. The library of SOPS itself is not used: it brings the
// SDKs of every cloud along. Keys for age are read here; other key services fit the same seam.
//
// No error says a value, a part of one or anything that a value was computed to.
package sops
