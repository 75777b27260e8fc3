package vnet

import (
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
	case pathClear:
		// It arrives.
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
