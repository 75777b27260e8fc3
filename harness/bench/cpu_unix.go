//go:build unix

package bench

import (
	"syscall"
	"time"
)

// cpuTime returns the CPU time of this process so far, that of the kernel for it
// included.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic("bench: getrusage of this process: " + err.Error()) // there is no such error
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
