package vnet

import (
	"net/netip"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// send takes one datagram from node's host and decides at once what becomes of
// it.
func (n *Network) send(node *Node, p *transport.Packet) {
	local := node.source(p.Local)
	f := &n.flight
	*f = Flight{
		At:     n.now,
		Kind:   transport.DatagramSeen,
		Sender: node,
		From:   local,
		To:     p.Peer,
		Data:   n.buffers.copy(p.Data),
	}
	n.depart(f)
	if n.config.Tap != nil {
		n.config.Tap(transport.Sighting{
			At: n.now, Kind: transport.DatagramSeen, Sent: true, Lost: f.Lost,
			Packet: transport.Packet{Local: local, Peer: p.Peer, Data: p.Data},
		})
	}
}

// depart sends f on its way, or says in f.Lost why not.
func (n *Network) depart(f *Flight) {
	node := f.Sender
	near := n.translate(f)
	n.runHooks(f)
	var delay time.Duration
	if f.Lost == "" {
		delay, f.Lost = node.up(n.now, len(f.Data)+headerSize, false)
	}
	if f.Lost != "" {
		n.buffers.release(f.Data)
		return
	}
	delay += f.Delay
	if node.copies() > 1 {
		_ = n.toward(node, near, f.From, f.To, n.buffers.copy(f.Data), delay) // the other one counts
	}
	f.Lost = n.toward(node, near, f.From, f.To, f.Data, delay)
}

// translate checks the source of f and gives it the address that the world
// sees. It returns the receiver when that is behind the same NAT.
func (n *Network) translate(f *Flight) (near *Node) {
	node := f.Sender
	switch {
	case node.offline:
		f.Lost = LostOffline
	case !node.owns(f.From.Addr()):
		f.Lost = LostSpoofed
	case node.nat != nil:
		if near = node.nat.inside.find(f.To.Addr()); near == nil {
			f.From = node.nat.outbound(n.now, f.From, f.To, false).outside
		}
	}
	return near
}

// toward sends data to the node or the NAT that has address to, where it
// arrives after delay and what the receiver's access adds. It owns data.
func (n *Network) toward(sender, near *Node, from, to netip.AddrPort, data []byte, delay time.Duration) (lost string) {
	if near == nil {
		if nat := n.nats[to.Addr()]; nat != nil {
			n.events.push(n.now.Add(delay), event{kind: arriveAtNAT, nat: nat, from: from, to: to, data: data})
			return ""
		}
		near = n.open.find(to.Addr())
	}
	switch {
	case near == nil:
		lost = LostNoAddress
	case sender != nil && n.cut(sender, near):
		lost = LostToPartition
	default:
		lost = n.deliver(near, from, to, data, n.now.Add(delay))
	}
	if lost != "" {
		n.buffers.release(data)
	}
	return lost
}

// deliver carries data over the receiver's access, from time start on.
func (n *Network) deliver(node *Node, from, to netip.AddrPort, data []byte, start clock.Instant) (lost string) {
	delay, lost := node.down(start, len(data)+headerSize, false)
	if lost == "" {
		n.events.push(start.Add(delay), event{kind: arriveAtNode, node: node, from: from, to: to, data: data})
	}
	return lost
}

func (n *Network) arriveAtNAT(e event) {
	inside, known := e.nat.inbound(n.now, e.to, e.from, false)
	lost := LostToNAT
	if node := e.nat.inside.find(inside.Addr()); known && node != nil {
		lost = n.deliver(node, e.from, inside, e.data, n.now)
	}
	if lost != "" {
		n.see(e, lost)
		n.buffers.release(e.data)
	}
}

func (n *Network) arrive(e event) {
	defer n.buffers.release(e.data)
	switch {
	case !e.node.owns(e.to.Addr()): // it has moved meanwhile
		n.see(e, LostNoAddress)
		return
	case e.node.offline:
		n.see(e, LostOffline)
		return
	}
	n.see(e, "")
	n.enter()
	e.node.host.Datagram(n.now, transport.Packet{Local: e.to, Peer: e.from, Data: e.data}, n.out)
	n.leave(e.node)
}

// see tells the tap of a datagram at its destination.
func (n *Network) see(e event, lost string) {
	if n.config.Tap != nil {
		n.config.Tap(transport.Sighting{
			At: n.now, Kind: transport.DatagramSeen, Lost: lost,
			Packet: transport.Packet{Local: e.to, Peer: e.from, Data: e.data},
		})
	}
}
