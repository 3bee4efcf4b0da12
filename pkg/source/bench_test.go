package source

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// benchRepo has 10,000 files in 200 folders, which do not compress well: a pack
// of about 13 MB.
func benchRepo(b *testing.B) *hosted {
	h := newHosted(b)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		content := make([]byte, 1300)
		for j := range content {
			content[j] = byte(random.Uint32())
		}
		h.write(fmt.Sprintf("apps/%03d/file-%05d.yaml", i%200, i), hex.EncodeToString(content))
	}
	h.commit("all")
	for i := range 50 {
		h.commit(fmt.Sprint("history ", i), "apps/000/history.yaml", fmt.Sprint(i))
	}
	h.push()
	return h
}

// BenchmarkOneCommit is what a push costs: Resolve and Fetch of one new commit
// after a first shallow fetch.
func BenchmarkOneCommit(b *testing.B) {
	h := benchRepo(b)
	web := newGitHTTP(b, h.root())
	signer, identity := gitrepo.NewKey(b)
	shell := newGitSSH(b, signer.PublicKey())
	for name, o := range map[string]Options{
		"https": {URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}},
		"ssh":   {URL: "ssh://git@" + shell.addr + h.bare, Credentials: Credentials{Identity: identity, KnownHosts: shell.knownHosts(shell.host)}},
	} {
		b.Run(name, func(b *testing.B) {
			o.CacheDir = filepath.Join(b.TempDir(), "cache")
			r := newRemote(b, o)
			pull(b, r)
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				h.commit(fmt.Sprint(name, b.N, i), "apps/007/file-00007.yaml", fmt.Sprint(name, b.N, i))
				h.push()
				b.StartTimer()
				pull(b, r)
			}
			b.StopTimer()
			var size int64
			for _, f := range must(filepath.Glob(filepath.Join(r.clone.dir, "objects/pack/*.pack"))) {
				size = max(size, must(os.Stat(f)).Size())
			}
			b.ReportMetric(float64(size)/1e6, "MB-first-pack")
			b.ReportMetric(float64(r.clone.packs), "packs")
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// BenchmarkFirstFetch is a shallow clone of everything, on disk and in memory.
func BenchmarkFirstFetch(b *testing.B) {
	h := benchRepo(b)
	web := newGitHTTP(b, h.root())
	for _, where := range []string{"disk", "memory"} {
		b.Run(where, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				o := Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}}
				if where == "disk" {
					o.CacheDir = filepath.Join(b.TempDir(), "cache")
				}
				pull(b, newRemote(b, o))
			}
		})
	}
}

// BenchmarkTree builds the tree of 10,000 files from a repository on disk, and
// again when one file has changed.
func BenchmarkTree(b *testing.B) {
	h := benchRepo(b)
	b.Run("first", func(b *testing.B) {
		for range b.N {
			pull(b, must(OpenLocal(h.bare, LocalOptions{})))
		}
	})
	b.Run("again", func(b *testing.B) {
		l := must(OpenLocal(h.bare, LocalOptions{}))
		pull(b, l)
		b.ResetTimer()
		for range b.N {
			pull(b, l)
		}
	})
	b.Run("folder", func(b *testing.B) {
		l := must(OpenLocal(h.dir, LocalOptions{}))
		for range b.N {
			pull(b, l)
		}
	})
}
