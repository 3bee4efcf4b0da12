package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// serveControl lets commands of this machine talk to the controller of a state folder. What it returns
// ends that.
func serveControl(ctx context.Context, log *slog.Logger, dir string, e *engine.Engine) (func(), error) {
	server, err := control.Listen(ctx, dir)
	if errors.Is(err, control.ErrPathTooLong) {
		// Clusters matter more than commands: the controller goes on without them.
		log.WarnContext(ctx, "commands cannot reach this controller", "reason", err)
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	for _, route := range []func(*control.Server, *engine.Engine){serveFleet, serveOperations, serveDrift, serveExplain, serveSources} {
		route(server, e)
	}
	serveRollback(server, e)
	go func() {
		if err := server.Serve(); err != nil {
			log.ErrorContext(ctx, "commands can no longer reach this controller", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), controlGrace)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			log.WarnContext(ctx, "the control socket was not closed in order", "error", err)
		}
	}, nil
}

// controlGrace is how long requests of commands may go on when the controller ends.
const controlGrace = 2 * time.Second

// controlFlags name a standalone controller.
type controlFlags struct {
	state, config string
}

func (f *controlFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "state folder of a controller on its own (default: that of --config)")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file of a controller on its own, to find its state folder")
	must(cmd.MarkFlagDirname("state"))
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
}

// given tells that the flags ask for a standalone controller.
func (f *controlFlags) given() bool { return f.state != "" || f.config != "" }

// dial connects to the controller that the flags name; without any to that of the default configuration.
func (f *controlFlags) dial(ctx context.Context, s streams) (*control.Client, error) {
	name := "default"
	if f.config != "" {
		cfg, err := readConfiguration(s, f.config)
		if err != nil {
			return nil, err
		}
		name = cfg.Name
	}
	dir, err := stateDir(f.state, name)
	if err != nil {
		return nil, err
	}
	return control.Dial(ctx, dir)
}

// stateDir is the state folder of a configuration where none is given.
func stateDir(dir, configuration string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	base, err := userStateDir()
	if err != nil {
		return "", fmt.Errorf("%w: give one with --state", err)
	}
	return filepath.Join(base, "armada-sync", configuration), nil
}
