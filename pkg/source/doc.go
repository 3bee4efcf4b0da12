// Package source turns a place in Git into a [Revision] and a read-only file
// system.
//
// It answers two questions: which commit is wanted now ([Source] Resolve, one
// round trip), and what does that commit hold (Fetch, a [Tree]). A Tree is read
// straight from Git's objects; no work tree is ever written, so a hostile
// repository has no path of ours to escape from.
//
// Two kinds of places exist. [Local] is a plain folder, a Git work tree or a
// bare repository on this machine; [Remote] is a repository behind https, http
// or ssh, of which a bare clone is kept in a folder or in memory. [Open] picks
// one by looking at the location.
//
// Transports are built per Remote and driven session by session. go-git's own
// fetch looks its transport up in a process-wide table
// (plumbing/transport/client.InstallProtocol), which would make two sources with
// different certificates, keys or limits race for one entry; and its fetch on a
// shallow clone sends either the whole tree (with a depth) or nothing that would
// tell a rewritten branch from a grown one. So this package asks go-git for the
// protocol messages, the pack parser and the object store, and does the dozen
// steps between them itself; see [Remote.Fetch].
//
// Errors come in three classes, decided by [Classify] alone. No error, log line
// or String of this package contains a password, token, key or the user
// information of a URL.
package source
