package fleet

import (
	"context"
	"fmt"
	"syscall"
)

// controllerParts are the parts of the cluster that act through its API server.
func (c *Cluster) controllerParts() []string {
	switch {
	case !c.opts.WithControllers:
		return nil
	case c.nodes == 0:
		return []string{controllerPart}
	}
	return []string{controllerPart, schedulerPart, kwokPart}
}

// RestartControllers ends the controllers and the scheduler at once and starts them again; the nodes go on.
// After a crash of the API server they would ask for it at growing intervals, of up to half a minute; where they
// elect leaders, as on every cluster that is not a test's, they end without it and are started anew.
func (c *Cluster) RestartControllers(ctx context.Context) error {
	for _, part := range c.controllerParts() {
		if part == kwokPart {
			continue // Another one would wait until the leases that this one has of the nodes are over.
		}
		if err := c.process(part).Stop(ctx, syscall.SIGKILL); err != nil {
			return fmt.Errorf("stop %s of %q: %w", part, c.Name, err)
		}
		if err := c.run(part); err != nil {
			return err
		}
	}
	return nil
}
