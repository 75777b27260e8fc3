package fleet

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Feed is what a shard is to do to its devices, in the order of time. A shard
// asks for it whenever it has its turn: no queue, no lock and no other goroutine
// stand between a workload and its devices.
//
// Its methods are called on the shard's goroutine only, on which Observers are
// called too.
type Feed interface {
	// Due returns when the next task is due, clock.Never when there is none at
	// present. It is asked after every call of the shard and must cost next to
	// nothing.
	Due() clock.Instant
	// Take returns the next task, which is due.
	Take(now clock.Instant) Task
}

// A Task is something to do to a device of the shard.
type Task struct {
	Device int
	// Rebind gives the device another address that it does not know of, as a NAT
	// does that has forgotten it. Nothing comes through its stream any more, and nobody
	// is told: the device finds out by itself.
	Rebind bool
	// Reset ends its stream for both ends, as something on the way does.
	Reset bool
	// Do comes after that, if not nil.
	Do Action
}

// feed carries out tasks that are due, a batch at most.
func (s *shard) feed(now clock.Instant, out *transport.Out) {
	if s.tasks == nil {
		return
	}
	for n := 0; n < batch && s.tasks.Due() <= now; n++ {
		t := s.tasks.Take(now)
		m := s.fleet.table.get(t.Device)
		s.task(now, m, t, out)
		s.act(now, m, out)
	}
}

// task begins a task; what it leads to is in c.out.
func (c *core) task(now clock.Instant, m *member, t Task, out *transport.Out) {
	if t.Rebind {
		c.network.move(m)
		switch {
		case !m.device.Profile().Board.UDP:
			c.forget(m)
		case m.open:
			m.open = c.network.open(m, c.cloud(m))
		}
	}
	if t.Reset {
		c.reset(now, m, out)
	}
	if t.Do != nil {
		t.Do(now, m.device, &c.out)
	}
}

// Shards returns how many parts the fleet has; device i belongs to part
// i % Shards().
func (f *Real) Shards() int { return len(f.shards) }

// Feed gives a shard what it is to do, before Run.
func (f *Real) Feed(shard int, feed Feed) { f.shards[shard].tasks = feed }

// Shards is 1: devices of a network take turns.
func (f *Virtual) Shards() int { return 1 }

// Feed gives the fleet what it is to do.
func (f *Virtual) Feed(_ int, feed Feed) {
	f.tasks = feed
	f.fed()
}

// fed carries out what is due and comes back when more is.
func (f *Virtual) fed() {
	if f.tasks == nil {
		return
	}
	for now := f.net.Now(); f.tasks.Due() <= now; {
		t := f.tasks.Take(now)
		m := f.table.get(t.Device)
		f.nodes[t.Device].Do(func(now clock.Instant, out *transport.Out) {
			f.task(now, m, t, out)
			f.act(now, m, out)
		})
	}
	f.look()
}

// act is core.act; an Observer may have added a task.
func (f *Virtual) act(now clock.Instant, m *member, out *transport.Out) {
	f.core.act(now, m, out)
	if f.tasks != nil {
		f.look()
	}
}

// look sees to it that fed is called when the next task is due.
func (f *Virtual) look() {
	if due := f.tasks.Due(); due < f.looks {
		f.looks = due
		f.net.At(due, func() {
			if f.looks == due {
				f.looks = clock.Never
			}
			f.fed()
		})
	}
}
