package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// writeBatch is how many datagrams one sendmmsg takes at most.
const writeBatch = 64

// A writer holds the headers of one sendmmsg. It allocates when it is made and
// never again.
type writer struct {
	clock    *transport.Clock
	tap      transport.Tap
	messages [writeBatch]message
	vectors  [writeBatch]unix.Iovec
	names    [writeBatch]sockaddr
	control  []byte

	first, end int // the messages to send
	errno      unix.Errno
	sendOrWait func(fd uintptr) bool // made once
}

func newWriter(clock *transport.Clock, tap transport.Tap) *writer {
	w := &writer{clock: clock, tap: tap, control: make([]byte, writeBatch*controlSize)}
	for i := range w.messages {
		h := &w.messages[i].header
		h.Iov = &w.vectors[i]
		h.SetIovlen(1)
	}
	w.sendOrWait = w.send
	return w
}

// write sends packets through s and returns how many the kernel took. It waits
// while the send buffer is full.
func (w *writer) write(s *socket, packets []transport.Packet, counters *transport.Counters) (sent int) {
	total := len(packets)
	for len(packets) > 0 {
		n := min(len(packets), writeBatch)
		w.prepare(s, packets[:n])
		sent += w.writePrepared(s, packets[:n], counters)
		packets = packets[n:]
	}
	clear(w.vectors[:min(writeBatch, total)]) // do not keep the caller's bytes alive
	return sent
}

func (w *writer) prepare(s *socket, packets []transport.Packet) {
	for i := range packets {
		p, h := &packets[i], &w.messages[i].header
		w.vectors[i].Base = unsafe.SliceData(p.Data)
		w.vectors[i].SetLen(len(p.Data))
		h.Name, h.Namelen = nil, 0
		if !s.connected {
			h.Name = (*byte)(unsafe.Pointer(&w.names[i]))
			h.Namelen = putSockaddr(&w.names[i], p.Peer)
		}
		h.Control = nil
		h.SetControllen(0)
		if from := p.Local.Addr(); s.unspecified && from.IsValid() && !from.IsUnspecified() {
			room := w.control[i*controlSize:][:controlSize]
			h.Control = &room[0]
			h.SetControllen(putSource(room, from))
		}
	}
	w.first, w.end = 0, len(packets)
}

// writePrepared sends until all messages are sent or given up, each for its own
// reason.
func (w *writer) writePrepared(s *socket, packets []transport.Packet, counters *transport.Counters) (sent int) {
	refused := false
	now := w.now()
	if w.tap != nil {
		w.tap(transport.Sighting{At: now, Kind: transport.SendBegins})
		defer w.tap(transport.Sighting{At: now, Kind: transport.SendEnds})
	}
	for w.first < w.end {
		from := w.first
		if s.raw.Write(w.sendOrWait) != nil { // closed
			counters.Add(transport.SendFailed, uint64(w.end-w.first))
			return sent
		}
		if w.errno == 0 {
			sent += w.first - from
			w.report(now, packets[from:w.first], counters)
			refused = false
			continue
		}
		why := sendFailure(w.errno)
		counters.Add(why, 1)
		if why == transport.SendRefused && !refused {
			refused = true // the news of an earlier datagram; this one has not been tried
			continue
		}
		w.first++
	}
	return sent
}

// send is one sendmmsg, which stops at the first message that fails. It returns
// false to be called again when there is room.
func (w *writer) send(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.messages[w.first])),
			uintptr(w.end-w.first), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			w.first += int(n)
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default: // the datagram's own failure, which the caller counts
		}
		w.errno = errno
		return true
	}
}

// now is the time that the tap is told: before the datagrams leave, so that no
// answer is seen before its question. Without a tap nobody asks.
func (w *writer) now() clock.Instant {
	if w.tap == nil {
		return 0
	}
	return w.clock.Now()
}

func (w *writer) report(now clock.Instant, sent []transport.Packet, counters *transport.Counters) {
	octets := 0
	for i := range sent {
		octets += len(sent[i].Data)
	}
	counters.Add(transport.DatagramsOut, uint64(len(sent)))
	counters.Add(transport.DatagramBytesOut, uint64(octets))
	if w.tap == nil {
		return
	}
	for _, p := range sent {
		w.tap(transport.Sighting{At: now, Kind: transport.DatagramSeen, Sent: true, Packet: p})
	}
}

// sendFailure names the counter of an error. None of them ends an engine: a
// datagram may always be lost.
func sendFailure(errno unix.Errno) transport.Counter {
	switch errno {
	case unix.ECONNREFUSED:
		return transport.SendRefused
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.ENETDOWN:
		return transport.SendNoRoute
	case unix.EMSGSIZE:
		return transport.SendTooLong
	case unix.ENOBUFS, unix.ENOMEM:
		return transport.SendFull
	default: // nothing more is to be learned from the others
		return transport.SendFailed
	}
}
