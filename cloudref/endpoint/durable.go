package endpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// The parts of a device's application state in the store.
const (
	partSession  store.Part = 1
	partDescribe store.Part = 2
	partLedgers  store.Part = 3
)

// A heldOut is what the application layer wants done, waiting until what it
// depends on is durable. Those of one device are released in their order, so
// nothing overtakes the acknowledgement of a Hello (C-1).
type heldOut struct {
	session *session
	replies []app.Reply
	sends   []app.Send
	effects []app.Effect
	publish []app.Event
	serial  uint64             // of the first of publish
	leaving transport.StreamID // of the session that this one replaces
	save    app.Parts
	begins  bool       // the session is stored for the first time
	ops     []store.Op // what it depends on
	ready   bool       // ops may be written
	written bool       // they are on their way
	done    bool
	err     error
}

// hold takes over what out says.
func (d *device) hold(s *session, out *app.Out) *heldOut {
	return &heldOut{
		session: s, save: out.Save,
		replies: append([]app.Reply(nil), out.Replies...),
		sends:   append([]app.Send(nil), out.Sends...),
		effects: append([]app.Effect(nil), out.Effects...),
		publish: append([]app.Event(nil), out.Publish...),
	}
}

// refused reports whether the Hello was refused: then nothing else follows.
func (h *heldOut) refused() bool {
	for _, e := range h.effects {
		if _, refused := e.(app.HelloRefused); refused {
			return true
		}
	}
	return false
}

func (h *heldOut) greets() bool {
	for _, e := range h.effects {
		if _, greets := e.(app.HelloAccepted); greets {
			return true
		}
	}
	return false
}

// store writes what h depends on, and marks it done when that is durable. The
// window that has seen the record which h came of goes first, see window.go; what
// does not wait for one keeps behind what does, as it was decided later.
func (d *device) store(h *heldOut) {
	s := h.session
	marks := s.mustMark()
	h.begins = !marks && h.greets() && s.udp() && !s.written
	h.ops = d.ops(h)
	if len(h.ops) == 0 {
		h.written, h.done = true, true
		return
	}
	if d.n.c.Faults.AckBeforeStore {
		h.done = true
		d.write(h)
		return
	}
	if !marks {
		if h.begins {
			s.marking = new(marking) // its first window goes with the session
		}
		h.ready = true
		d.writeHeld()
		return
	}
	d.writeProgress(s, s.reserved, func(now clock.Instant, err error, w *work) {
		h.ready = true
		if err != nil {
			h.written, h.done, h.err = true, true, err
		}
		d.writeHeld()
		d.releaseHeld(now, w)
	})
}

// writeHeld writes what may be written, in the order in which it was decided.
func (d *device) writeHeld() {
	for _, h := range d.held {
		switch {
		case h.written:
		case h.ready:
			d.write(h)
		default:
			return
		}
	}
}

func (d *device) write(h *heldOut) {
	h.written = true
	d.n.c.Store.Write(h.ops, func(err error) {
		// The store may call back at once, with the device still locked.
		d.n.later(d, func(now clock.Instant, d *device, w *work) {
			h.done, h.err = true, err
			d.wasGreeted(now, h, w)
			d.releaseHeld(now, w)
		})
	})
}

// wasGreeted notes what was stored of the session of a Hello.
func (d *device) wasGreeted(now clock.Instant, h *heldOut, w *work) {
	s := h.session
	if h.err == nil && d.n.clustered() && h.greets() && s.udp() {
		if h.begins {
			s.ours().progress = h.ops[1].Revision
		}
		d.wrote(now, s, h.ops[0].Revision, w)
	}
	if h.begins && s.marking != nil {
		d.wasMarked(now, s, nil, h.err, w)
	}
}

func (d *device) ops(h *heldOut) []store.Op {
	var ops []store.Op
	if h.greets() {
		replaced := d.accept(h)
		switch s := h.session; {
		case s.udp():
			ops = append(ops, d.sessionOps(h)...)
		case replaced != nil && replaced.written:
			ops = append(ops, store.DropSession(d.id))
		}
	}
	d.unsaved &^= h.save
	// The application state of a TCP connection dies with it, but for what an
	// update needs; it is kept all the same, so that people see the device.
	if h.save&app.SaveSession != 0 {
		ops = append(ops, store.PutApp(d.id, partSession, d.app.AppendState(app.SaveSession, nil)))
	}
	if h.save&app.SaveDescribe != 0 {
		ops = append(ops, store.PutApp(d.id, partDescribe, d.app.AppendState(app.SaveDescribe, nil)))
	}
	if h.save&app.SaveLedgers != 0 {
		ops = append(ops, store.PutApp(d.id, partLedgers, d.app.AppendState(app.SaveLedgers, nil)))
	}
	if n := uint64(len(h.publish)); n > 0 {
		h.serial = d.n.serial.Add(n) - n + 1
	}
	for i, e := range h.publish {
		name := d.nameOfEvent(h, i)
		ops = append(ops, store.Append(d.n.storedEvent(d, e)).Once(name))
		for j, op := range d.n.c.Along(d.n.fill(max(d.heard, 0), d, Observation{What: Published, Event: e, Serial: h.serial + uint64(i)})) {
			ops = append(ops, op.Once(fmt.Sprintf("%s.%d", name, j)))
		}
	}
	return ops
}

// sessionOps are the writes of the session of a Hello. One that is stored already
// has its progress apart, see window.go.
func (d *device) sessionOps(h *heldOut) []store.Op {
	s := h.session
	if !h.begins {
		op := store.PutSession(s.record(0))
		if d.n.clustered() && s.stored {
			op = op.If(s.ours().revision)
		}
		return []store.Op{s.write(op)}
	}
	ops := []store.Op{s.write(store.PutSession(s.record(d.n.c.Reservation)))}
	s.written, s.unstored = true, 0
	if d.n.clustered() {
		ops = append(ops, d.n.progressOf(s))
	}
	return ops
}

// nameOfEvent names an event that a device publishes by the message that carries it:
// the device sends that again if it hears nothing, to this node or to another.
func (d *device) nameOfEvent(h *heldOut, i int) string {
	if !d.n.clustered() || len(h.replies) == 0 || h.session == nil {
		return ""
	}
	e := &h.publish[i]
	sum := sha256.Sum256(append([]byte(e.Name+"\x00"), e.Data...))
	return fmt.Sprintf("%s.%s.%d.%d.%x", d.id, h.session.id, h.replies[0].To.ID, i, sum[:8])
}

// accept makes the session of an accepted Hello the current one. The one before
// ends silently: its device has left it.
func (d *device) accept(h *heldOut) (replaced *session) {
	s, old := h.session, d.current
	if s == nil || s == old {
		return nil
	}
	if old != nil && !d.n.c.Faults.TwoSessions {
		d.n.index.remove(old)
		h.leaving = old.stream
	}
	s.greeted()
	d.current, d.fresh = s, nil
	d.online = false
	return old
}

// record returns the session as it is stored, with reserve send sequences
// reserved.
func (s *session) record(reserve uint64) *store.Session {
	state := s.link.DTLS().Export()
	state.SendLimit = max(s.reserved, state.SendNext+reserve)
	s.reserved = state.SendLimit
	b := state.Append(make([]byte, 2, 256))
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	b = appendAddrPort(b, *s.local)
	b = appendAddrPort(b, s.peer)
	return &store.Session{
		Device: s.device.id, CID: s.id, Key: s.key, Reserved: state.SendLimit, Node: s.device.n.c.Node,
		Top: state.WindowTop, Window: state.Window, Record: b,
	}
}

// releaseHeld lets go what is durable, in order.
func (d *device) releaseHeld(now clock.Instant, w *work) {
	for len(d.held) > 0 && d.held[0].done {
		h := d.held[0]
		d.held = d.held[1:]
		d.releaseOne(now, h, w)
	}
	if len(d.held) == 0 {
		d.held = nil
	}
}

// releaseOne sends the answers of h and carries its effects out.
func (d *device) releaseOne(now clock.Instant, h *heldOut, w *work) {
	if h.leaving != 0 {
		d.n.streams.drop(h.leaving)
		w.out.Close(h.leaving)
	}
	if h.err != nil {
		d.unstored(now, h, w)
		return
	}
	if s := h.session; s != nil && !s.link.Over() {
		if h.greets() && s.udp() {
			s.stored = true
			s.link.Reserve(s.reserved, &w.send)
		}
		if h.greets() && !s.udp() && d.n.clustered() {
			d.place().came = now
		}
		if d.n.app.Faults.RequestBeforeHelloAck {
			d.sendAll(now, s, h, w)
		}
		for _, r := range h.replies {
			s.link.Reply(now, r.To, r.Message, &w.send)
		}
		d.sendAll(now, s, h, w)
		d.flush(now, s, w)
	}
	for _, e := range h.effects {
		d.effect(now, h.session, e, w)
	}
	for i, e := range h.publish {
		d.n.observe(now, d, Observation{What: Published, Event: e, Serial: h.serial + uint64(i)})
		d.n.route(d, e)
	}
	d.reroute()
}

// sendAll sends the cloud's own messages, once.
func (d *device) sendAll(now clock.Instant, s *session, h *heldOut, w *work) {
	for _, m := range h.sends {
		s.link.Send(now, m.Message, m.Tag, &w.send)
	}
	h.sends = nil
}

// unstored drops what could not be stored: without an answer the device sends
// again, and then it is tried again. Its session stays. Who waits for a command
// hears of its end all the same.
func (d *device) unstored(now clock.Instant, h *heldOut, w *work) {
	d.n.counts.Unstored.Add(1)
	d.unsaved |= h.save
	if s := h.session; s != nil {
		for _, r := range h.replies {
			s.link.Forget(r.To)
		}
	}
	for _, m := range h.sends {
		d.app.NotSent(now, m.Tag, &w.app)
	}
	for _, e := range h.effects {
		switch e.(type) {
		case app.Result, app.FlashProgress:
			d.effect(now, h.session, e, w)
		default:
			// It did not happen.
		}
	}
	d.applied(now, d.current, w)
	o := Observation{What: Refused, Why: ReasonStore, Detail: "the store failed: " + h.err.Error()}
	if errors.Is(h.err, store.ErrRevoked) {
		o.Why, o.Detail = ReasonOtherKey, "the key of the device was revoked"
	}
	d.n.observe(now, d, o)
}

// reserve asks the store for more send sequences. They may be used when they
// are durable, so that no crash can make the sequence go back.
func (d *device) reserve(s *session) {
	if !s.reserving && s.udp() {
		d.reserveThen(s, func(clock.Instant, *work) {})
	}
}

// reserveThen reserves and calls then when that is done, or failed.
func (d *device) reserveThen(s *session, then func(clock.Instant, *work)) {
	s.reserving = true
	state := s.link.DTLS().Export()
	limit := max(state.SendNext, s.reserved) + d.n.c.Reservation
	d.writeProgress(s, limit, func(now clock.Instant, err error, w *work) {
		s.reserving = false
		if err == nil {
			s.reserved = max(s.reserved, limit)
			s.link.Reserve(limit, &w.send)
			d.flush(now, s, w)
		}
		then(now, w)
	})
}
