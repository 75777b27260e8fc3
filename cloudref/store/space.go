package store

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
)

// spaceInterval is how often the free space is looked up while writing.
const spaceInterval = 200 * time.Millisecond

// A space watches the free space of a disk. A NATS server that meets a full
// disk gives up JetStream until it is started again, so writes stop before.
type space struct {
	dir  string
	free int64 // at least, in bytes

	// broken returns why the server stores nothing, empty if it does.
	broken func() string

	checked atomic.Int64 // when, in nanoseconds
	full    atomic.Bool
}

// brokenDisk is the error of a store whose disk has failed.
func brokenDisk(why string) error {
	return fmt.Errorf("%w: the disk has failed: %s: repair it; when it can be written again, so is here; nothing that was acknowledged is lost", ErrUnavailable, why)
}

// check returns an error that wraps ErrFull when writes must stop.
func (s *space) check(now time.Time) error {
	if why := s.broken(); why != "" {
		return brokenDisk(why)
	}
	if last := s.checked.Load(); now.UnixNano()-last > int64(spaceInterval) && s.checked.CompareAndSwap(last, now.UnixNano()) {
		var fs syscall.Statfs_t
		err := syscall.Statfs(s.dir, &fs)
		s.full.Store(err == nil && int64(fs.Bavail)*int64(fs.Bsize) < s.free) //nolint:unconvert // an int32 on 32-bit systems
	}
	if s.full.Load() {
		return fmt.Errorf("%w %s: less than %d MiB; free some", ErrFull, s.dir, s.free>>20)
	}
	return nil
}
