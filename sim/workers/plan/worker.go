package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// A Worker knows which parts this process may run, and until when. Times of leases
// are counted from when a renewal was sent, so that they end here before anybody
// can think that they have ended.
type Worker struct {
	session  string
	lease    time.Duration
	patience time.Duration
	held     map[int]*held
	heard    clock.Instant // the coordinator
	ending   string        // all parts are to end, and why
	leaving  bool          // the process ends: parts go back
}

// A held part is one that this process has, or is giving up.
type held struct {
	lease    Lease
	revision uint64
	safe     clock.Instant // until when it may send
	renew    clock.Instant // when the next renewal is due
	writing  bool
	sent     clock.Instant // the write that is on its way
	next     State         // what the lease is to become; "": no change
	why      string
	running  bool // the driver has it
	stopping bool // and was told to stop
	lost     bool // it belongs to somebody else, or to nobody
}

// WorkerOut is what a Worker wants done. The driver owns it, and empties it with
// Reset.
type WorkerOut struct {
	// Leases are to be stored; Wrote or Refused tell how that went.
	Leases []Write
	// Start are parts to be prepared, and run from when the run begins: Prepared
	// and Ended tell how far they are.
	Start []Lease
	// Stop are parts that are to stop: at once, without a word to anybody, when they
	// are Fenced.
	Stop []Halt
	// Orphaned says that the coordinator has been silent for too long.
	Orphaned bool
}

// A Halt says that a part is to stop.
type Halt struct {
	Part   int
	Fenced bool
	Why    string
}

// Reset empties it.
func (o *WorkerOut) Reset() {
	*o = WorkerOut{Leases: o.Leases[:0], Start: o.Start[:0], Stop: o.Stop[:0]}
}

// NewWorker returns one without parts. The lease is that of the run; patience is how
// long it goes on without a coordinator.
func NewWorker(now clock.Instant, session string, lease, patience time.Duration) *Worker {
	return &Worker{session: session, lease: lease, patience: patience, held: make(map[int]*held), heard: now}
}

// safety is for how long after a renewal was sent it may send.
func (w *Worker) safety() time.Duration { return w.lease / 4 * 3 }

// pause is the time between renewals.
func (w *Worker) pause() time.Duration { return w.lease / 5 }

// retry is the time before a change is tried again that did not arrive.
func (w *Worker) retry() time.Duration { return w.lease / 20 }

// Heard says that the coordinator lives.
func (w *Worker) Heard(now clock.Instant) { w.heard = max(w.heard, now) }

// Observe takes what is stored as the lease of a part.
func (w *Worker) Observe(now clock.Instant, l Lease, revision uint64, out *WorkerOut) {
	h := w.held[l.Part]
	switch {
	case h != nil && l.Session == w.session && l.Epoch == h.lease.Epoch:
		h.revision = max(h.revision, revision) // our own change, perhaps one of which we did not hear
	case h != nil && revision > h.revision:
		w.lose(h, "another worker has it", out)
		if !h.running {
			delete(w.held, l.Part)
			w.accept(now, l, revision, out)
		}
	case h == nil:
		w.accept(now, l, revision, out)
	}
}

// accept takes an offer.
func (w *Worker) accept(now clock.Instant, l Lease, revision uint64, out *WorkerOut) {
	if l.Session != w.session || l.State != Offered || w.ending != "" || w.leaving {
		return
	}
	// An offer may have been there for a while: nothing is ours before the answer.
	h := &held{lease: l, revision: revision, safe: now, next: Held}
	w.held[l.Part] = h
	w.write(now, h, out)
}

// write stores the next state, or a renewal.
func (w *Worker) write(now clock.Instant, h *held, out *WorkerOut) {
	l := h.lease
	l.Beat++
	if h.next != "" {
		l.State, l.Why = h.next, h.why
	}
	h.writing, h.sent, h.renew = true, now, now.Add(w.pause())
	out.Leases = append(out.Leases, Write{Lease: l, Revision: h.revision})
}

// Wrote says that a change was stored.
func (w *Worker) Wrote(now clock.Instant, l Lease, revision uint64, out *WorkerOut) {
	h := w.held[l.Part]
	if h == nil || h.lease.Epoch != l.Epoch || !h.writing {
		return
	}
	h.writing = false
	h.revision = max(h.revision, revision)
	first := h.lease.State == Offered
	h.lease = l
	if h.next == l.State {
		h.next = ""
	}
	if h.lost {
		return
	}
	switch {
	case !l.State.owned():
		delete(w.held, l.Part)
		return
	case h.sent.Add(w.safety()) <= now:
		w.lose(h, "it took too long to renew the lease", out)
		return
	}
	h.safe = h.sent.Add(w.safety())
	if first {
		h.running = true
		out.Start = append(out.Start, l)
	}
	w.Advance(now, out)
}

// Refused says that a change was not stored. With stored it says what is there
// instead; nil: nobody knows, the server is out of reach.
func (w *Worker) Refused(now clock.Instant, part int, stored *Lease, revision uint64, out *WorkerOut) {
	h := w.held[part]
	if h == nil || !h.writing {
		return
	}
	h.writing = false
	switch {
	case stored == nil:
		h.renew = now.Add(w.retry())
	case stored.Session == w.session && stored.Epoch == h.lease.Epoch:
		// An earlier change arrived after all. It counts from when it was sent, which
		// is not known here: so not at all.
		h.revision, h.lease.Beat = revision, stored.Beat
		h.renew = now
	default:
		w.lose(h, "another worker has it", out)
	}
	w.Advance(now, out)
}

// lose gives a part up that is not ours any more.
func (w *Worker) lose(h *held, why string, out *WorkerOut) {
	if h.lost {
		return
	}
	h.lost = true
	if h.running {
		h.stopping = true
		out.Stop = append(out.Stop, Halt{h.lease.Part, true, why})
		return
	}
	delete(w.held, h.lease.Part)
}

// Prepared says that the devices of a part are ready to begin.
func (w *Worker) Prepared(now clock.Instant, part, epoch int, out *WorkerOut) {
	if h := w.held[part]; h != nil && h.lease.Epoch == epoch && !h.lost {
		h.next, h.renew = Ready, now
		w.Advance(now, out)
	}
}

// Ended says that a part has stopped and that all it measured is stored, or never
// will be. failed is why it could not be run, "" when it could.
func (w *Worker) Ended(now clock.Instant, part, epoch int, failed string, out *WorkerOut) {
	h := w.held[part]
	if h == nil || h.lease.Epoch != epoch {
		return
	}
	h.running = false
	switch {
	case h.lost:
		delete(w.held, part)
		return
	case failed != "":
		h.next, h.why = Failed, failed
	case w.leaving:
		h.next, h.why = Released, "the worker ends"
	default:
		h.next = Done
	}
	h.renew = now
	w.Advance(now, out)
}

// End stops all parts, because the run is over.
func (w *Worker) End(now clock.Instant, why string, out *WorkerOut) {
	if w.ending != "" {
		return
	}
	w.ending = why
	w.stopAll(why, out)
	w.Advance(now, out)
}

// Leave stops all parts and gives them back, because the process ends.
func (w *Worker) Leave(now clock.Instant, out *WorkerOut) {
	if w.leaving {
		return
	}
	w.leaving = true
	w.stopAll("the worker ends", out)
	w.Advance(now, out)
}

func (w *Worker) stopAll(why string, out *WorkerOut) {
	for _, h := range w.sorted() {
		switch {
		case h.running && !h.stopping:
			h.stopping = true
			out.Stop = append(out.Stop, Halt{h.lease.Part, false, why})
		case !h.running && !h.lost && h.lease.State.owned():
			h.next, h.why, h.renew = Released, why, 0
		}
	}
}

// Advance renews leases, and gives up those that could not be renewed.
func (w *Worker) Advance(now clock.Instant, out *WorkerOut) {
	for _, h := range w.sorted() {
		if h.lost {
			continue
		}
		accepted := h.lease.State != Offered
		if accepted && now >= h.safe {
			w.lose(h, "the lease could not be renewed in time", out)
			continue
		}
		if !h.writing && now >= h.renew {
			w.write(now, h, out)
		}
	}
	if w.ending == "" && now.Sub(w.heard) >= w.patience {
		out.Orphaned = true
		w.End(now, "the coordinator is gone", out)
	}
}

// Deadline is when Advance has something to do.
func (w *Worker) Deadline() clock.Instant {
	at := clock.Never
	if w.ending == "" {
		at = w.heard.Add(w.patience)
	}
	for _, h := range w.held {
		if h.lost {
			continue
		}
		if h.lease.State != Offered {
			at = min(at, h.safe)
		}
		if !h.writing {
			at = min(at, h.renew)
		}
	}
	return at
}

// May reports whether a part may send at a time.
func (w *Worker) May(now clock.Instant, part int) bool {
	h := w.held[part]
	return h != nil && h.running && !h.lost && now < h.safe
}

// Idle reports whether there is nothing left to run or to give back.
func (w *Worker) Idle() bool { return len(w.held) == 0 }

// Running returns the parts that the driver has, in order.
func (w *Worker) Running() (list []Lease) {
	for _, h := range w.sorted() {
		if h.running {
			list = append(list, h.lease)
		}
	}
	return list
}

func (w *Worker) sorted() []*held {
	list := make([]*held, 0, len(w.held))
	for _, h := range w.held {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b *held) int { return cmp.Compare(a.lease.Part, b.lease.Part) })
	return list
}
