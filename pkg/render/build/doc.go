// Package build turns the content of a repository into objects and policies: plain YAML and JSON,
// and kustomizations.
//
// What is read: every *.yaml, *.yml and *.json file below a path, but for hidden files and folders.
// A folder with a kustomization file is one unit: it is built as kustomize builds it, and nothing
// else below it is read, whether or not the kustomization lists it. A kustomization that another
// one below the path refers to (a base, a component) is part of that one and not built by itself,
// and a Component never is. Bases may lie anywhere in the repository, also above the path.
//
// What fails, fails alone: a document, file or folder that cannot be read is a problem with its
// place and is listed among the failed units, and the rest of the tree is there.
//
// A repository is untrusted. kustomize runs on a read-only view of the tree with nothing outside
// it: no remote bases or files, no plugins, no Helm, no symbolic links, and bounds on size, number
// and nesting.
package build
