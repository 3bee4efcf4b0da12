package hub

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease that the leader holds.
const leaseName = "armada-sync"

// The timings of leadership. A leader that dies is followed after leaseDuration and a retry (at most
// 2.2 times retryPeriod); one that ends hands over at once.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 7 * time.Second
	retryPeriod   = 1500 * time.Millisecond
	// lockTimeout bounds one request for the lease: for so long others may have seen it renewed before
	// we know.
	lockTimeout = 2 * time.Second
	// leaseMargin is how long before its end a lease counts as lost: lockTimeout and a second for clocks
	// that run unlike.
	leaseMargin = lockTimeout + time.Second
	// watchInterval is how often a leader looks whether it still is one, for writes in flight; each write
	// asks for itself before it begins.
	watchInterval = 250 * time.Millisecond
)

// errLeaseLost ends a leader that could not renew its lease.
var errLeaseLost = errors.New("the lease was lost")

// lead waits until this replica leads and runs work then. When ctx ends, a standby ends at once and a
// leader when work has returned, after which the lease is free. The error is that of work, or
// errLeaseLost.
func (c *Controller) lead(ctx context.Context, work func(context.Context, *fence) error) error {
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	lost, lose := context.WithCancelCause(context.WithoutCancel(ctx))
	defer lose(nil)
	var leads atomic.Bool
	var elector *leaderelection.LeaderElector
	f := &fence{lost: lost, leading: func() bool { return elector.IsLeader() && elector.Check(-leaseMargin) == nil }}
	worked := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: c.options.Namespace, Name: leaseName},
			Client:    c.client.leases, LockConfig: resourcelock.ResourceLockConfig{Identity: c.options.Identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true, Name: leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				leads.Store(true)
				working, stop := context.WithCancel(ctx)
				defer stop()
				context.AfterFunc(lost, stop)
				go watchLease(working, f, lose)
				worked <- work(working, f)
				release()
			},
			OnStoppedLeading: func() {
				if holding.Err() == nil {
					lose(errLeaseLost)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("prepare the election: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		if !leads.Load() {
			release()
		}
	})
	defer stop()
	elector.Run(holding)
	if !leads.Load() {
		return ctx.Err()
	}
	err = <-worked
	if errors.Is(context.Cause(lost), errLeaseLost) {
		return errors.Join(errLeaseLost, err)
	}
	return err
}

// watchLease says when the lease is lost though the election has not noticed yet, such as while it waits
// for an answer.
func watchLease(ctx context.Context, f *fence, lose context.CancelCauseFunc) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !f.leading() {
				lose(errLeaseLost)
				return
			}
		}
	}
}
