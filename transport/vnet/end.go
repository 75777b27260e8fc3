package vnet

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

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
		c.net.config.Tap(transport.Sighting{
			At: c.net.now, Kind: kind, Sent: sent, Stream: e.id, Lost: lost,
			Packet: transport.Packet{Local: e.local, Peer: e.peer, Data: data},
		})
	}
}

func (c *conn) seeEnd(side int, cause transport.Cause, local bool) {
	if c.net.config.Tap != nil {
		e := &c.ends[side]
		c.net.config.Tap(transport.Sighting{
			At: c.net.now, Kind: transport.StreamEnded, Sent: local, Stream: e.id, Cause: cause,
			Packet: transport.Packet{Local: e.local, Peer: e.peer},
		})
	}
}
