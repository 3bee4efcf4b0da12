package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// What digestOf says of things that are no files.
const (
	digestAbsent = ""
	digestFolder = "folder"
	digestOther  = "no regular file"
)

// digestOf identifies what is at a path: a file's content, a folder as such (not what is in it), or
// nothing.
func digestOf(files fs.FS, name string) string {
	info, err := lstat(files, name)
	switch {
	case err != nil:
		return digestAbsent
	case info.IsDir():
		return digestFolder
	case !info.Mode().IsRegular():
		return digestOther
	}
	if d, ok := files.(Digester); ok {
		return d.Digest(name)
	}
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return digestAbsent
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// lstat describes what is at a path without following a symbolic link there.
func lstat(files fs.FS, name string) (fs.FileInfo, error) { return fs.Lstat(files, name) }

// contentDigest identifies everything below a folder: names, kinds and contents.
func contentDigest(files fs.FS, dir string) string {
	if d, ok := files.(Digester); ok {
		return d.Digest(dir)
	}
	sum := sha256.New()
	err := fs.WalkDir(files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q %s\n", name, digestOf(files, name))
		return nil
	})
	if err != nil {
		return digestAbsent
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}
