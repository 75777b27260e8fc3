package fleet

import (
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/udp"
)

// openGroup prepares for a cloud elsewhere.
func (s *shard) openGroup() error {
	g, err := s.driver.OpenGroup()
	if err != nil {
		return err
	}
	n := &group{
		sockets: g, sources: s.options.Sources,
		members: make(map[netip.AddrPort]*member), locals: make(map[int32]netip.AddrPort),
	}
	s.network, s.find = n, n.find
	s.wake = func(at clock.Instant) { g.WakeAt(0, at) }
	return nil
}

// A group is the network of devices whose cloud is on another machine: each has
// a socket of its own.
type group struct {
	sockets *udp.Group
	sources []netip.Addr
	members map[netip.AddrPort]*member
	locals  map[int32]netip.AddrPort
}

func (n *group) source(m *member, cloud netip.AddrPort) netip.Addr {
	if len(n.sources) > 0 {
		return n.sources[(int(m.index)+int(m.home))%len(n.sources)]
	}
	if cloud.Addr().Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func (n *group) open(m *member, cloud netip.AddrPort) bool {
	n.close(m)
	local, err := n.sockets.Open(netip.AddrPortFrom(n.source(m, cloud), 0), cloud)
	if err != nil {
		return false // the device finds a dead socket, and tries again
	}
	n.members[local], n.locals[m.index] = m, local
	return true
}

func (n *group) close(m *member) {
	if local, ok := n.locals[m.index]; ok {
		n.sockets.Leave(local) // when its last words have left
		delete(n.members, local)
		delete(n.locals, m.index)
	}
}

func (n *group) local(m *member) netip.AddrPort { return n.locals[m.index] }

func (n *group) dialFrom(m *member) netip.AddrPort {
	if len(n.sources) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(n.source(m, netip.AddrPort{}), 0)
}

func (n *group) move(m *member) { m.home++ }

func (n *group) find(p transport.Packet) *member { return n.members[p.Local] }
