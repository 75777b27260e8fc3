package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// settle is how long a Coordinator with all it needs looks out for more workers.
const settle = 2 * time.Second

// gather waits for workers, and plans the parts.
func (c *Coordinator) gather(now clock.Instant, out *Out) {
	live := c.live(now)
	capacities, _ := c.room(live)
	total := sum(capacities)
	enough := len(live) >= max(1, c.o.Workers) && total >= c.o.Devices
	waited := now.Sub(c.since)
	switch {
	case !enough && waited < c.o.Wait, enough && now.Sub(c.settled) < settle:
		return
	case len(live) == 0:
		c.finish(now, out, c.nobody(waited))
		return
	case !enough && len(live) < c.o.Workers:
		c.finish(now, out, fmt.Errorf("%s came in %v, and %d are wanted: start more, or ask for fewer with --workers", plural(len(live), "worker"), waited.Round(time.Second), c.o.Workers))
		return
	}
	parts := partsFor(c.o.Devices, capacities)
	if c.o.Parts > 0 {
		if parts = Split(c.o.Devices, c.o.Parts); !fits(parts, capacities) {
			parts = nil
		}
	}
	if total < c.o.Devices || parts == nil {
		c.finish(now, out, fmt.Errorf("%s with room for %s, and the fleet has %d: start more workers, or give them more room with --capacity%s",
			plural(len(live), "worker"), plural(total, "device"), c.o.Devices, c.socketsHint()))
		return
	}
	out.Plan = parts
	c.adopt(parts)
	c.enter(now, Preparing)
	c.prepare(now, out)
}

func (c *Coordinator) socketsHint() string {
	if c.o.PerSocket {
		return " and, as each device needs a socket of its own, with ulimit -n"
	}
	return ""
}

// nobody says that there is no worker, or none that may take part.
func (c *Coordinator) nobody(waited time.Duration) error {
	for _, w := range c.workers {
		if w.refused != "" {
			return fmt.Errorf("no worker can take part: worker %s on %s: %s", w.hello.Name, w.hello.Host.Name, w.refused)
		}
	}
	return fmt.Errorf("no worker came in %v: start some with \"muster fleet worker --nats URL\", on this server, and see that they are not at work for another run", waited.Round(time.Second))
}

func fits(parts []Part, capacities []int) bool {
	_, all := spread(parts, capacities, make([]int, len(capacities)))
	return all
}

// live returns the sessions of workers that have been heard lately, as they came.
func (c *Coordinator) live(now clock.Instant) (list []string) {
	for _, s := range c.order {
		if w := c.workers[s]; w.admitted && now.Sub(w.heard) < c.o.Lease {
			list = append(list, s)
		}
	}
	return list
}

// room returns for how many devices workers have room, and how many they have.
func (c *Coordinator) room(sessions []string) (capacities, have []int) {
	for _, s := range sessions {
		h := &c.workers[s].hello
		n := h.Capacity
		if c.o.PerSocket {
			n = min(n, h.Sockets)
		}
		capacities = append(capacities, n)
		load := 0
		for i := range c.slots {
			if l := &c.slots[i].lease; l.Session == s && l.State.owned() {
				load += c.parts[i].Count
			}
		}
		have = append(have, load)
	}
	return capacities, have
}

// prepare gives the parts out and waits until all are ready.
func (c *Coordinator) prepare(now clock.Instant, out *Out) {
	c.assign(now, out)
	ready := 0
	for i := range c.slots {
		s := &c.slots[i]
		if s.lease.State == Ready {
			ready++
		}
		if s.lease.State == Failed && !s.writing && c.hopeless(now, s) {
			out.Stop, c.stopped = "a part cannot be run", "a part cannot be run"
			c.finish(now, out, fmt.Errorf("no worker can run %v: worker %s: %s", c.parts[i], s.lease.Worker, s.lease.Why))
			return
		}
	}
	if ready == len(c.slots) {
		c.begin = now.Add(c.o.Lead)
		out.Begin = c.begin
		c.enter(now, Running)
		return
	}
	if now.Sub(c.since) >= c.o.Prepare {
		out.Stop, c.stopped = "the workers were not ready in time", "the workers were not ready in time"
		c.finish(now, out, fmt.Errorf("after %v %d of %d parts are ready: look at what the workers say, or give them more time with --prepare", c.o.Prepare, ready, len(c.slots)))
	}
}

// hopeless reports whether every worker has failed at a part.
func (c *Coordinator) hopeless(now clock.Instant, s *slot) bool {
	for _, session := range c.live(now) {
		if !s.failed[session] {
			return false
		}
	}
	return true
}

// assign offers parts that have no owner to workers with room.
func (c *Coordinator) assign(now clock.Instant, out *Out) {
	live := c.live(now)
	capacities, have := c.room(live)
	for i := range c.slots {
		s := &c.slots[i]
		if s.writing || !c.free(now, s) {
			continue
		}
		mine := slices.Clone(capacities)
		for k, session := range live {
			if s.failed[session] || s.lease.Session == session && s.lease.State.owned() {
				mine[k] = 0 // it failed, or is silent with this very part
			}
		}
		who, ok := spread(c.parts[i:i+1], mine, have)
		if !ok {
			c.noRoom(now, i, out)
			continue
		}
		session := live[who[0]]
		have[who[0]] += c.parts[i].Count
		s.writing, s.unowned = true, false
		out.Leases = append(out.Leases, Write{Revision: s.revision, Lease: Lease{
			Part: i, Epoch: s.lease.Epoch + 1, Worker: c.workers[session].hello.Name, Session: session, State: Offered, After: s.lease.Worker,
		}})
	}
}

// free reports whether a part may be given away.
func (c *Coordinator) free(now clock.Instant, s *slot) bool {
	switch s.lease.State {
	case Done:
		return false
	case Released, Failed:
		return true
	case "":
		return now.Sub(c.since) >= 0 && s.revision == 0
	default:
		return now.Sub(s.seen) >= c.o.Lease
	}
}

// noRoom tells once that nobody can take over a part.
func (c *Coordinator) noRoom(now clock.Instant, part int, out *Out) {
	s := &c.slots[part]
	if s.unowned || c.stage != Running || s.lease.Epoch == 0 {
		return
	}
	s.unowned = true
	c.tell(now, out, fmt.Sprintf("unowned/%d/%d", part, s.lease.Epoch), uint64(c.parts[part].Count),
		"%v, which worker %s had, is run by nobody: no other worker has room for it", c.parts[part], s.lease.Worker)
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}
