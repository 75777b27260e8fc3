package fleet

import (
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A pipe is the stream of a device over a network that a [Net] makes worse. TCP hides
// what happens to its segments, so what is left of it for the two ends is time: a
// segment that is lost comes a retransmission later, with all that was said after it,
// and nothing overtakes. An outage is many losses in a row. Neither end is told: the
// device finds out by its own pings, or the stream goes on when the network is back.
//
// The segments themselves are the kernel's and do arrive; a pipe keeps what was written
// and what was read until it would have come.
type pipe struct {
	id     transport.StreamID // 0: the cloud has not heard of it yet
	ways   [2]way
	opened bool // the device has it
	closed bool // the device has it no more
	dead   bool // something on the way has forgotten it: nothing comes through
}

// The directions of a pipe.
const (
	wayUp = iota
	wayDown
)

// A way is one direction of a pipe: what is on it, in order. The first is waited for.
type way struct {
	queue []piece
	last  clock.Instant // when the last of it comes
	tries int           // of the first, in an outage
}

type pieceKind uint8

const (
	pieceOpen  pieceKind = iota // SYN, and SYN ACK
	pieceData                   // of one write or read
	pieceClose                  // FIN, or what ended the stream at the other end
)

type piece struct {
	kind pieceKind
	at   clock.Instant
	data []byte
}

// The retransmission timer of a segment, doubled with every try (RFC 6298, Sections 2.1
// and 2.4), how often it is tried again before the sender gives the stream up, and how
// much a segment holds at most.
const (
	retryFirst  = time.Second
	retriesMost = 7
	segmentSize = 1460
)

// dialPatience is how long a device waits for a stream to open.
const dialPatience = 20 * time.Second

// dial opens the stream of m, over a pipe if the network may be bad.
func (c *core) dial(now clock.Instant, m *member, out *transport.Out) {
	if c.path(now, m); c.options.Net == nil {
		c.connect(m, out)
		return
	}
	p := c.pipe(m)
	c.hold(held{at: now.Add(dialPatience), m: m, do: func(now clock.Instant, out *transport.Out) bool {
		return c.dialled(now, m, p, out)
	}})
	c.push(now, m, p, wayUp, pieceOpen, nil, out)
}

// connect opens the stream of m on the sockets.
func (c *core) connect(m *member, out *transport.Out) {
	m.stream = out.Dial(c.network.dialFrom(m), c.cloud(m))
	if c.streams != nil {
		c.streams[m.stream] = m
	}
}

// pipe returns a new pipe for m.
func (c *core) pipe(m *member) *pipe {
	if c.pipes == nil {
		c.pipes = make(map[int32]*pipe)
	}
	p := &pipe{id: m.stream}
	c.pipes[m.index] = p
	return p
}

// dialled ends an attempt that has taken too long. It reports whether m heard of it.
func (c *core) dialled(now clock.Instant, m *member, p *pipe, out *transport.Out) bool {
	if p.opened || p.closed {
		return false
	}
	if p.id != 0 {
		out.Abort(p.id)
	}
	c.part(m, p)
	m.device.StreamClosed(now, &c.out)
	return true
}

// write sends bytes on the stream of m.
func (c *core) write(now clock.Instant, m *member, data []byte, out *transport.Out) {
	if p := c.pipes[m.index]; p != nil {
		c.push(now, m, p, wayUp, pieceData, data, out)
		return
	}
	out.Write(m.stream, data)
}

// hangUp ends the stream of m for m.
func (c *core) hangUp(now clock.Instant, m *member, out *transport.Out) {
	p := c.pipes[m.index]
	switch {
	case p == nil && m.stream != 0: // else the network has ended it
		out.Close(m.stream)
		c.part(m, nil)
	case p != nil:
		c.part(m, p)
		if p.dead {
			c.leave(m, p, out)
			return
		}
		c.push(now, m, p, wayUp, pieceClose, nil, out)
	}
}

// part takes the stream away from m.
func (c *core) part(m *member, p *pipe) {
	if p != nil {
		p.closed = true
		delete(c.pipes, m.index)
	}
	delete(c.streams, m.stream)
	m.stream = 0
}

// leave keeps a stream that the cloud believes to be there still, until m has another
// one: only then the cloud may hear that it is over.
func (c *core) leave(m *member, p *pipe, out *transport.Out) {
	if p.id == 0 {
		return
	}
	c.abandoned(m, out)
	if c.left == nil {
		c.left = make(map[int32]transport.StreamID)
	}
	c.left[m.index] = p.id
}

// abandoned ends what was left.
func (c *core) abandoned(m *member, out *transport.Out) {
	if id, is := c.left[m.index]; is {
		out.Abort(id)
		delete(c.left, m.index)
	}
}

// forget makes the network forget the stream of m: nothing comes through any more, and
// nobody is told.
func (c *core) forget(m *member) {
	p := c.pipes[m.index]
	if p == nil {
		if m.stream == 0 {
			return
		}
		p = c.pipe(m)
		p.opened = true
	}
	p.dead = true
	p.ways = [2]way{}
}

// reset ends the stream of m for both ends, as something on the way does that sends
// each of them a RST. It reports whether there was one.
func (c *core) reset(now clock.Instant, m *member, out *transport.Out) bool {
	p := c.pipes[m.index]
	if m.stream == 0 || p != nil && (p.dead || !p.opened) {
		return false
	}
	out.Abort(m.stream)
	c.part(m, p)
	m.device.StreamClosed(now, &c.out)
	return true
}

// streamOpened, streamData and streamClosed take what the sockets tell of the stream of
// m, and report whether m heard of it.
func (c *core) streamOpened(now clock.Instant, m *member, out *transport.Out) bool {
	c.abandoned(m, out)
	if p := c.pipes[m.index]; p != nil {
		return c.push(now, m, p, wayDown, pieceOpen, nil, out)
	}
	m.device.StreamOpened(now, &c.out)
	return true
}

func (c *core) streamData(now clock.Instant, m *member, b []byte, out *transport.Out) bool {
	if p := c.pipes[m.index]; p != nil {
		return c.push(now, m, p, wayDown, pieceData, b, out)
	}
	c.received(now, m, len(b))
	m.device.StreamData(now, b, &c.out)
	return true
}

func (c *core) streamClosed(now clock.Instant, m *member, out *transport.Out) bool {
	if p := c.pipes[m.index]; p != nil {
		return c.push(now, m, p, wayDown, pieceClose, nil, out)
	}
	c.part(m, nil)
	m.device.StreamClosed(now, &c.out)
	return true
}

// push puts something on a way. It reports whether m heard of it, which is so when it
// comes at once.
func (c *core) push(now clock.Instant, m *member, p *pipe, to int, kind pieceKind, data []byte, out *transport.Out) bool {
	if p.dead {
		if c.options.Net != nil {
			c.options.Net.Lost(int(m.index), now)
		}
		return false
	}
	w := &p.ways[to]
	at := max(now.Add(c.transit(now, m, len(data))), w.last)
	w.last = at
	if len(w.queue) == 0 && at <= now && !c.isCut(now, m) {
		return c.arrive(now, m, p, to, piece{kind, at, data}, out)
	}
	w.queue = append(w.queue, piece{kind, at, slices.Clone(data)})
	if len(w.queue) == 1 {
		c.await(m, p, to, at)
	}
	return false
}

// transit returns how long something takes, with what is lost on the way and comes
// again. An outage is found when it is to arrive.
func (c *core) transit(now clock.Instant, m *member, bytes int) (took time.Duration) {
	path := c.path(now, m)
	if path == nil || path.Cut {
		return 0
	}
	for range max(1, (bytes+segmentSize-1)/segmentSize) {
		one := path.Delay
		if path.Jitter > 0 {
			one += time.Duration(c.chance.Float64() * float64(path.Jitter))
		}
		for try := 0; try < retriesMost && c.chance.Float64() < path.Loss; try++ {
			c.options.Net.Lost(int(m.index), now)
			one += (retryFirst + 2*path.Delay + path.Jitter) << try
		}
		took = max(took, one)
	}
	return took
}

func (c *core) isCut(now clock.Instant, m *member) bool {
	path := c.path(now, m)
	return path != nil && path.Cut
}

// await looks at the first of a way when it should have come.
func (c *core) await(m *member, p *pipe, to int, at clock.Instant) {
	c.hold(held{at: at, m: m, do: func(now clock.Instant, out *transport.Out) bool {
		return c.due(now, m, p, to, out)
	}})
}

// due lets the first of a way come, and what came with it, or tries again later. It
// reports whether m heard of it.
func (c *core) due(now clock.Instant, m *member, p *pipe, to int, out *transport.Out) (heard bool) {
	w := &p.ways[to]
	if p.closed && p.id == 0 {
		w.queue = nil // it never came to be
	}
	for len(w.queue) > 0 {
		first := w.queue[0]
		if now < first.at {
			c.await(m, p, to, first.at)
			return heard
		}
		if c.isCut(now, m) {
			c.options.Net.Lost(int(m.index), now)
			if w.tries == retriesMost {
				return c.giveUp(now, m, p, to, out) || heard
			}
			c.await(m, p, to, now.Add(retryFirst<<w.tries))
			w.tries++
			return heard
		}
		w.queue, w.tries = w.queue[1:], 0
		heard = c.arrive(now, m, p, to, first, out) || heard
		if heard && len(w.queue) > 0 { // the device acts on it before the next one comes
			c.await(m, p, to, now)
			return heard
		}
	}
	return heard
}

// giveUp ends a pipe after too many tries: the end that spoke hears of it.
func (c *core) giveUp(now clock.Instant, m *member, p *pipe, to int, out *transport.Out) bool {
	p.dead, p.ways = true, [2]way{}
	switch {
	case p.closed:
		c.leave(m, p, out)
		return false
	case to == wayDown:
		out.Abort(p.id)
		return false
	}
	c.part(m, p)
	c.leave(m, p, out)
	m.device.StreamClosed(now, &c.out)
	return true
}

// arrive lets something come to its end. It reports whether that is m.
func (c *core) arrive(now clock.Instant, m *member, p *pipe, to int, one piece, out *transport.Out) bool {
	if to == wayUp {
		switch {
		case one.kind == pieceOpen && !p.closed:
			c.connect(m, out)
			p.id = m.stream
		case one.kind == pieceData:
			out.Write(p.id, one.data)
		case one.kind == pieceClose && p.id != 0:
			out.Close(p.id)
		}
		return false
	}
	if p.closed {
		return false
	}
	switch one.kind {
	case pieceOpen:
		p.opened = true
		m.device.StreamOpened(now, &c.out)
	case pieceData:
		c.received(now, m, len(one.data))
		m.device.StreamData(now, one.data, &c.out)
	case pieceClose:
		c.part(m, p)
		m.device.StreamClosed(now, &c.out)
	}
	return true
}
