package render

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/expression"
)

// Options change how much a Renderer remembers, not what it gives.
type Options struct {
	// CacheBytes bounds what is remembered, counted as JSON; in memory an object takes about ten
	// times that. Default 64 MiB.
	CacheBytes int64
}

const defaultCacheBytes = 64 << 20

// Renderer compiles sets of override policies and remembers by content what they gave, across sets:
// a new revision costs what changed in it. It may be used from several goroutines.
type Renderer struct {
	memo        *memo
	scheme      func() (*runtime.Scheme, error)
	environment func() (*expression.Environment, error)
}

// NewRenderer returns a renderer that remembers nothing yet.
func NewRenderer(o Options) *Renderer {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	return &Renderer{
		memo:        newMemo(o.CacheBytes),
		scheme:      sync.OnceValues(builtinScheme),
		environment: sync.OnceValues(expressionEnvironment),
	}
}
