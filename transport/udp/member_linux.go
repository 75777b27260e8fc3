package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sendPatience is how long a member waits for room in its send buffer, one
// poll at a time, before the datagram counts as failed.
const (
	sendPatience = 20
	sendPoll     = 50 * time.Millisecond
)

// A member is one socket of a Group. The Go runtime's poller does not know it,
// so its descriptor is guarded here: a read lock keeps it open.
type member struct {
	fd   int
	sock *socket
	mu   sync.RWMutex
	shot bool // closed
}

func newMember(g *Group, local, peer netip.AddrPort) (*member, error) {
	family, six := unix.AF_INET, local.Addr().Is6()
	if six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, err
	}
	m := &member{fd: fd}
	m.sock = &socket{raw: m, connected: peer.IsValid()}
	if err := m.bind(local, peer, six); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	if m.sock.receiveBuffer, err = growReceiveBuffer(fd, memberReceiveBuffer(g.config.ReceiveBuffer)); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return m, nil
}

// memberReceiveBuffer is the receive buffer of one device: a device has few
// datagrams under way, and a group may have tens of thousands of sockets.
func memberReceiveBuffer(shared int) int { return min(shared, 128<<10) }

func (m *member) bind(local, peer netip.AddrPort, six bool) error {
	if err := prepare(m.fd, six, false, false); err != nil {
		return err
	}
	if err := unix.Bind(m.fd, toSockaddr(local)); err != nil {
		return err
	}
	if peer.IsValid() {
		if err := unix.Connect(m.fd, toSockaddr(peer)); err != nil {
			return err
		}
	}
	name, err := unix.Getsockname(m.fd)
	if err != nil {
		return err
	}
	m.sock.local = fromSockaddr(name)
	m.sock.unspecified = m.sock.local.Addr().IsUnspecified()
	return nil
}

func toSockaddr(ap netip.AddrPort) unix.Sockaddr {
	if a := ap.Addr().Unmap(); a.Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16(), ZoneId: scope(ap.Addr())}
}

func fromSockaddr(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(withZone(netip.AddrFrom16(s.Addr), s.ZoneId), uint16(s.Port))
	}
	return netip.AddrPort{}
}

// shut closes the descriptor once nobody uses it.
func (m *member) shut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.shot {
		m.shot = true
		_ = unix.Close(m.fd) // nothing is buffered in the process
	}
}

// Control lends out the descriptor.
func (m *member) Control(f func(fd uintptr)) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.shot {
		return net.ErrClosed
	}
	f(uintptr(m.fd))
	return nil
}

// Read panics: a Group reads its members itself.
func (m *member) Read(func(fd uintptr) bool) error {
	panic("udp: a member of a group is not read alone")
}

// Write calls f until it is content, and waits for room in between.
func (m *member) Write(f func(fd uintptr) bool) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for range sendPatience {
		if m.shot {
			return net.ErrClosed
		}
		if f(uintptr(m.fd)) {
			return nil
		}
		poll := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLOUT}}
		_, _ = unix.Poll(poll, int(sendPoll/time.Millisecond)) // f finds out
	}
	return errNoRoom
}

var errNoRoom = errors.New("udp: the send buffer stays full")
