// Package kubeconfig decides which kubeconfigs a hub may use.
//
// A kubeconfig can name a program to run, a file to read or a server to send a token to. One from a
// Secret was written by whoever may write that Secret, who need not be somebody that may run programs or
// read files where the controller runs (CVE-2022-24817). So [Load] takes what stands in the document
// itself and refuses the rest unless it is allowed by name.
package kubeconfig
