package fleet

import (
	"net/netip"

	"github.com/muster/muster/protocol/clock"

	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
)

// open opens the sockets of the shard.
func (s *shard) open() error {
	if !s.fleet.loopback {
		return s.openGroup()
	}
	engine, err := s.driver.OpenFleet(make([]uint16, min(s.options.Sockets, 64))...)
	if err != nil {
		return err
	}
	n := &loopback{bits: s.fleet.bits, table: &s.fleet.table, shard: s.number, shards: s.options.Shards}
	for i := range engine.Shards() {
		n.ports = append(n.ports, engine.Addr(i).Port())
	}
	s.network, s.find = n, n.find
	s.wake = func(at clock.Instant) { engine.WakeAt(0, at) }
	return nil
}

// A loopback is the network of devices whose cloud is on this machine: each has
// addresses of its own, and their shard's sockets send for all of them.
//
// The address number of a device is its index, and above that how often it has
// moved: no table is needed to find it.
type loopback struct {
	ports []uint16
	bits  int
	table *table
	// Members of other shards are not to be touched.
	shard, shards int
}

// homes is how many addresses each device has.
func (n *loopback) homes() int { return min(udp.LoopbackCount>>n.bits, 1<<8) }

func (n *loopback) addr(m *member) netip.Addr {
	return udp.Loopback(int(m.home)<<n.bits | int(m.index))
}

func (n *loopback) local(m *member) netip.AddrPort {
	return netip.AddrPortFrom(n.addr(m), n.ports[m.port])
}

func (n *loopback) dialFrom(m *member) netip.AddrPort { return netip.AddrPortFrom(n.addr(m), 0) }

// open takes the next port, as the system does for a new socket, but not for
// boards whose source port is fixed.
func (n *loopback) open(m *member, _ netip.AddrPort) bool {
	if m.reopened && !m.device.Profile().Board.FixedPort {
		m.port = uint8((int(m.port) + 1) % len(n.ports))
	}
	m.reopened = true
	return true
}

func (n *loopback) close(*member) {}

func (n *loopback) move(m *member) { m.home = uint8((int(m.home) + 1) % n.homes()) }

// find returns the member that has the local address of a packet.
func (n *loopback) find(p transport.Packet) *member {
	number, ok := udp.LoopbackIndex(p.Local.Addr())
	if !ok {
		return nil
	}
	index := number & (1<<n.bits - 1)
	if index%n.shards != n.shard {
		return nil
	}
	m := n.table.at(index)
	if m == nil || int(m.home) != number>>n.bits || p.Local.Port() != n.ports[m.port] {
		return nil
	}
	return m
}
