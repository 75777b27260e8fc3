package tcp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindLate leaves the choice of the port to connect, which needs a port that is
// free for one peer only, where bind needs one that is free for all.
func bindLate(_, _ string, c syscall.RawConn) error {
	var inner error
	if err := c.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); err != nil {
		return err
	}
	return inner
}
