//go:build !linux

package udp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/muster/muster/transport"
)

// canShare is whether several sockets can share one port.
const canShare = false

// A socket is one UDP socket.
type socket struct {
	conn          *net.UDPConn
	local         netip.AddrPort
	receiveBuffer int
}

// openSocket binds a socket.
func openSocket(addr netip.AddrPort, shared bool, receiveBuffer int) (*socket, error) {
	if shared {
		return nil, errors.New("several sockets on one port need Linux: set Config.Shards to 1")
	}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	for conn.SetReadBuffer(receiveBuffer) != nil && receiveBuffer > 64<<10 {
		receiveBuffer /= 2 // refused, not clipped, when it is above the system's limit
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &socket{conn: conn, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), receiveBuffer: receiveBuffer}, nil
}

func (s *socket) share() error { return errors.ErrUnsupported }

// yield does nothing: what shares a port with whom differs from system to system.
func (s *socket) yield() error { return nil }

// drops is unknown.
func (s *socket) drops() uint64 { return 0 }

func (s *socket) close() { _ = s.conn.Close() }

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// A reader reads one datagram a call.
type reader struct {
	data  []byte
	size  int
	peer  netip.AddrPort
	batch []transport.Packet
}

func newReader(int) *reader { return &reader{data: make([]byte, transport.DatagramSizeMax+1)} }

// try gives the loop a turn without waiting: it reads nothing, and the next
// wait will.
func (r *reader) try(*socket) (int, error) { return 0, nil }

// wait waits for a datagram or the read deadline.
func (r *reader) wait(s *socket) (n int, err error) {
	if r.size, r.peer, err = s.conn.ReadFromUDPAddrPort(r.data); err != nil {
		return 0, err
	}
	return 1, nil
}

func (r *reader) packets(n int, s *socket, counters *transport.Counters) []transport.Packet {
	r.batch = r.batch[:0]
	if n == 1 && r.size > transport.DatagramSizeMax {
		counters.Add(transport.DropTooLong, 1)
	} else if n == 1 {
		r.batch = append(r.batch, transport.Packet{Local: s.local, Peer: r.peer, Data: r.data[:r.size]})
	}
	return r.batch
}

// A writer sends one datagram a call.
type writer struct {
	clock *transport.Clock
	tap   transport.Tap
}

func newWriter(clock *transport.Clock, tap transport.Tap) *writer { return &writer{clock, tap} }

func (w *writer) write(s *socket, packets []transport.Packet, counters *transport.Counters) (sent int) {
	if w.tap != nil {
		begun := w.clock.Now()
		w.tap(transport.Sighting{At: begun, Kind: transport.SendBegins})
		defer w.tap(transport.Sighting{At: begun, Kind: transport.SendEnds})
	}
	for _, p := range packets {
		now := w.clock.Now()
		if _, err := s.conn.WriteToUDPAddrPort(p.Data, p.Peer); err != nil {
			counters.Add(sendFailure(err), 1)
			continue
		}
		sent++
		counters.Add(transport.DatagramsOut, 1)
		counters.Add(transport.DatagramBytesOut, uint64(len(p.Data)))
		if w.tap != nil {
			w.tap(transport.Sighting{At: now, Kind: transport.DatagramSeen, Sent: true, Packet: p})
		}
	}
	return sent
}

func sendFailure(err error) transport.Counter {
	for errno, counter := range map[syscall.Errno]transport.Counter{
		syscall.ECONNREFUSED:  transport.SendRefused,
		syscall.ENETUNREACH:   transport.SendNoRoute,
		syscall.EHOSTUNREACH:  transport.SendNoRoute,
		syscall.EADDRNOTAVAIL: transport.SendNoRoute,
		syscall.EMSGSIZE:      transport.SendTooLong,
		syscall.ENOBUFS:       transport.SendFull,
	} {
		if errors.Is(err, errno) {
			return counter
		}
	}
	return transport.SendFailed
}
