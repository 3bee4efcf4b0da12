package fleet

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// Backup stops the API server and etcd, copies etcd's data, and starts both again. It returns what Restore
// takes. The copy lies in the cluster's folder and ends with the fleet.
func (c *Cluster) Backup(ctx context.Context) (backup string, err error) {
	backup = c.path("etcd.backup")
	return backup, c.offline(ctx, func() error { return copyOver(backup, c.path("etcd")) })
}

// Restore has the cluster go on from a backup, as if nothing had happened since: resource versions that were
// given out since are given out a second time.
func (c *Cluster) Restore(ctx context.Context, backup string) error {
	return c.offline(ctx, func() error { return copyOver(c.path("etcd"), backup) })
}

// offline does something while neither the API server nor etcd runs.
func (c *Cluster) offline(ctx context.Context, do func() error) error {
	if err := c.StopAPIServer(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	if err := c.process(etcdPart).Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop etcd of %q: %w", c.Name, err)
	}
	if err := do(); err != nil {
		return err
	}
	if err := c.run(etcdPart); err != nil {
		return err
	}
	if err := c.await(ctx, etcdPart, c.dialEtcd); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// copyOver replaces a folder by a copy of another.
func copyOver(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}
