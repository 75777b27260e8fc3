package vnet

import (
	"net/netip"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// The retransmission timer of a stream's segments, doubled with every try
// (RFC 6298), and the number of tries after which the sender gives up, two
// minutes later.
const (
	retryFirst  = time.Second
	triesMax    = 7
	giveUpAfter = retryFirst<<triesMax - retryFirst
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

type segmentKind uint8

const (
	segmentSYN segmentKind = iota
	segmentSYNACK
	segmentData
	segmentFIN
	segmentRST
	segmentLost // one that never arrives: the sender gives up
)

type segment struct {
	kind segmentKind
	at   clock.Instant // of arrival, at the earliest
	data []byte
}

// A half is one direction of a stream.
type half struct {
	conn      *conn
	side      int // who speaks
	queue     []segment
	last      clock.Instant // arrival of the last segment
	tries     int           // of the first segment
	scheduled bool          // an event moves the queue
}

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
	f := Flight{At: n.now, Kind: transport.StreamChunk, Sender: e.node, Stream: e.id,
		From: c.ends[1-side].peer, To: e.peer, Data: n.buffers.copy(b)}
	n.runHooks(&f)
	c.see(side, transport.StreamChunk, true, b, f.Lost)
	if f.Lost != "" {
		n.buffers.release(f.Data)
		return
	}
	c.say(side, segmentData, f.Data, f.Delay)
}

// say queues a segment. Every loss on the way costs a retransmission.
func (c *conn) say(side int, kind segmentKind, data []byte, delay time.Duration) {
	s := segment{kind: kind, data: data}
	for try := 0; ; try++ {
		took, lost := c.carry(side, len(data)+segmentHeaderSize)
		if lost != LostByChance { // segments fit, so nothing else loses them
			delay += took
			break
		}
		if kind == segmentRST {
			return // it is not retransmitted
		}
		if try == triesMax {
			s.kind = segmentLost
			break
		}
		delay += retryFirst << try
	}
	c.halves[side].push(c.net.now.Add(delay), s)
}

// push queues s, which arrives no earlier than at and than what was said before.
func (h *half) push(at clock.Instant, s segment) {
	h.last = max(h.last, at)
	s.at = h.last
	h.queue = append(h.queue, s)
	h.schedule(s.at)
}

// carry returns how long a segment takes from side to the other, or that it is
// lost. Streams queue before a slow link for as long as it takes: a sender
// adapts to it.
func (c *conn) carry(side, size int) (delay time.Duration, lost string) {
	n := c.net
	delay, lost = c.ends[side].node.up(n.now, size, true)
	if to := c.ends[1-side].node; lost == "" && to != nil {
		var more time.Duration
		more, lost = to.down(n.now.Add(delay), size, true)
		delay += more
	}
	return delay, lost
}

// forget drops what is on its way.
func (h *half) forget() {
	for _, s := range h.queue {
		h.conn.net.buffers.release(s.data)
	}
	h.queue, h.last, h.tries = nil, 0, 0
}

// schedule makes the queue move at time t, if nothing does yet.
func (h *half) schedule(t clock.Instant) {
	if !h.scheduled {
		h.scheduled = true
		h.conn.net.events.push(t, event{kind: moveStream, half: h})
	}
}

// move lets the first segment arrive, or tries again later.
func (h *half) move() {
	c, n := h.conn, h.conn.net
	h.scheduled = false
	if len(h.queue) == 0 {
		return // forgotten meanwhile
	}
	if first := h.queue[0]; first.at > n.now {
		h.schedule(first.at)
		return
	}
	if h.queue[0].kind == segmentLost {
		c.lose(h.side, transport.TimedOut, false)
		return
	}
	switch c.path(h.side) {
	case pathBlocked:
		h.retry()
		return
	case pathUnknown:
		c.lose(h.side, transport.ResetByPeer, false)
		return
	}
	s := h.queue[0]
	h.queue, h.tries = h.queue[1:], 0
	if len(h.queue) > 0 {
		h.schedule(max(n.now, h.queue[0].at))
	}
	c.arrive(1-h.side, s)
	n.buffers.release(s.data)
}

// retry waits for the retransmission, or gives up.
func (h *half) retry() {
	if h.tries == triesMax {
		h.conn.lose(h.side, transport.TimedOut, false)
		return
	}
	h.schedule(h.conn.net.now.Add(retryFirst << h.tries))
	h.tries++
}

type pathState uint8

const (
	pathClear   pathState = iota
	pathBlocked           // nothing arrives, now
	pathUnknown           // it arrives as from somebody else, who has no stream
)

// path returns how it stands with the way from side to the other. The address
// of side 0 is the one that can change.
func (c *conn) path(side int) pathState {
	n, from, to := c.net, &c.ends[side], &c.ends[1-side]
	switch {
	case to.node == nil, from.node.offline, to.node.offline, n.cut(from.node, to.node):
		return pathBlocked
	case !to.node.owns(to.local.Addr()), !from.node.owns(from.local.Addr()):
		return pathBlocked
	case c.mapped == nil:
		return pathClear
	}
	nat := c.ends[0].node.nat
	switch {
	case !nat.holds(n.now, c.mapped) && side == 0:
		return pathUnknown
	case !nat.holds(n.now, c.mapped):
		return pathBlocked
	case side == 0 || nat.config.InboundRefresh:
		c.mapped.used = n.now
	}
	return pathClear
}

// arrive hands a segment to the end at side.
func (c *conn) arrive(side int, s segment) {
	e := &c.ends[side]
	switch {
	case s.kind == segmentSYN:
		c.accept()
	case s.kind == segmentSYNACK && e.state == opening:
		e.state = open
		c.see(side, transport.StreamOpened, true, nil, "")
		c.call(side, func(h transport.Host, now clock.Instant, out *transport.Out) {
			h.StreamOpened(now, transport.Stream{ID: e.id, Local: e.local, Peer: e.peer}, out)
		})
	case s.kind == segmentRST && e.state == opening:
		c.lose(side, transport.Refused, false)
	case s.kind == segmentRST:
		c.lose(side, transport.ResetByPeer, false)
	case e.state == gone:
		c.answerReset(side)
	case e.state == finished:
		// Nobody listens any more, but the end is polite.
	case s.kind == segmentData:
		c.see(side, transport.StreamChunk, false, s.data, "")
		c.call(side, func(h transport.Host, now clock.Instant, out *transport.Out) {
			h.StreamData(now, e.id, s.data, out)
		})
	case s.kind == segmentFIN:
		c.finish(side, transport.ClosedByPeer, false)
	}
}

// accept opens the end of side 1, if its node listens there.
func (c *conn) accept() {
	e := &c.ends[1]
	if !e.node.listens(e.local.Port()) {
		e.state = gone
		c.answerReset(1)
		return
	}
	n := c.net
	e.id, e.state = n.ids.Next(), open
	n.streams[e.id] = endRef{c, 1}
	c.see(1, transport.StreamOpened, false, nil, "")
	c.say(1, segmentSYNACK, nil, 0)
	c.call(1, func(h transport.Host, now clock.Instant, out *transport.Out) {
		h.StreamOpened(now, transport.Stream{ID: e.id, Local: e.local, Peer: e.peer, Accepted: true}, out)
	})
}

// answerReset says RST for an end that does not exist any more.
func (c *conn) answerReset(side int) {
	if other := c.ends[1-side].state; other < finished {
		c.halves[side].forget()
		c.say(side, segmentRST, nil, 0)
	}
}

// finish ends a side in good order.
func (c *conn) finish(side int, cause transport.Cause, local bool) {
	c.end(side, finished, cause, local)
}

// lose ends a side; what it still had to say is lost, except its RST.
func (c *conn) lose(side int, cause transport.Cause, local bool) {
	if !local {
		c.halves[side].forget()
	}
	c.end(side, gone, cause, local)
}

// end ends a side and tells its host, unless the host did it itself or knows
// already.
func (c *conn) end(side int, state endState, cause transport.Cause, local bool) {
	e := &c.ends[side]
	before := e.state
	e.state = max(before, state)
	if before < finished && e.id != 0 {
		c.seeEnd(side, cause, local)
		if !local {
			c.call(side, func(h transport.Host, now clock.Instant, out *transport.Out) {
				h.StreamClosed(now, e.id, cause, out)
			})
		}
	}
	c.cleanUp()
}

// vanish ends a side without a word to anybody.
func (c *conn) vanish(side int) {
	c.halves[side].forget()
	c.ends[side].state = gone
	c.cleanUp()
}

// cleanUp forgets the stream once both sides are over.
func (c *conn) cleanUp() {
	if c.ends[0].state < finished || c.ends[1].state < finished && c.ends[1].id != 0 {
		return
	}
	for i := range c.ends {
		delete(c.net.streams, c.ends[i].id)
	}
}

func (c *conn) call(side int, f func(transport.Host, clock.Instant, *transport.Out)) {
	n, node := c.net, c.ends[side].node
	n.enter()
	f(node.host, n.now, n.out)
	n.leave(node)
}

// see tells the tap what passes at one end.
func (c *conn) see(side int, kind transport.SightingKind, sent bool, data []byte, lost string) {
	if c.net.config.Tap != nil {
		e := &c.ends[side]
		c.net.config.Tap(transport.Sighting{At: c.net.now, Kind: kind, Sent: sent, Stream: e.id, Lost: lost,
			Packet: transport.Packet{Local: e.local, Peer: e.peer, Data: data}})
	}
}

func (c *conn) seeEnd(side int, cause transport.Cause, local bool) {
	if c.net.config.Tap != nil {
		e := &c.ends[side]
		c.net.config.Tap(transport.Sighting{At: c.net.now, Kind: transport.StreamEnded, Sent: local, Stream: e.id, Cause: cause,
			Packet: transport.Packet{Local: e.local, Peer: e.peer}})
	}
}
