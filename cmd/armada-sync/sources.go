package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/render/build/sops"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// treeBuilder builds for the engine as for plan and preview.
type treeBuilder struct {
	*build.Builder
	// keys are those that a source's encrypted files are opened with.
	keys func(context.Context, v1alpha1.GitSource) (sops.Decrypter, error)
}

func (b treeBuilder) Build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	keys, err := b.keys(ctx, s)
	if err != nil {
		return render.Tree{}, err
	}
	return buildTree(ctx, b.Builder, engine.SourceID(s), s, keys, content)
}

// WithSecrets returns a builder that takes its keys from the Secrets that the sources name.
func (b treeBuilder) WithSecrets(read func(ctx context.Context, namespace, name string) (map[string][]byte, error)) engine.Builder {
	b.keys = func(ctx context.Context, s v1alpha1.GitSource) (sops.Decrypter, error) {
		return secretKeys(ctx, s, read)
	}
	return b
}

// buildTree builds what a source holds at a revision.
func buildTree(
	ctx context.Context, b *build.Builder, name string, s v1alpha1.GitSource, keys sops.Decrypter, content *source.Tree,
) (render.Tree, error) {
	return b.Build(ctx, content, build.Options{
		Source: name, Revision: content.Revision().String(), Path: s.Spec.Path,
		DefaultNamespace: s.Spec.TargetNamespace, Limits: s.Spec.Limits, Keys: keys, Variables: s.Spec.Variables,
		RequireEncryption: s.Spec.Decryption != nil && s.Spec.Decryption.Required,
	})
}

// readCredentials reads a credentials file; none has no credentials.
func readCredentials(base, file string) (source.Credentials, error) {
	if file == "" {
		return source.Credentials{}, nil
	}
	return source.ReadCredentialsFile(relativeTo(base, file))
}

func limitsOf(l *v1alpha1.SourceLimits) source.Limits {
	var limits source.Limits
	if l == nil {
		return limits
	}
	if l.MaxFileBytes != nil {
		limits.MaxFileBytes = *l.MaxFileBytes
	}
	if l.MaxTotalBytes != nil {
		limits.MaxTotalBytes = *l.MaxTotalBytes
	}
	if l.MaxFiles != nil {
		limits.MaxEntries = int(*l.MaxFiles)
	}
	return limits
}

// knownHostsFiles are those that ssh itself reads.
func knownHostsFiles() []string {
	files := []string{"/etc/ssh/ssh_known_hosts"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
	}
	return files
}
