package doctor

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pathMTU returns what the system knows of the way to the other end of conn.
func pathMTU(conn net.Conn) int {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	c, err := raw.SyscallConn()
	if err != nil {
		return 0
	}
	mtu := 0
	if err := c.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU); err == nil {
			mtu = n
		}
	}); err != nil {
		return 0
	}
	return mtu
}

// refused puts the system's word for a closed port into ours.
func refused(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ErrRefused
	}
	return err
}
