package live

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Node is a host's place in a network.
type Node struct {
	net     *Network
	host    transport.Host
	addr    netip.Addr // of the machine
	name    netip.Addr // by which the host calls its first address
	away    func(netip.Addr) netip.Addr
	sockets map[netip.AddrPort]*socket // by the host's names for them
	offline bool
	watched bool
}

// A Place says where a node is.
type Place struct {
	// Addr is the address of this machine from which the host speaks.
	Addr netip.Addr
	// Name is what the host calls that address; the zero value: Addr.
	Name netip.Addr
	// Other, if not nil, finds the address of this machine for any other name that the
	// host has for one of its own. Nil: Addr stands for all.
	Other func(name netip.Addr) netip.Addr
}

// A socket is one UDP port of a node.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
}

// Attach puts a host on the network. Whatever port the host speaks from, the system
// chooses the one on the wire.
func (n *Network) Attach(h transport.Host, p Place) *Node {
	if !p.Name.IsValid() {
		p.Name = p.Addr
	}
	if p.Other == nil {
		p.Other = func(netip.Addr) netip.Addr { return p.Addr }
	}
	node := &Node{net: n, host: h, addr: p.Addr, name: p.Name, away: p.Other, sockets: make(map[netip.AddrPort]*socket)}
	n.nodes = append(n.nodes, node)
	return node
}

// SetOnline connects the node, as it is at first, or takes it off the network: what
// it sends and what reaches it is lost, and its host is not told.
func (node *Node) SetOnline(online bool) { node.offline = !online }

// Watch has the tap see what reaches the node while it is off the network.
func (node *Node) Watch() { node.watched = true }

// Do lets f act for the host, at the present time.
func (node *Node) Do(f func(now clock.Instant, out *transport.Out)) {
	node.call(func(out *transport.Out) { f(node.net.Now(), out) })
}

// call calls the host and sends what it says.
func (node *Node) call(f func(out *transport.Out)) {
	out := node.net.out
	f(out)
	for _, a := range out.Actions() {
		node.act(&a)
	}
	for _, p := range out.Packets() {
		node.send(p)
	}
	out.Clear()
}

// ListenUDP opens a socket at an address of this machine, under the host's name for it,
// and returns the address that it has.
func (node *Node) ListenUDP(at, name netip.AddrPort) (netip.AddrPort, error) {
	s, err := node.open(at, name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return s.local, nil
}

// TakeUDP takes a socket that is bound, under the host's name for it. The network closes
// it.
func (node *Node) TakeUDP(conn *net.UDPConn, name netip.AddrPort) netip.AddrPort {
	return node.take(conn, name).local
}

// ListenTCP accepts streams for the host, and returns the address that it listens at.
// One node of a network may listen.
func (node *Node) ListenTCP(at netip.AddrPort) (netip.AddrPort, error) {
	node.net.owners[0] = node
	return node.net.streams.Listen(at)
}

// full completes a name that a host gave for a port of its own.
func (node *Node) full(name netip.AddrPort) netip.AddrPort {
	if name.Addr().IsValid() && !name.Addr().IsUnspecified() {
		return name
	}
	return netip.AddrPortFrom(node.name, name.Port())
}

// bind is the address of this machine that stands for a name.
func (node *Node) bind(name netip.AddrPort) netip.Addr {
	if name.Addr() == node.name {
		return node.addr
	}
	return node.away(name.Addr())
}

func (node *Node) send(p transport.Packet) {
	name := node.full(p.Local)
	s := node.sockets[name]
	if s == nil {
		var err error
		if s, err = node.open(netip.AddrPortFrom(node.bind(name), 0), name); err != nil {
			node.net.fail(err)
			return
		}
	}
	if node.offline {
		return
	}
	// It is shown before it is sent: its answer must not be seen first.
	node.net.config.Tap(transport.Sighting{
		At: node.net.Now(), Kind: transport.DatagramSeen, Sent: true, Packet: transport.Packet{Local: s.local, Peer: p.Peer, Data: p.Data},
	})
	if _, err := s.conn.WriteToUDPAddrPort(p.Data, p.Peer); err != nil && !errors.Is(err, net.ErrClosed) {
		node.net.fail(fmt.Errorf("sending %d bytes to %v: %w", len(p.Data), p.Peer, err))
	}
}

// open opens a socket and reads from it until the network is closed.
func (node *Node) open(at, name netip.AddrPort) (*socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("live: opening a socket at %v: %w", at, err)
	}
	return node.take(conn, name), nil
}

func (node *Node) take(conn *net.UDPConn, name netip.AddrPort) *socket {
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s := &socket{conn: conn, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}
	node.sockets[name] = s
	n := node.net
	n.mu.Lock()
	n.socks = append(n.socks, s)
	n.mu.Unlock()
	n.wait.Go(func() { node.read(s, name) })
	if n.isClosed() {
		_ = conn.Close() // it may have been opened behind Close
	}
	return s
}

func (node *Node) read(s *socket, name netip.AddrPort) {
	buf := make([]byte, 1<<16)
	for {
		size, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) || node.net.isClosed() {
			return
		}
		if err != nil {
			continue // such as what ICMP says of an earlier datagram
		}
		at, data := node.net.Now(), bytes.Clone(buf[:size])
		peer := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		node.net.push(arrival{at: at, size: size, do: func(at clock.Instant) { node.received(at, s, name, peer, data) }})
	}
}

func (node *Node) received(at clock.Instant, s *socket, name, peer netip.AddrPort, data []byte) {
	if node.offline && !node.watched {
		return
	}
	node.net.config.Tap(transport.Sighting{
		At: at, Kind: transport.DatagramSeen, Packet: transport.Packet{Local: s.local, Peer: peer, Data: data},
	})
	if node.offline {
		return
	}
	node.call(func(out *transport.Out) {
		node.host.Datagram(at, transport.Packet{Local: name, Peer: peer, Data: data}, out)
	})
}
