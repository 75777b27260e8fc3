//go:build unix

package cloudref

import (
	"math"
	"syscall"
)

// descriptorsMax returns how many files and sockets this process may have open.
//
// Go itself raises the soft limit to the hard one when the program starts.
func descriptorsMax() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt)) //nolint:unconvert // an int64 on some systems
}
