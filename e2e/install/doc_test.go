// Package install_test shows on real clusters what a hub is installed with, and that clusters join and
// leave it with the rights that are documented and nothing more.
package install_test
