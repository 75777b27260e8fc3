package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canShare is whether several sockets can share one port.
const canShare = true

// A rawConn lends out a descriptor: syscall.RawConn, or a member of a Group.
type rawConn interface {
	Control(func(fd uintptr)) error
	Read(func(fd uintptr) bool) error
	Write(func(fd uintptr) bool) error
}

// A socket is one UDP socket.
type socket struct {
	conn          *net.UDPConn // nil in a member of a Group
	raw           rawConn
	local         netip.AddrPort
	connected     bool          // to one peer: packets carry no address
	unspecified   bool          // local is 0.0.0.0 or ::, so packets carry their source
	receiveBuffer int           // bytes, as the kernel gave them
	dropped       atomic.Uint64 // at the time of closing
}

// openSocket binds a socket. Only one that is shared may take a port that other
// sockets of the same user have and share too.
func openSocket(addr netip.AddrPort, shared bool, receiveBuffer int) (*socket, error) {
	conn, err := bind(addr, shared, false)
	if errors.Is(err, unix.EADDRINUSE) && addr.Addr().Is4() && addr.Addr().IsLoopback() && (shared || !taken(addr)) {
		// A device on this machine has the port on all addresses, and may share it.
		conn, err = bind(addr, shared, true)
	}
	if err != nil {
		return nil, err
	}
	return newSocket(conn, receiveBuffer)
}

func bind(addr netip.AddrPort, shared, beside bool) (*net.UDPConn, error) {
	six := addr.Addr().Is6()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return prepare(fd, six, shared, beside) })
	}}
	network := "udp4"
	if six {
		network = "udp6"
	}
	conn, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// taken reports whether some socket of this machine has exactly that address, or
// whether nobody knows.
func taken(addr netip.AddrPort) bool {
	table, err := os.ReadFile("/proc/self/net/udp")
	if err != nil {
		return true
	}
	// As the kernel prints it: a word of the machine's order, little-endian on all
	// that have this file and are in use.
	a := addr.Addr().As4()
	local := fmt.Sprintf(" %02X%02X%02X%02X:%04X ", a[3], a[2], a[1], a[0], addr.Port())
	return strings.Contains(string(table), local)
}

func newSocket(conn *net.UDPConn, receiveBuffer int) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	s := &socket{conn: conn, raw: raw, local: local, unspecified: local.Addr().IsUnspecified()}
	if err := control(raw, func(fd int) (err error) {
		s.receiveBuffer, err = growReceiveBuffer(fd, receiveBuffer)
		return err
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("receive buffer: %w", err), conn.Close())
	}
	return s, nil
}

// prepare sets what must be set before the socket is bound.
func prepare(fd int, six, shared, beside bool) error {
	if beside {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if shared {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if six {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

// share lets further sockets bind this one's address.
//
// The first socket is bound without it: with it, the system's choice of a free
// port could fall on one that somebody else shares, and a fixed port that
// another process listens on would be shared instead of refused.
func (s *socket) share() error {
	return control(s.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// yield lets a program bind the port on all addresses of this machine, if it says
// that it shares it (SO_REUSEADDR); what is sent to this address still arrives here.
// Another engine does not say so, and is refused.
//
// Device OS: the virtual device binds port 5684 that way, to talk to port 5684 of
// its cloud.
func (s *socket) yield() error {
	return control(s.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	})
}

// growReceiveBuffer asks for a buffer of size bytes, with privilege if there
// is, and returns what the kernel gave.
func growReceiveBuffer(fd, size int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		// Without privilege: clipped to net.core.rmem_max, without an error.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			return 0, err
		}
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return got / 2, err // the kernel doubles the value for its own bookkeeping
}

// drops returns how many datagrams the kernel dropped because the receive
// buffer was full.
func (s *socket) drops() uint64 {
	var info [9]uint32 // SK_MEMINFO_VARS of linux/sock_diag.h
	const drops = 8    // SK_MEMINFO_DROPS
	err := control(s.raw, func(fd int) error {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return s.dropped.Load()
	}
	return uint64(info[drops])
}

func (s *socket) close() {
	s.dropped.Store(s.drops())
	_ = s.conn.Close() // nothing is buffered in the process
}

// control calls f with the descriptor and joins the two errors.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// isRefused reports whether err is the echo of an ICMP port unreachable.
func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
