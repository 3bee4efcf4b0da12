package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPoll is how often a waiting process looks whether a lock is free.
const lockPoll = 200 * time.Millisecond

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")

// tryLock takes the lock on a file or returns errLocked. The lock belongs to
// the open file: it is held until the file is closed in this process and in
// every child that inherited it, however they end.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %q: %w", path, err)
	}
}

// lockFile takes the lock on a file and waits for it as long as ctx allows;
// waiting is called once when it has to.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for first := true; ; first = false {
		file, err := tryLock(path)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %q: %w", path, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
