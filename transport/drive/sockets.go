package drive

import (
	"context"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
)

// A datagramEngine is a udp.Engine or a udp.Group.
type datagramEngine interface {
	Serve(context.Context, udp.Handler) error
	Send([]transport.Packet) int
	WakeAt(shard int, t clock.Instant)
	Counts() transport.Counts
}

// sockets connects one engine to the host. Shard 0 of a driver's first engine
// also keeps the host's time.
type sockets struct {
	driver    *Driver
	engine    datagramEngine
	ports     map[uint16]bool // of its sockets; nil: any
	six       bool            // they are IPv6 sockets
	keepsTime bool
}

// Datagrams gives a batch to the host.
func (s *sockets) Datagrams(shard int, _ clock.Instant, batch []transport.Packet, out *transport.Out) {
	d := s.driver
	now := d.enter()
	for _, p := range batch {
		d.host.Datagram(now, p, out)
	}
	deadline := d.exit()
	s.sendElsewhere(out)
	if !s.keepsTime || shard != 0 {
		d.wakeAt(deadline)
	}
}

// Wake advances the host.
func (s *sockets) Wake(shard int, _ clock.Instant, out *transport.Out) {
	if !s.keepsTime || shard != 0 {
		return
	}
	now := s.driver.enter()
	s.driver.host.Advance(now, out)
	s.driver.exit()
	s.sendElsewhere(out)
}

// Deadline is the host's, for the shard that keeps the time.
func (s *sockets) Deadline(shard int) clock.Instant {
	if !s.keepsTime || shard != 0 {
		return clock.Never
	}
	s.driver.enter()
	return s.driver.exit()
}

// sendElsewhere sends out itself when some of it may have to leave through
// another engine: a host that hears IPv6 may have something to say to IPv4.
// What stays in out leaves through the engine that gave it.
func (s *sockets) sendElsewhere(out *transport.Out) {
	if len(s.driver.sockets) > 1 {
		s.driver.send(out)
	}
}

func (s *sockets) carries(p *transport.Packet) bool {
	if s.ports == nil {
		return true
	}
	port := p.Local.Port()
	return p.Peer.Addr().Unmap().Is6() == s.six && (port == 0 || s.ports[port])
}

// send sends the datagrams in out, each through the first engine that has a
// socket for it, or else through the first of all, which counts the failure.
func (d *Driver) send(out *transport.Out) {
	packets := out.Packets()
	for start := 0; start < len(packets) && len(d.sockets) > 0; {
		via := d.route(&packets[start])
		end := start + 1
		for end < len(packets) && d.route(&packets[end]) == via {
			end++
		}
		via.engine.Send(packets[start:end])
		start = end
	}
	out.Clear()
}

func (d *Driver) route(p *transport.Packet) *sockets {
	if len(d.sockets) > 1 {
		for _, s := range d.sockets {
			if s.carries(p) {
				return s
			}
		}
	}
	return d.sockets[0]
}
