//go:build unix

package transport

import (
	"math"
	"syscall"
)

// DescriptorsMax returns how many files and sockets this process may have open.
//
// Go itself raises the soft limit to the hard one when the program starts.
func DescriptorsMax() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt)) //nolint:unconvert // an int64 on some systems
}
