package lease

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// DefaultDir is where the processes of this host agree: $MUSTER_LOCK_DIR, else a
// folder below /run/lock where everybody may make one, else below /tmp. It does
// not depend on who asks.
func DefaultDir() string {
	if dir := os.Getenv("MUSTER_LOCK_DIR"); dir != "" {
		return dir
	}
	const shared = "/run/lock"
	if info, err := os.Stat(shared); err == nil && info.IsDir() && info.Mode().Perm()&0o002 != 0 {
		return filepath.Join(shared, "muster")
	}
	if info, err := os.Stat("/tmp"); err == nil && info.IsDir() {
		return "/tmp/muster-rig"
	}
	return filepath.Join(os.TempDir(), "muster-rig")
}

// A lockFile is the lock of a board on this host. The lock itself is the
// system's and ends with the process; the content says who has it.
type lockFile struct {
	path string
	lock *flock.Flock
	work *os.File // see [Lease.File]; nil where there is none
}

// open opens the lock file of a key, which everybody may use.
func (d *Desk) open(key string) (*lockFile, error) {
	if err := os.MkdirAll(d.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("the lock files of boards: %w", err)
	}
	_ = os.Chmod(d.Dir, 0o777|os.ModeSticky) // not ours: then it is right already
	path := filepath.Join(d.Dir, name(key)+".lock")
	if err := create(path); err != nil {
		return nil, err
	}
	return &lockFile{path: path, lock: flock.New(path, flock.SetFlag(os.O_RDWR), flock.SetPermissions(0o666))}, nil
}

// create makes a file that everybody may write, if there is none. Linux lets
// nobody create what is another's in a sticky folder, so who opens it afterwards
// must not try to.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil {
		err = errors.Join(f.Chmod(0o666), f.Close()) // whatever the umask says
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the lock file of a board: %w", err)
	}
	return nil
}

// toWork takes the lock that programs inherit. The error is a [*HeldError] when a
// process that was killed has left one that has it still.
func (f *lockFile) toWork(board string) (err error) {
	path := strings.TrimSuffix(f.path, ".lock") + ".work"
	if err := create(path); err != nil {
		return err
	}
	f.work, err = lockToInherit(path)
	if !errors.Is(err, errInherited) {
		return err
	}
	h, ok := f.read()
	if !ok {
		h = Holder{Owner: "somebody", Host: host()}
	}
	h.Left = strings.Join(having(path), ", ")
	if h.Left == "" {
		h.Left = "a program"
	}
	return &HeldError{board, h}
}

// rest lets go of that lock; programs that have it keep it.
func (f *lockFile) rest() error {
	if f.work == nil {
		return nil
	}
	err := f.work.Close()
	f.work = nil
	return err
}

// moment is how long one who looks at a lock may have it.
const moment = 10 * time.Millisecond

// lock takes the lock of a board on this host. A kept lease of the same owner is
// returned; it stays in the file.
func (d *Desk) lock(r Request, h Holder) (f *lockFile, under *Holder, err error) {
	const tries = 20
	for n := range tries {
		if f, err = d.open(r.Key); err != nil {
			return nil, nil, err
		}
		got, err := f.lock.TryLock()
		if err != nil {
			return nil, nil, fmt.Errorf("locking board %s: %w", r.Board, err)
		}
		if got && f.same() {
			break
		}
		holder, ok := f.read()
		if err := f.lock.Close(); err != nil {
			return nil, nil, fmt.Errorf("locking board %s: %w", r.Board, err)
		}
		f = nil
		if got {
			continue // the file was removed meanwhile
		}
		// One who only looks has the lock for a moment too.
		if ok && !holder.Kept && startOf(holder.PID) != "" || n == tries-1 {
			return nil, nil, &HeldError{r.Board, holder}
		}
		time.Sleep(moment)
	}
	if f == nil {
		return nil, nil, fmt.Errorf("locking board %s: something removes %s again and again", r.Board, d.Dir)
	}
	if err := f.toWork(r.Board); err != nil {
		return nil, nil, errors.Join(err, f.lock.Close())
	}
	if old, ok := f.read(); ok && d.alive(old) {
		if old.Owner != h.Owner {
			return nil, nil, errors.Join(&HeldError{r.Board, old}, f.leave())
		}
		under = &old
	}
	if under == nil || h.Kept {
		if err := f.write(h); err != nil {
			return nil, nil, errors.Join(err, f.leave())
		}
	}
	return f, under, nil
}

// alive reports whether a lease whose lock nobody has is valid all the same.
func (d *Desk) alive(h Holder) bool {
	if !h.Kept || !d.now().Before(h.Until) {
		return false
	}
	return h.Bound == 0 || h.Host != host() || startOf(h.Bound) == h.BoundSince
}

// same reports whether the lock is on the file that has its name.
func (f *lockFile) same() bool {
	ours, err := f.lock.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.path)
	return err == nil && os.SameFile(ours, named)
}

// read returns who has it, as far as the file says.
func (f *lockFile) read() (h Holder, ok bool) {
	b, err := os.ReadFile(f.path)
	if err != nil || json.Unmarshal(b, &h) != nil || h.Token == "" {
		return Holder{Owner: "somebody who is just taking or leaving it", Host: host()}, false
	}
	return h, true
}

// write says who has it.
func (f *lockFile) write(h Holder) error {
	if !f.same() {
		return fmt.Errorf("its lock file %s was removed", f.path)
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the lock file of a board: %w", err)
	}
	_, err = file.WriteAt(append(b, '\n'), 0)
	if err == nil {
		err = file.Truncate(int64(len(b)) + 1)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("the lock file of a board: %w", err)
	}
	return nil
}

// release gives the lock back; under leaves the kept lease in the file.
func (f *lockFile) release(under bool) error {
	var err error
	if !under && f.same() {
		err = os.Truncate(f.path, 0)
	}
	return errors.Join(err, f.leave())
}

// leave gives the lock back and keeps the lease.
func (f *lockFile) leave() error { return errors.Join(f.rest(), f.lock.Close()) }

// abandon undoes a lock.
func (f *lockFile) abandon(under *Holder) error {
	if under != nil {
		return errors.Join(f.write(*under), f.leave())
	}
	return f.release(false)
}

// localHolder returns who has a board on this host.
func (d *Desk) localHolder(key string) (h Holder, held bool, err error) {
	f, err := d.open(key)
	if err != nil {
		return h, false, err
	}
	got, err := f.lock.TryLock()
	if err != nil {
		return h, false, fmt.Errorf("looking at a lock: %w", err)
	}
	h, ok := f.read()
	if got {
		err := f.toWork("")
		var left *HeldError
		if errors.As(err, &left) {
			return left.Holder, true, f.lock.Close()
		}
		return h, ok && d.alive(h), errors.Join(err, f.leave())
	}
	h.Kept = false // somebody uses it right now
	return h, true, f.lock.Close()
}

// unkeep ends a kept lease on this host.
func (d *Desk) unkeep(r Request) error {
	f, err := d.open(r.Key)
	if err != nil {
		return err
	}
	got, err := f.lock.TryLock()
	if err != nil {
		return fmt.Errorf("locking board %s: %w", r.Board, err)
	}
	if !got {
		h, _ := f.read()
		return errors.Join(fmt.Errorf("board %s is in use by %s: it is free when that process ends", r.Board, h), f.lock.Close())
	}
	return f.release(false)
}

// id names the folder of lock files among those of all hosts: a random word in a
// file of it. Empty if it cannot be kept there.
func (d *Desk) id() string {
	path := filepath.Join(d.Dir, "desk")
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
		return string(b)
	}
	mine, err := os.CreateTemp(d.Dir, "desk-")
	if err != nil {
		return ""
	}
	_, err = mine.WriteString(token())
	err = errors.Join(err, mine.Chmod(0o644), mine.Close())
	if err == nil {
		_ = os.Link(mine.Name(), path) // fails if another was faster: theirs counts
	}
	_ = os.Remove(mine.Name())
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

func token() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("lease: no random bytes: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

func randomStart() int {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("lease: no random bytes: " + err.Error())
	}
	return int(b[0])<<8 | int(b[1])
}
