package workers

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// spare is how many descriptors are for other things than devices.
const spare = 128

// sockets is for how many devices there are sockets, with some addresses of their
// own: each takes a descriptor, and a port of one of the addresses.
func sockets(addresses int) int {
	low, high := 32768, 60999
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &low, &high) // else those of Linux
	}
	n := (high - low + 1) * max(1, addresses)
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		n = min(n, int(min(limit.Cur, 1<<30))-spare)
	}
	return max(0, n)
}
