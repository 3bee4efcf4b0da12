// Package register brings clusters into a fleet and takes them out again.
//
// Joining creates an account in the member with the rights of [Rights], asks for a token that expires, and
// stores a kubeconfig and a Cluster on the hub. The account may ask for the next token of its own, so
// that [Renew] needs no administrator; [RenewAt] decides when. Leaving undoes what joining did, and
// removes on request what the hub applied.
package register
