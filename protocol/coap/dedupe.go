package coap

import (
	"slices"

	"github.com/muster/muster/protocol/clock"
)

// seenKeptCap is the number of entries whose storage an idle Exchange keeps, so
// that a device that publishes now and then makes no garbage.
const seenKeptCap = 4

// find returns the remembered message with the given ID, or nil.
func (x *Exchange) find(now clock.Instant, id uint16) *seen {
	for i := len(x.seen) - 1; i >= 0; i-- {
		s := &x.seen[i]
		if !s.born.within(now, x.params.DedupeLifetime) {
			break // it and all before it are too old
		}
		if s.id == id {
			return s
		}
	}
	return nil
}

// remember notes a Confirmable message that was received. Over TCP there are no
// duplicates.
func (x *Exchange) remember(now clock.Instant, id uint16) {
	if x.params.Reliable || x.faults.NoDedupe {
		return
	}
	if n := len(x.seen) - x.params.DedupeMax; n >= 0 {
		x.seen = slices.Delete(x.seen, 0, n+1)
	}
	x.seen = append(x.seen, seen{born: ticksAt(now), id: id})
}

// Forget makes the Exchange treat a Confirmable message that was Received as if
// it had not been.
//
// Device OS: while a board waits for the ACK of Hello it throws requests away;
// their retransmissions are processed.
func (x *Exchange) Forget(received Message) {
	x.seen = slices.DeleteFunc(x.seen, func(s seen) bool { return s.id == received.ID })
}

// forgetOld forgets what was received before the lifetime. Entries are in the
// order of time. It moves the rest only when half of it is old.
func (x *Exchange) forgetOld(now clock.Instant) {
	old := 0
	for old < len(x.seen) && !x.seen[old].born.within(now, x.params.DedupeLifetime) {
		old++
	}
	switch {
	case old == 0:
	case old < len(x.seen):
		if 2*old >= len(x.seen) {
			x.seen = slices.Delete(x.seen, 0, old)
		}
	case cap(x.seen) <= seenKeptCap:
		x.seen = x.seen[:0]
	default:
		x.seen = nil
	}
	old = 0
	for old < len(x.replies) && !x.replies[old].born.within(now, x.params.DedupeLifetime) {
		old++
	}
	if old == len(x.replies) {
		x.replies = nil
	} else if old > 0 {
		x.replies = slices.Delete(x.replies, 0, old)
	}
}
