package vnet

import (
	"net/netip"

	"github.com/muster/muster/transport"
)

// ephemeralFirst is the lowest port given to a dialled stream (RFC 6335
// Section 6).
const ephemeralFirst = 49152

// A conn is one stream between two nodes. Side 0 has dialled.
//
// What the sides say travels in two halves, each a queue of segments of which
// the first is on its way.
type conn struct {
	net    *Network
	ends   [2]end
	halves [2]half  // halves[i] carries what side i says
	mapped *mapping // of the NAT of side 0; nil without
}

// An end is one side of a stream.
type end struct {
	node        *Node
	id          transport.StreamID // 0 when the side has no end (yet)
	local, peer netip.AddrPort
	state       endState
}

// The states of an end:
//
//	opening --SYN ACK--> open --FIN received, or closed by the host--> finished
//	   |                  |
//	   |------------------+--RST received, aborted, timed out, crashed--> gone
//
// A finished end discards what still arrives; a gone one answers it with RST.
type endState uint8

const (
	opening endState = iota
	open
	finished
	gone
)

// An endRef names one end.
type endRef struct {
	conn *conn
	side int
}

func (r endRef) end() *end { return &r.conn.ends[r.side] }

// act does what a host wants of a stream.
func (n *Network) act(node *Node, a *transport.Action) {
	if a.Kind == transport.DialStream {
		n.dial(node, a)
		return
	}
	r, known := n.streams[a.ID]
	if !known || r.end().node != node || r.end().state >= finished {
		return // it ended meanwhile
	}
	switch a.Kind {
	case transport.DialStream:
		// Done above: the stream has no end yet.
	case transport.WriteStream:
		r.conn.write(r.side, a.Data)
	case transport.CloseStream:
		r.conn.say(r.side, segmentFIN, nil, 0)
		r.conn.finish(r.side, transport.ClosedLocally, true)
	case transport.AbortStream:
		r.conn.halves[r.side].forget()
		r.conn.say(r.side, segmentRST, nil, 0)
		r.conn.lose(r.side, transport.ResetLocally, true)
	}
}

func (n *Network) dial(node *Node, a *transport.Action) {
	local := node.source(a.Local)
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), ephemeralFirst+n.nextPort)
		n.nextPort = (n.nextPort + 1) % (1<<16 - ephemeralFirst)
	}
	c := &conn{net: n}
	c.halves = [2]half{{conn: c, side: 0}, {conn: c, side: 1}}
	c.ends[0] = end{node: node, id: a.ID, local: local, peer: a.Peer}
	n.streams[a.ID] = endRef{c, 0}
	c.ends[1] = end{node: n.open.find(a.Peer.Addr()), local: a.Peer, peer: local}
	if nat := node.nat; nat != nil {
		if near := nat.inside.find(a.Peer.Addr()); near != nil {
			c.ends[1].node = near
		} else {
			c.mapped = nat.outbound(n.now, local, a.Peer, true)
			c.ends[1].peer = c.mapped.outside
		}
	}
	f := Flight{At: n.now, Kind: transport.StreamOpened, Sender: node, Stream: a.ID, From: c.ends[1].peer, To: a.Peer}
	if n.runHooks(&f); f.Lost != "" {
		c.halves[0].push(n.now.Add(giveUpAfter), segment{kind: segmentLost})
		return
	}
	c.say(0, segmentSYN, nil, f.Delay)
}

// write cuts b into segments that pass the links of both sides.
func (c *conn) write(side int, b []byte) {
	for limit := c.segmentSize(); limit > 0 && len(b) > limit; b = b[limit:] {
		c.writeSegment(side, b[:limit])
	}
	if len(b) > 0 {
		c.writeSegment(side, b)
	}
}

// segmentSize is the most that a segment carries in bytes; 0: no limit.
func (c *conn) segmentSize() int {
	size := 0
	for _, e := range c.ends {
		if e.node == nil || e.node.access == nil {
			continue
		}
		for _, mtu := range []int{e.node.access.Up.MTU, e.node.access.Down.MTU} {
			if fits := mtu - segmentHeaderSize; mtu > 0 && (size == 0 || fits < size) {
				size = max(fits, 1)
			}
		}
	}
	return size
}

func (c *conn) writeSegment(side int, b []byte) {
	n, e := c.net, &c.ends[side]
	f := Flight{
		At: n.now, Kind: transport.StreamChunk, Sender: e.node, Stream: e.id,
		From: c.ends[1-side].peer, To: e.peer, Data: n.buffers.copy(b),
	}
	n.runHooks(&f)
	c.see(side, transport.StreamChunk, true, b, f.Lost)
	if f.Lost != "" {
		n.buffers.release(f.Data)
		return
	}
	c.say(side, segmentData, f.Data, f.Delay)
}
