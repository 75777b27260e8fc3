package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/transport"
)

// A reader holds the buffers of one recvmmsg. It allocates when it is made and
// never again.
type reader struct {
	messages []message
	names    []sockaddr
	control  []byte
	data     []byte
	batch    []transport.Packet

	n     int
	errno unix.Errno
	// Made once, because a closure made for each read would be garbage.
	readNow    func(fd uintptr)
	readOrWait func(fd uintptr) bool
}

func newReader(batch int) *reader {
	r := &reader{
		messages: make([]message, batch),
		names:    make([]sockaddr, batch),
		control:  make([]byte, batch*controlSize),
		data:     make([]byte, batch*transport.DatagramSizeMax),
		batch:    make([]transport.Packet, 0, batch),
	}
	vectors := make([]unix.Iovec, batch)
	for i := range r.messages {
		vectors[i].Base = &r.data[i*transport.DatagramSizeMax]
		vectors[i].SetLen(transport.DatagramSizeMax)
		h := &r.messages[i].header
		h.Iov = &vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.control[i*controlSize]
		r.rearm(i)
	}
	r.readNow = func(fd uintptr) { r.n, r.errno = r.receive(int(fd), 0, len(r.messages)) }
	r.readOrWait = func(fd uintptr) bool {
		r.readNow(fd)
		return r.errno != unix.EAGAIN
	}
	return r
}

// try reads what is there without waiting.
func (r *reader) try(s *socket) (int, error) {
	return r.result(s.raw.Control(r.readNow))
}

// wait reads, and waits for the first datagram or the read deadline.
func (r *reader) wait(s *socket) (int, error) {
	return r.result(s.raw.Read(r.readOrWait))
}

func (r *reader) result(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case r.errno == unix.EAGAIN, r.errno == unix.EINTR:
		return 0, nil
	case r.errno != 0:
		return 0, r.errno
	}
	return r.n, nil
}

// receive fills messages from first on, at most count of them, without
// waiting.
func (r *reader) receive(fd, first, count int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.messages[first])),
		uintptr(count), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// rearm restores what the kernel overwrites when it fills message i.
func (r *reader) rearm(i int) {
	h := &r.messages[i].header
	h.Namelen = uint32(unsafe.Sizeof(sockaddr{}))
	h.SetControllen(controlSize)
	h.Flags = 0
}

// packets describes the first n messages, all from one socket. The result is
// valid until the next read.
func (r *reader) packets(n int, s *socket, counters *transport.Counters) []transport.Packet {
	r.batch = r.batch[:0]
	for i := range n {
		r.take(i, s, counters)
	}
	return r.batch
}

// take adds message i, which came through s, to the batch.
func (r *reader) take(i int, s *socket, counters *transport.Counters) {
	m := &r.messages[i]
	defer r.rearm(i)
	if m.header.Flags&unix.MSG_TRUNC != 0 {
		counters.Add(transport.DropTooLong, 1)
		return
	}
	local := s.local
	if s.unspecified {
		to := destination(r.control[i*controlSize:][:m.header.Controllen])
		local = netip.AddrPortFrom(to, local.Port())
	}
	data := r.data[i*transport.DatagramSizeMax:][:m.size:m.size]
	r.batch = append(r.batch, transport.Packet{Local: local, Peer: addrPort(&r.names[i]), Data: data})
}
