package serial

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Hold locks a port that this process has just opened, as picocom, pyserial and
// Node's serialport (Particle's CLI) lock theirs: with flock on the port itself.
// The error wraps ErrBusy when one of them has it. Unlike TIOCEXCL this holds for
// root, too.
//
// Call release just before the port is closed. Closing alone would leave it locked for
// as long as a copy of the descriptor lives (flock(2)): a program that this process
// starts just then has one until it is loaded.
func Hold(port string) (release func(), err error) {
	release = func() {}
	real, err := filepath.EvalSymlinks(port)
	if err != nil {
		return release, nil //nolint:nilerr // it has just gone: whoever reads it will say so
	}
	ours := descriptors(real)
	for _, fd := range ours {
		switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			// Once: later the number may be another file's.
			return sync.OnceFunc(func() { _ = unix.Flock(fd, unix.LOCK_UN) }), nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return release, nil //nolint:nilerr // a driver without locks
		}
	}
	if len(ours) != 1 {
		return release, nil // it has been open here before, and is locked then
	}
	return release, &inUse{port, "its lock", flockHolder(real)}
}

// descriptors are those under which this process has a file open.
func descriptors(real string) (all []int) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err != nil || to != real {
			continue
		}
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, fd)
		}
	}
	return all
}

// flockHolder returns the process that has locked a file, 0 if that is not told
// (proc(5), /proc/locks: "1: FLOCK ADVISORY WRITE pid major:minor:inode 0 EOF").
func flockHolder(real string) int {
	var s unix.Stat_t
	b, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Stat(real, &s) != nil {
		return 0
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(s.Dev), unix.Minor(s.Dev), s.Ino)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			return max(pid, 0)
		}
	}
	return 0
}
