package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

// Options say what a Coordinator has to do. Zero fields mean the documented default.
type Options struct {
	Devices int           // of the fleet, 1 or more
	Length  time.Duration // of all phases
	Every   time.Duration // length of an interval; 0: 1 s
	Drain   time.Duration // how long the end may wait for what is unacknowledged
	Version string        // of the program
	Parts   int           // how many parts; 0: what suits the workers
	// Workers is how many there must be before it begins; 0: as many as have room
	// for all devices.
	Workers int
	// PerSocket says that each device needs a socket of its own.
	PerSocket bool
	// Wait is how long workers may take to come; 0: 1 min.
	Wait time.Duration
	// Prepare is how long they may take to be ready; 0: 15 min.
	Prepare time.Duration
	// Lease is how long a silent worker keeps its parts; 0: DefaultLease.
	Lease time.Duration
	// Object returns why a worker is not let in, "" when it is; nil: all are.
	Object func(h *Hello) string
	// Lead is how long before it begins that is told; 0: 2 s.
	Lead time.Duration
}

// DefaultLease is how long a silent worker keeps its parts.
const DefaultLease = 10 * time.Second

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.Every, time.Second)
	set(&o.Wait, time.Minute)
	set(&o.Prepare, 15*time.Minute)
	set(&o.Lease, DefaultLease)
	set(&o.Lead, 2*time.Second)
	return o
}

// A Stage is how far a run is.
type Stage string

// The stages of a run.
//
//	gathering --enough workers--> preparing --all ready--> running --length over--> closing --> over
//	    |                             |                       |                        ^
//	    +--none in time, or interrupted: over                 +------interrupted-------+
const (
	Gathering Stage = "gathering"
	Preparing Stage = "preparing"
	Running   Stage = "running"
	Closing   Stage = "closing"
	Over      Stage = "over"
)

// A Coordinator gives the parts of a fleet to workers, and adds up what they
// measure. It may be made anew in the middle of a run: see Resume.
type Coordinator struct {
	o       Options
	stage   Stage
	since   clock.Instant // of the stage
	settled clock.Instant // when the last worker came
	begin   clock.Instant // of the first phase; Never: not known
	close   clock.Instant // when it stops waiting for what is missing
	parts   []Part
	slots   []slot
	workers map[string]*worker // by session
	order   []string           // sessions, as they came
	hosts   []record.Host      // of all that ever took part
	ledger  *Ledger
	length  time.Duration
	behind  bool   // what was stored before a Resume has not come yet
	asked   bool   // whether all that is stored has come
	stopped string // why the workers were told to stop
	broken  error
}

// A slot is what is known of the lease of a part.
type slot struct {
	lease    Lease
	revision uint64        // 0: there is none
	seen     clock.Instant // when it was seen to change
	writing  bool          // a change is on its way
	failed   map[string]bool
	reason   string
	unowned  bool // that nobody has room was told
}

// A worker is what is known of one.
type worker struct {
	hello    Hello
	heard    clock.Instant
	admitted bool
	refused  string
}

// NewCoordinator returns one that looks out for workers.
func NewCoordinator(now clock.Instant, o Options) *Coordinator {
	return &Coordinator{
		o: o.withDefaults(), stage: Gathering, since: now, settled: now, begin: clock.Never, close: clock.Never,
		workers: make(map[string]*worker),
	}
}

// Resume goes on with a run of which the parts are stored, and when it begins or has
// begun; Never: not yet. The leases and all batches are to be given to it as if
// they were new.
func (c *Coordinator) Resume(now clock.Instant, parts []Part, begin clock.Instant) {
	c.adopt(parts)
	c.enter(now, Preparing)
	c.behind = true
	if begin != clock.Never {
		c.begin = begin
		c.enter(now, Running)
	}
}

func (c *Coordinator) adopt(parts []Part) {
	c.parts, c.slots = parts, make([]slot, len(parts))
	for i := range c.slots {
		// A lease that is not seen yet may be there: its owner gets its time.
		c.slots[i].failed = make(map[string]bool)
	}
	c.ledger = NewLedger(parts, c.o.Every)
}

func (c *Coordinator) enter(now clock.Instant, s Stage) { c.stage, c.since = s, now }

// Hello takes a sign of life of a worker.
func (c *Coordinator) Hello(now clock.Instant, h Hello, out *Out) {
	w := c.workers[h.Session]
	if h.Leaving {
		delete(c.workers, h.Session)
		c.order = slices.DeleteFunc(c.order, func(s string) bool { return s == h.Session })
		return
	}
	if why := c.objection(now, &h); why != "" {
		if w == nil {
			w = &worker{}
			c.workers[h.Session] = w
		}
		w.hello, w.heard, w.admitted = h, now, false
		out.Refuse = append(out.Refuse, Refusal{h.Session, h.Name, why})
		if w.refused != why {
			w.refused = why
			out.Notes = append(out.Notes, record.Note{At: offset(c.begin, now), Kind: kindWorker, Text: fmt.Sprintf("worker %s on %s is refused: %s", h.Name, h.Host.Name, why)})
		}
		return
	}
	if w == nil || !w.admitted {
		w = &worker{admitted: true}
		c.workers[h.Session] = w
		c.order = append(c.order, h.Session)
		c.Known(&h)
		c.settled = now
		out.Admit = append(out.Admit, h.Session)
	}
	w.hello, w.heard, w.refused = h, now, ""
	c.Advance(now, out)
}

// objection returns why a worker cannot take part, or "".
func (c *Coordinator) objection(now clock.Instant, h *Hello) string {
	switch {
	case h.Protocol != Protocol:
		return fmt.Sprintf("it speaks version %d of the protocol between workers, and the coordinator version %d: run the same muster everywhere", h.Protocol, Protocol)
	case h.Version != c.o.Version:
		return fmt.Sprintf("it is muster %s, and the coordinator is %s: run the same muster everywhere, or two programs are measured as one", h.Version, c.o.Version)
	case !ValidName(h.Name):
		return fmt.Sprintf("%q is no name: want up to 64 letters, digits, _ and -", h.Name)
	}
	if c.o.Object != nil {
		if why := c.o.Object(h); why != "" {
			return why
		}
	}
	for session, w := range c.workers {
		if session != h.Session && w.admitted && w.hello.Name == h.Name && now.Sub(w.heard) < c.o.Lease {
			return fmt.Sprintf("there is another worker %s, on %s: give each a name of its own with --name", h.Name, w.hello.Host.Name)
		}
	}
	return ""
}

// Observe takes what is stored as the lease of a part.
func (c *Coordinator) Observe(now clock.Instant, l Lease, revision uint64, out *Out) {
	if l.Part < 0 || l.Part >= len(c.slots) {
		return
	}
	s := &c.slots[l.Part]
	if revision <= s.revision {
		return
	}
	before := s.lease
	s.lease, s.revision, s.seen, s.writing = l, revision, now, false
	switch {
	case l.State == Failed && before.State != Failed:
		s.failed[l.Session], s.reason = true, l.Why
		c.tell(now, out, fmt.Sprintf("failed/%d/%d", l.Part, l.Epoch), 0, "worker %s cannot run %v: %s", l.Worker, c.parts[l.Part], l.Why)
	case l.State == Held && l.Epoch > 1 && (before.Epoch != l.Epoch || before.State == Offered):
		c.takenOver(now, l, before, out)
	}
	c.Advance(now, out)
}

// Restore takes a lease that was stored before a Resume. Its owner has all of its
// time from now on.
func (c *Coordinator) Restore(now clock.Instant, l Lease, revision uint64) {
	if l.Part >= 0 && l.Part < len(c.slots) {
		s := &c.slots[l.Part]
		s.lease, s.revision, s.seen = l, revision, now
		if l.State == Failed {
			s.failed[l.Session] = true
		}
	}
}

// takenOver tells that a part has another owner.
func (c *Coordinator) takenOver(now clock.Instant, l, before Lease, out *Out) {
	p := c.parts[l.Part]
	key := fmt.Sprintf("taken/%d/%d", l.Part, l.Epoch)
	if c.begin == clock.Never || now < c.begin {
		c.tell(now, out, key, 0, "%v is with worker %s now: worker %s had it before the beginning", p, l.Worker, c.previous(l, before))
		return
	}
	c.tell(now, out, key, uint64(p.Count), "%v, which worker %s had, is taken over by worker %s: %s connect anew with a full handshake, for their sessions were in the memory of %s",
		p, c.previous(l, before), l.Worker, plural(p.Count, "device"), c.previous(l, before))
}

// previous names the owner before l.
func (c *Coordinator) previous(l, before Lease) string {
	if before.Epoch == l.Epoch-1 {
		return before.Worker
	}
	if s := c.ledger.owners[owner{l.Part, l.Epoch - 1}]; s != nil {
		return s.worker
	}
	if l.After != "" {
		return l.After
	}
	return "another"
}

// Rejected says that a lease could not be stored as wanted: it was changed
// meanwhile, or the server is out of reach.
func (c *Coordinator) Rejected(part int) { c.slots[part].writing = false }

// Take takes a batch.
func (c *Coordinator) Take(now clock.Instant, b *Batch, out *Out) {
	if c.ledger == nil {
		return
	}
	if c.ledger.Add(b, out) && c.stage == Closing {
		c.close = max(c.close, now.Add(2*c.o.Lease)) // somebody still has something to tell
	}
	c.give(now, out)
	c.Advance(now, out)
}

// tell has a note stored, so that it is told once however often the coordinator
// is started.
func (c *Coordinator) tell(now clock.Instant, out *Out, key string, count uint64, format string, args ...any) {
	out.Publish = append(out.Publish, Batch{Part: -1, Key: key, Notes: []record.Note{
		{At: offset(c.begin, now), Kind: kindWorker, Text: fmt.Sprintf(format, args...), Count: count},
	}})
}

// Interrupt ends the run.
func (c *Coordinator) Interrupt(now clock.Instant, why string, out *Out) {
	switch c.stage {
	case Gathering, Preparing:
		out.Stop, c.stopped = why, why
		c.finish(now, out, errors.New(why))
	case Running:
		if c.begin > now {
			out.Stop, c.stopped = why, why
			c.finish(now, out, errors.New(why))
			return
		}
		out.Stop, c.stopped = why, why
		c.shut(now)
		c.Advance(now, out)
	case Closing, Over:
	}
}

// shut begins to wait for the last that workers have to say.
func (c *Coordinator) shut(now clock.Instant) {
	c.enter(now, Closing)
	c.close = now.Add(c.o.Drain + 2*c.o.Lease + 2*c.o.Every)
}

func (c *Coordinator) finish(now clock.Instant, out *Out, err error) {
	c.enter(now, Over)
	c.broken = err
	out.Over, out.Err = true, err
}

// Advance does what is due.
func (c *Coordinator) Advance(now clock.Instant, out *Out) {
	if c.behind && !c.asked && c.stage != Over {
		c.asked, out.CatchUp = true, true
	}
	switch c.stage {
	case Gathering:
		c.gather(now, out)
	case Preparing:
		c.prepare(now, out)
	case Running:
		c.assign(now, out)
		c.give(now, out)
		if now >= c.begin.Add(c.o.Length) || c.allDone() {
			c.shut(now)
		}
	case Closing:
		c.give(now, out)
		if !c.asked && (c.allIn(now) || now >= c.close) {
			c.asked, out.CatchUp = true, true
		}
	case Over:
	}
}

// give gives out the intervals that are told of by all who can tell, or should have
// been by now.
func (c *Coordinator) give(now clock.Instant, out *Out) {
	if c.begin == clock.Never || now < c.begin || c.behind {
		return
	}
	until := c.ledger.latest(func(part int) bool {
		s := &c.slots[part]
		return (s.lease.State == Held || s.lease.State == Ready) && now.Sub(s.seen) < c.o.Lease
	})
	// Who is late by more than this is not waited for.
	const patience = 3
	until = max(until, now.Sub(c.begin)-patience*max(c.o.Every, time.Second))
	c.ledger.Give(until, out)
}

// allDone reports whether nothing runs any more.
func (c *Coordinator) allDone() bool {
	for i := range c.slots {
		if c.slots[i].lease.State != Done {
			return false
		}
	}
	return true
}

// allIn reports whether all that can come has come.
func (c *Coordinator) allIn(now clock.Instant) bool {
	for i := range c.slots {
		s := &c.slots[i]
		switch s.lease.State {
		case Done, Released, Failed:
			if s.lease.Epoch > 0 && !c.ledger.complete(i, s.lease.Epoch) {
				return false
			}
		case Offered, "":
		default:
			if now.Sub(s.seen) < c.o.Lease {
				return false
			}
		}
	}
	return true
}

// CaughtUp says that all that was stored when CatchUp was asked for has been taken,
// or that this cannot be known. At the end of a run it was the last to wait for.
func (c *Coordinator) CaughtUp(now clock.Instant, known bool, out *Out) {
	if c.behind {
		c.behind, c.asked = false, false
		c.Advance(now, out)
		return
	}
	if c.stage != Closing {
		return
	}
	if !known {
		out.Notes = append(out.Notes, record.Note{At: offset(c.begin, now), Kind: kindWorker, Text: "the server did not say whether all that workers measured has come: some may be missing"})
	}
	c.conclude(now, out)
}

// conclude tells what is missing and ends.
func (c *Coordinator) conclude(now clock.Instant, out *Out) {
	c.length = min(c.o.Length, c.since.Sub(c.begin))
	until := c.length.Truncate(c.o.Every)
	c.ledger.Give(math.MaxInt64, out)
	out.Notes = append(out.Notes, c.ledger.Counted()...)
	out.Notes = append(out.Notes, c.Summary(until)...)
	c.finish(now, out, nil)
}

// Known notes a worker that takes part, or did before a Resume.
func (c *Coordinator) Known(h *Hello) {
	host := h.Host
	host.Worker = h.Name
	if !slices.Contains(c.hosts, host) {
		c.hosts = append(c.hosts, host)
	}
}
