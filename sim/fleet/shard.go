package fleet

import (
	"sync"
	"sync/atomic"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/device"
	"github.com/muster/muster/transport"
	"github.com/muster/muster/transport/drive"
)

// A shard is the part of a Real fleet that has its own sockets: a transport.Host
// of many devices. Its calls come one at a time.
type shard struct {
	core
	fleet  *Real
	driver *drive.Driver
	wake   func(clock.Instant) // makes the driver look at Deadline
	find   func(transport.Packet) *member

	due   deadlines
	turns fifo // members that wait for their turn to connect
	ramps []ramp
	tasks Feed              // nil: none
	line  clock.Queue[held] // datagrams on their way

	pending  atomic.Bool // there are commands
	mu       sync.Mutex
	commands []command
	running  []command // the buffer that is being worked off
}

// A command is something to do to a member.
type command struct {
	m  *member
	do Action
	// prepare, if not nil, changes the member before.
	prepare func(c *core, m *member)
}

// batch is how many devices one Advance attends to before the sockets are read
// again.
const batch = 128

// enqueue hands a command to the shard, from any goroutine.
func (s *shard) enqueue(c command) {
	s.mu.Lock()
	s.commands = append(s.commands, c)
	s.mu.Unlock()
	if !s.pending.Swap(true) {
		s.wake(0)
	}
}

// act lets m have its way and notes when it wants attention next.
func (s *shard) act(now clock.Instant, m *member, out *transport.Out) {
	s.core.act(now, m, out)
	if !m.turn {
		s.due.arm(m, m.device.Deadline())
	}
}

// Datagram implements transport.Host.
func (s *shard) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	m := s.find(p)
	if m == nil || !m.open || p.Peer != s.cloud(m) {
		s.counters.stray.Add(1)
		return
	}
	if s.arrives(now, m, p) {
		s.give(now, m, p, out)
	}
}

// take is Datagram for what has been on its way.
func (s *shard) take(now clock.Instant, p transport.Packet, out *transport.Out) {
	if m := s.find(p); m != nil && m.open && p.Peer == s.cloud(m) {
		s.give(now, m, p, out)
	}
}

// give gives m a datagram.
func (s *shard) give(now clock.Instant, m *member, p transport.Packet, out *transport.Out) {
	s.received(now, m, len(p.Data))
	m.device.Datagram(now, p.Data, &s.out)
	s.act(now, m, out)
}

// StreamOpened implements transport.Host.
func (s *shard) StreamOpened(now clock.Instant, st transport.Stream, out *transport.Out) {
	if m := s.streams[st.ID]; m != nil {
		s.heard(now, m, s.streamOpened(now, m, out), out)
	}
}

// StreamData implements transport.Host.
func (s *shard) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	if m := s.streams[id]; m != nil {
		s.heard(now, m, s.streamData(now, m, b, out), out)
	}
}

// StreamClosed implements transport.Host.
func (s *shard) StreamClosed(now clock.Instant, id transport.StreamID, _ transport.Cause, out *transport.Out) {
	if m := s.streams[id]; m != nil {
		s.heard(now, m, s.streamClosed(now, m, out), out)
	}
}

// heard lets m act, if it heard of something.
func (s *shard) heard(now clock.Instant, m *member, is bool, out *transport.Out) {
	if is {
		s.act(now, m, out)
	}
}

// Advance does what is due, but not more than a batch: between two batches the
// sockets are read.
func (s *shard) Advance(now clock.Instant, out *transport.Out) {
	s.runCommands(now, out)
	s.runRamps(now, out)
	s.feed(now, out)
	s.release(now, out)
	s.nextTurns(now, out)
	for range batch {
		if s.due.next() > now {
			return
		}
		m := s.due.pop()
		switch {
		case m.device.Deadline() > now:
			s.due.arm(m, m.device.Deadline()) // it has moved away meanwhile
		case m.device.State() == device.Waiting && !s.mayConnect():
			m.turn = true
			s.turns.push(m)
			s.counters.queued.Store(int64(s.turns.len()))
		default:
			m.device.Advance(now, &s.out)
			s.act(now, m, out)
		}
	}
}

// Deadline implements transport.Host. Unlike other hosts a shard may have a
// deadline in the past when it has just advanced, and wants to be called again.
func (s *shard) Deadline() clock.Instant {
	if s.pending.Load() || s.turns.len() > 0 && s.mayConnect() {
		return 0
	}
	at := min(s.due.next(), s.line.Next())
	if s.tasks != nil {
		at = min(at, s.tasks.Due())
	}
	for i := range s.ramps {
		at = min(at, s.ramps[i].next())
	}
	return at
}

// runCommands works off what is queued.
func (s *shard) runCommands(now clock.Instant, out *transport.Out) {
	if !s.pending.Load() {
		return
	}
	s.mu.Lock()
	s.commands, s.running = s.running[:0], s.commands
	s.pending.Store(false)
	s.mu.Unlock()
	for _, c := range s.running {
		if c.prepare != nil {
			c.prepare(&s.core, c.m)
		}
		if c.do != nil {
			c.do(now, c.m.device, &s.out)
			s.act(now, c.m, out)
		}
	}
	clear(s.running)
}

// mayConnect reports whether one more device may begin to connect.
func (s *shard) mayConnect() bool {
	return s.options.Connecting < 0 || s.connecting < s.options.Connecting
}

// nextTurns lets those connect whose turn has come.
func (s *shard) nextTurns(now clock.Instant, out *transport.Out) {
	for s.turns.len() > 0 && s.mayConnect() {
		m := s.turns.pop()
		m.turn = false
		s.counters.queued.Store(int64(s.turns.len()))
		if m.device.Deadline() <= now {
			m.device.Advance(now, &s.out)
		}
		s.act(now, m, out)
	}
}
