package coap

import (
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
)

// waiting is a Confirmable message that was sent and not acknowledged.
type waiting struct {
	wire  []byte // nil over TCP: never sent again
	due   clock.Instant
	tag   uint32
	id    uint16
	tries uint8 // retransmissions so far
	ping  bool
}

// reliableWaitingMax bounds what waits over TCP, where nothing times out: the
// oldest is forgotten.
const reliableWaitingMax = 64

// Send sends m as a request or a separate response. It assigns the ID, which it
// returns, and ignores m.ID. A Confirmable message is retransmitted until its
// outcome is known, which the events Acknowledged, TimedOut and WasReset report
// with tag. Send retains nothing of m.
func (x *Exchange) Send(now clock.Instant, m Message, tag uint32, out *Out) uint16 {
	m.ID = x.nextID(now, m.Type == Confirmable)
	wire := out.message(m)
	if m.Type != Confirmable {
		return m.ID
	}
	w := waiting{id: m.ID, tag: tag, due: clock.Never, ping: m.Code == Empty}
	if x.params.Reliable {
		if len(x.waiting) >= reliableWaitingMax {
			x.waiting = slices.Delete(x.waiting, 0, 1)
		}
	} else {
		w.wire = slices.Clone(wire)
		w.due = now.Add(x.timeout(0))
	}
	x.waiting = append(x.waiting, w)
	return m.ID
}

// SendPing sends a Confirmable Empty message.
func (x *Exchange) SendPing(now clock.Instant, tag uint32, out *Out) uint16 {
	return x.Send(now, Message{Type: Confirmable, Code: Empty}, tag, out)
}

// timeout draws the wait after transmission number n, from 0.
//
// Device OS: the factor is 1 + r/512 with r in 0..255, drawn anew for every
// transmission, where RFC 7252 Section 4.2 draws once and doubles the result.
func (x *Exchange) timeout(n uint8) time.Duration {
	base := x.params.AckTimeout
	if !x.faults.KeepTimeout {
		base <<= n
	}
	return base + base*time.Duration(x.rng.IntN(256))/512
}

// Advance retransmits or gives up what is due.
func (x *Exchange) Advance(now clock.Instant, out *Out) {
	kept := x.waiting[:0]
	for _, w := range x.waiting {
		if now.Before(w.due) || x.retransmit(now, &w, out) {
			kept = append(kept, w)
			continue
		}
		out.event(Event{Kind: TimedOut, ID: w.id, Tag: w.tag})
	}
	x.setWaiting(kept)
	x.forgetOld(now)
}

// retransmit sends w again. It reports false when all tries are used up.
func (x *Exchange) retransmit(now clock.Instant, w *waiting, out *Out) bool {
	if int(w.tries) >= x.params.MaxRetransmit && !x.faults.RetransmitForever {
		return false
	}
	// The shift in timeout stays small under RetransmitForever.
	w.tries = min(w.tries+1, 8)
	w.due = now.Add(x.timeout(w.tries))
	if x.faults.NewIDOnRetransmit {
		w.id = x.nextID(now, true)
		w.wire[2], w.wire[3] = byte(w.id>>8), byte(w.id)
	}
	if !x.faults.NeverRetransmit {
		out.bytes(w.wire)
	}
	return true
}

// take removes the waiting message with the given ID.
func (x *Exchange) take(id uint16) (waiting, bool) {
	return x.takeAt(slices.IndexFunc(x.waiting, func(w waiting) bool { return w.id == id }))
}

// takePing removes the oldest ping that waits.
func (x *Exchange) takePing() (waiting, bool) {
	return x.takeAt(slices.IndexFunc(x.waiting, func(w waiting) bool { return w.ping }))
}

func (x *Exchange) takeAt(i int) (w waiting, ok bool) {
	if i < 0 {
		return waiting{}, false
	}
	w = x.waiting[i]
	x.setWaiting(slices.Delete(x.waiting, i, i+1))
	return w, true
}

// setWaiting replaces what waits; an idle Exchange holds no storage for it.
func (x *Exchange) setWaiting(w []waiting) {
	clear(x.waiting[len(w):])
	if len(w) == 0 {
		w = nil
	}
	x.waiting = w
}
