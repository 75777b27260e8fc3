//go:build unix

package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// lockDir is where programs tell one another which ports they use (FHS, /var/lock:
// LCK.. and the name of the device): minicom and cu keep to it.
const lockDir = "/var/lock"

// locks are the lock files of this process, which may open a port more than once.
var locks = struct {
	sync.Mutex
	held map[string]int
}{held: make(map[string]int)}

// An inUse error says that another program has a port.
type inUse struct {
	port, file string
	pid        int
}

func (e *inUse) Error() string {
	who := fmt.Sprintf("process %d", e.pid)
	if e.pid == 0 {
		who = "another program"
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", e.pid)); err == nil {
		who += " (" + strings.TrimSpace(string(name)) + ")"
	}
	return fmt.Sprintf("%s is used by %s: close it there, or use \"muster rig console\", which shares a board by its lease; %s says so%s", e.port, who, e.file, probed())
}

// Unwrap makes it an error of its kind.
func (e *inUse) Unwrap() error { return ErrBusy }

// lockPort makes the lock file of a port, and returns what removes it. Where there is
// no such folder, or it may not be written to, there is none. A lock file whose
// process is gone counts for nothing.
func lockPort(dir, port string) (unlock func(), err error) {
	name := port
	if real, err := filepath.EvalSymlinks(port); err == nil {
		name = real
	}
	if filepath.Dir(name) != "/dev" {
		return func() {}, nil // not a port that others would look for
	}
	return lockFile(filepath.Join(dir, "LCK.."+filepath.Base(name)), port)
}

func lockFile(file, port string) (unlock func(), err error) {
	locks.Lock()
	defer locks.Unlock()
	if locks.held[file] == 0 {
		made, err := makeLock(file, port)
		if err != nil || !made {
			return func() {}, err
		}
	}
	locks.held[file]++
	var once sync.Once
	return func() {
		once.Do(func() {
			locks.Lock()
			defer locks.Unlock()
			if locks.held[file]--; locks.held[file] == 0 {
				delete(locks.held, file)
				_ = os.Remove(file) // whoever removed it before had a reason
			}
		})
	}, nil
}

// holder returns the other process that holds a lock file, 0 for none that lives.
func holder(file string) (pid int) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 || pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0
	}
	return pid
}

func makeLock(file, port string) (made bool, err error) {
	if pid := holder(file); pid != 0 { // asked again and again: without a trace
		return false, &inUse{port, file, pid}
	}
	// Linked under its name, it is there at once and whole.
	temporary := filepath.Join(filepath.Dir(file), fmt.Sprintf("TMP..muster-%d", os.Getpid()))
	if err := os.WriteFile(temporary, fmt.Appendf(nil, "%10d\n", os.Getpid()), 0o644); err != nil { //nolint:gosec // others read it
		return false, nil //nolint:nilerr // no folder for it, or no right to write there
	}
	defer os.Remove(temporary) //nolint:errcheck // it is nobody's
	for range 3 {
		err := os.Link(temporary, file)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, nil // a folder without links
		}
		if pid := holder(file); pid != 0 {
			return false, &inUse{port, file, pid}
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, nil //nolint:nilerr // a dead one of somebody else: it stays, and says nothing
		}
	}
	return false, nil
}
