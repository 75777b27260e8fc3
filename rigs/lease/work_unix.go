//go:build unix

package lease

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errInherited is a lock that a program has which inherited it.
var errInherited = errors.New("inherited")

// lockToInherit locks a file that exists. The lock is the open file's: it ends
// when the last process that has it has ended. Closing the file here lets go of
// it only here.
func lockToInherit(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("the lock file of a board: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(errInherited, f.Close())
	}
	return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
}
