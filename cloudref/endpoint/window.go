package endpoint

import (
	"errors"
	"math"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
)

// The replay window of a session in the store:
//
//	a message that changes something -> the window that has seen its record is
//	  durable -> what the message changes is stored -> it is acknowledged
//	any other record -> the window is stored behind it
//
// So a record that had a consequence is never taken twice: not after kill -9, and
// not by another node. Killed between the first and the second, the cloud has not
// acknowledged; the device sends again, in a new record (TRN-3.8).

// A marking is the progress of a session on its way to the store. Who comes
// meanwhile waits for the next one, which is made for all of them.
type marking struct {
	limit   uint64 // of send sequences, as those who wait want it
	waiting []marked
}

// marked is called when progress is durable, or could not be made so.
type marked func(clock.Instant, error, *work)

// writeProgress stores the replay window as it is now, and that send sequences
// below limit are used.
func (d *device) writeProgress(s *session, limit uint64, then marked) {
	if m := s.marking; m != nil {
		m.limit = max(m.limit, limit)
		m.waiting = append(m.waiting, then)
		return
	}
	s.marking = new(marking)
	d.mark(s, limit, []marked{then})
}

// mark makes one write for all of those who wait for it.
func (d *device) mark(s *session, limit uint64, then []marked) {
	s.unstored = 0
	ops := []store.Op{d.progress(s, limit)}
	d.n.c.Store.Write(ops, func(err error) {
		d.n.later(d, func(now clock.Instant, d *device, w *work) {
			if err == nil && d.n.clustered() {
				s.ours().progress = ops[0].Revision
			}
			d.wasMarked(now, s, then, err, w)
		})
	})
}

// progress is the write of what s has received, and of the send sequences below
// limit as used. Between nodes it holds only while the session is this node's.
func (d *device) progress(s *session, limit uint64) store.Op {
	op := store.Reserve(s.progressFor(max(limit, s.reserved)))
	if d.n.clustered() {
		op = s.write(op.If(s.ours().progress))
	}
	return op
}

// progressFor is what s has received, and from where, with send sequences below
// reserved as used. A session that is found by its address alone has that in its
// record.
func (s *session) progressFor(reserved uint64) store.Progress {
	state := s.link.DTLS().Export()
	p := store.Progress{Device: s.device.id, CID: s.id, Reserved: reserved, Top: state.WindowTop, Window: state.Window}
	if s.named() {
		p.Peer = s.peer
	}
	return p
}

// wasMarked tells those who waited, and begins the next write if there is need.
func (d *device) wasMarked(now clock.Instant, s *session, then []marked, err error, w *work) {
	if err != nil {
		s.unstored++ // what it should have noted is still to be noted
	}
	if errors.Is(err, store.ErrConflict) && s == d.current {
		d.elsewhere(now, math.MaxUint64, w)
	}
	for _, f := range then {
		f(now, err, w)
	}
	next := s.marking
	s.marking = nil
	if len(next.waiting) > 0 {
		next.waiting, then = nil, next.waiting
		s.marking = next
		d.mark(s, next.limit, then)
		return
	}
	if err == nil {
		d.keepWindow(now, s)
	}
}

// mustMark reports whether s has received what its stored window does not know of.
func (s *session) mustMark() bool {
	return s != nil && s.udp() && s.written && (s.unstored > 0 || s.marking != nil)
}

// keepWindow stores the window behind records that change nothing, such as pings:
// a copy of one would only be acknowledged. Where there are too many of them it is
// left to the next message, or to the record that fills the window.
func (d *device) keepWindow(now clock.Instant, s *session) {
	if !s.udp() || !s.stored || s.unstored == 0 || s.marking != nil || s.link.Over() {
		return
	}
	if s.unstored < d.n.c.WindowEvery && !d.n.windows.allow(now, d.n.c.WindowsPerSecond) {
		return
	}
	d.writeProgress(s, s.reserved, func(clock.Instant, error, *work) {})
}

// windowsAtEnd bounds the windows that are stored when a node stops: a second's worth.
const windowsAtEnd = 50_000

// KeepWindows stores the windows of sessions that have received what the store does
// not know of, and waits until it has answered. Call it when nothing arrives any
// more, before the store closes.
func (n *Node) KeepWindows() {
	var answers sync.WaitGroup
	left := windowsAtEnd
	for _, d := range n.index.all() {
		if left == 0 {
			break
		}
		d.mu.Lock()
		if s := d.current; s.mustMark() && s.stored && !s.link.Over() {
			left--
			answers.Add(1)
			n.c.Store.Write([]store.Op{d.progress(s, s.reserved)}, func(error) { answers.Done() })
		}
		d.mu.Unlock()
	}
	answers.Wait()
}

// windowBudget bounds the windows that are stored behind records.
type windowBudget struct {
	mu    sync.Mutex
	until clock.Instant // of the second that is counted
	used  int
}

func (b *windowBudget) allow(now clock.Instant, perSecond int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now >= b.until {
		b.until, b.used = now.Add(time.Second), 0
	}
	b.used++
	return b.used <= perSecond
}
