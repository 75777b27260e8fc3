package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/sim/record"
)

// A world is a run in virtual time: a coordinator, workers whose clocks run
// differently, and a server between them that may be slow or out of reach.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	o       Options
	now     clock.Instant // true time
	events  clock.Queue[func()]
	server  server
	bosses  []*boss
	workers []*body
	sending map[int]map[*body]clock.Instant // who sends for a part, since when
	doubles int
	counted uint64 // what workers measured and the server stored
	given   uint64 // what came out
	samples []record.Sample
	notes   []record.Note
	over    bool
	err     error
}

// A server stores leases and batches.
type server struct {
	revision uint64
	leases   map[int]Lease
	at       map[int]uint64
	batches  []Batch
	ids      map[string]bool
	parts    []Part
	begin    clock.Instant
	stop     string
}

// A boss is a coordinator's process.
type boss struct {
	w       *world
	machine *Coordinator
	out     Out
	alive   bool
	cut     bool // it does not reach the server
	asked   bool // to catch up
	read    int  // of the server's batches
}

// A body is a worker's process.
type body struct {
	w       *world
	name    string
	session string
	machine *Worker
	out     WorkerOut
	offset  time.Duration
	rate    float64 // its seconds in a true one
	room    int
	alive   bool
	cut     bool
	seq     map[owner]uint64
	tasks   map[int]*work
	unsent  []Batch
}

type work struct {
	lease Lease
	ends  string // "" runs
	last  time.Duration
}

func newWorld(t *testing.T, seed uint64, o Options) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), o: o.withDefaults(), sending: make(map[int]map[*body]clock.Instant),
		server: server{leases: make(map[int]Lease), at: make(map[int]uint64), ids: make(map[string]bool), begin: clock.Never},
	}
	w.startBoss()
	return w
}

// in has something done after a while.
func (w *world) in(d time.Duration, do func()) {
	w.events.Push(w.now.Add(d), do)
}

// soon has something done after the time that a message takes.
func (w *world) soon(do func()) { w.in(time.Duration(w.rng.IntN(int(40*time.Millisecond))), do) }

// run lets time pass.
func (w *world) run(d time.Duration) {
	until := w.now.Add(d)
	for w.events.Next() <= until && !w.over {
		w.now = w.events.Next()
		w.events.Pop()()
	}
	w.now = until
}

func (w *world) startBoss() *boss {
	b := &boss{w: w, machine: NewCoordinator(w.now, w.o), alive: true}
	b.out.Reset()
	w.bosses = append(w.bosses, b)
	if w.server.parts != nil {
		b.machine.Resume(w.now, w.server.parts, w.server.begin)
		for _, p := range slices.Sorted(maps.Keys(w.server.leases)) {
			b.machine.Restore(w.now, w.server.leases[p], w.server.at[p])
		}
	}
	// What watchers saw before was of another process.
	w.given, w.samples, w.notes = 0, nil, nil
	b.tick()
	return b
}

func (b *boss) tick() {
	if !b.alive || b.w.over {
		return
	}
	if !b.cut {
		b.take()
		if b.asked {
			b.asked = false
			b.machine.CaughtUp(b.w.now, true, &b.out)
		}
		for _, p := range slices.Sorted(maps.Keys(b.w.server.leases)) {
			b.machine.Observe(b.w.now, b.w.server.leases[p], b.w.server.at[p], &b.out)
		}
		for _, x := range b.w.workers {
			if x.alive && !x.cut {
				b.w.soon(func() { x.machine.Heard(x.time()) })
			}
		}
	}
	b.machine.Advance(b.w.now, &b.out)
	b.carryOut()
	b.w.in(100*time.Millisecond, b.tick)
}

// take reads what is stored.
func (b *boss) take() {
	for b.read < len(b.w.server.batches) {
		batch := b.w.server.batches[b.read]
		b.read++
		b.machine.Take(b.w.now, &batch, &b.out)
	}
}

func (b *boss) carryOut() {
	w, out := b.w, b.out
	b.out = Out{}
	b.out.Reset()
	b.asked = b.asked || out.CatchUp
	if out.Plan != nil {
		w.server.parts = out.Plan
	}
	if out.Begin != clock.Never {
		w.server.begin = out.Begin
	}
	if out.Stop != "" {
		w.server.stop = out.Stop
	}
	for _, l := range out.Leases {
		w.soon(func() {
			if b.cut || !w.server.put(l) {
				w.soon(func() { b.machine.Rejected(l.Lease.Part) })
			}
		})
	}
	for _, p := range out.Publish {
		w.soon(func() { w.server.store(p) })
	}
	for _, s := range out.Samples {
		w.given += s.Counts[record.Published]
		w.samples = append(w.samples, s)
	}
	w.notes = append(w.notes, out.Notes...)
	if out.Over {
		w.over, w.err = true, out.Err
	}
}

// put changes a lease if it has the revision.
func (s *server) put(w Write) bool {
	if s.at[w.Lease.Part] != w.Revision {
		return false
	}
	s.revision++
	s.leases[w.Lease.Part], s.at[w.Lease.Part] = w.Lease, s.revision
	return true
}

// store stores a batch; now and then one that it has already, as after its memory
// of ids has ended.
func (s *server) store(b Batch) (first bool) {
	id := fmt.Sprint(b.Key, b.Part, b.Epoch, b.Seq)
	first = !s.ids[id]
	s.ids[id] = true
	s.batches = append(s.batches, b)
	return first
}

func (w *world) worker(name string, room int) *body {
	x := &body{
		w: w, name: name, session: fmt.Sprint(name, len(w.workers)), room: room, alive: true,
		offset: time.Duration(w.rng.IntN(int(time.Hour))) - 30*time.Minute, rate: 0.95 + w.rng.Float64()/10,
		seq: make(map[owner]uint64), tasks: make(map[int]*work),
	}
	x.machine = NewWorker(x.time(), x.session, w.o.Lease, 5*time.Minute)
	w.workers = append(w.workers, x)
	x.tick()
	x.hello()
	return x
}

// time is what time it is for a worker.
func (x *body) time() clock.Instant {
	return clock.Instant(float64(x.w.now)*x.rate) + clock.Instant(x.offset)
}

func (x *body) hello() {
	if !x.alive {
		return
	}
	if !x.cut {
		h := Hello{Protocol: Protocol, Version: x.w.o.Version, Name: x.name, Session: x.session, Capacity: x.room, Sockets: x.room, Host: record.Host{Name: x.name}}
		x.w.soon(func() {
			if b := x.w.bosses[len(x.w.bosses)-1]; b.alive && !b.cut {
				b.machine.Hello(x.w.now, h, &b.out)
			}
		})
	}
	x.w.in(time.Second, x.hello)
}

func (x *body) tick() {
	if !x.alive || x.w.over {
		return
	}
	w := x.w
	if !x.cut {
		for _, p := range slices.Sorted(maps.Keys(w.server.leases)) {
			x.machine.Observe(x.time(), w.server.leases[p], w.server.at[p], &x.out)
		}
		if w.server.stop != "" {
			x.machine.End(x.time(), w.server.stop, &x.out)
		}
		for _, b := range x.unsent {
			// What waits is sent again until it is stored: at times it was stored before.
			for range 1 + w.rng.IntN(2) {
				if w.server.store(b) {
					w.counted += b.Samples[0].Counts[record.Published]
				}
			}
		}
		x.unsent = nil
	}
	x.measure()
	x.machine.Advance(x.time(), &x.out)
	x.carryOut()
	w.in(50*time.Millisecond, x.tick)
}

// measure tells of intervals that are over.
func (x *body) measure() {
	w := x.w
	if w.server.begin == clock.Never || w.now < w.server.begin {
		return
	}
	since := w.now.Sub(w.server.begin)
	for _, p := range slices.Sorted(maps.Keys(x.tasks)) {
		t := x.tasks[p]
		if !x.machine.May(x.time(), p) && t.ends == "" {
			continue
		}
		if w.sending[p] == nil {
			w.sending[p] = make(map[*body]clock.Instant)
		}
		if t.ends == "" {
			w.sending[p][x] = w.now
		}
		if t.last == 0 {
			t.last = since
		}
		end := t.ends != "" || since >= w.o.Length
		if next := t.last.Truncate(w.o.Every) + w.o.Every; since >= next || end {
			x.tell(t, since, end)
		}
		if end {
			delete(x.tasks, p)
			delete(w.sending[p], x)
			lease := t.lease
			w.soon(func() {
				if x.alive {
					x.machine.Ended(x.time(), lease.Part, lease.Epoch, "", &x.out)
				}
			})
		}
	}
}

func (x *body) tell(t *work, at time.Duration, last bool) {
	o := owner{t.lease.Part, t.lease.Epoch}
	s := record.Sample{At: at, Every: at - t.last, Phase: "all", Group: "g", Levels: map[record.Level]int64{record.Online: int64(x.w.server.parts[o.part].Count)}}
	s.Count(record.Published, uint64(1+x.w.rng.IntN(100)))
	x.unsent = append(x.unsent, Batch{Part: o.part, Epoch: o.epoch, Seq: x.seq[o], Worker: x.name, Samples: []record.Sample{s}, Last: last})
	x.seq[o]++
	t.last = at
}

func (x *body) carryOut() {
	w, out := x.w, x.out
	x.out = WorkerOut{}
	for _, h := range out.Stop {
		if t := x.tasks[h.Part]; t != nil {
			t.ends = h.Why
			delete(w.sending[h.Part], x)
		}
	}
	for _, l := range out.Leases {
		w.soon(func() {
			stored := !x.cut && w.server.put(l)
			there, revision := w.server.leases[l.Lease.Part], w.server.at[l.Lease.Part]
			cut := x.cut
			w.soon(func() {
				switch {
				case !x.alive:
				case cut || x.cut: // perhaps stored, but the answer is lost
					x.machine.Refused(x.time(), l.Lease.Part, nil, 0, &x.out)
				case stored:
					x.machine.Wrote(x.time(), l.Lease, revision, &x.out)
				default:
					x.machine.Refused(x.time(), l.Lease.Part, &there, revision, &x.out)
				}
			})
		})
	}
	for _, l := range out.Start {
		x.tasks[l.Part] = &work{lease: l}
		w.in(time.Duration(w.rng.IntN(int(2*time.Second))), func() {
			if x.alive {
				x.machine.Prepared(x.time(), l.Part, l.Epoch, &x.out)
			}
		})
	}
}

func (x *body) kill() {
	x.alive = false
	for p := range x.w.sending {
		delete(x.w.sending[p], x)
	}
}

// watch looks now and then whether a part has two who send for it.
func (w *world) watch() {
	for p, who := range w.sending {
		if len(who) > 1 {
			w.doubles++
			w.t.Errorf("at %v part %d has %d who send for it", w.now, p, len(who))
		}
	}
	w.in(10*time.Millisecond, w.watch)
}
