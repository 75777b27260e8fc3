package coap

import "github.com/muster/muster/protocol/clock"

// Receive takes one message. It answers pings and duplicates itself, and never
// sends a RST of its own accord: on a device that would end the session.
// Events alias wire.
func (x *Exchange) Receive(now clock.Instant, wire []byte, out *Out) {
	x.forgetOld(now)
	m, err := out.parse(wire)
	e := Event{Message: m, Wire: wire, ID: m.ID, Err: err}
	if err != nil && (len(wire) < headerLen || !x.params.HeaderOnly) {
		e.Kind = Malformed
		out.event(e)
		return
	}
	if x.deaf && m.Type != Acknowledgement && m.Type != Reset {
		return
	}
	switch m.Type {
	case Acknowledgement:
		x.receiveAck(e, out)
	case Reset:
		x.receiveReset(e, out)
	case NonConfirmable:
		x.receiveNonConfirmable(e, out)
	default:
		x.receiveConfirmable(now, e, out)
	}
}

func (x *Exchange) receiveAck(e Event, out *Out) {
	w, ok := x.take(e.ID)
	if !ok && x.params.PingAnyID && e.Message.Code == Empty {
		w, ok = x.takePing()
	}
	if ok {
		e.Kind, e.Tag = Acknowledged, w.tag
	} else {
		// Most often the ACK of a retransmission that crossed the first ACK.
		e.Kind = Unmatched
		if x.faults.ResetUnmatched {
			out.message(Message{Type: Reset, ID: e.ID})
		}
	}
	out.event(e)
}

func (x *Exchange) receiveReset(e Event, out *Out) {
	if x.faults.IgnoreReset {
		return
	}
	w, ok := x.take(e.ID)
	e.Kind, e.Tag, e.Matched, e.Ends = WasReset, w.tag, ok, x.params.ResetEnds
	if e.Ends {
		x.Clear()
	}
	out.event(e)
}

func (x *Exchange) receiveNonConfirmable(e Event, out *Out) {
	if x.faults.AckNonConfirmable {
		out.message(Message{Type: Acknowledgement, ID: e.ID})
	}
	e.Kind = Received
	if e.Message.Code == Empty {
		// Device OS: read as an acknowledgement of nothing in particular.
		e.Kind = Unmatched
	}
	// Device OS: a duplicate is executed again; only Confirmable messages are
	// remembered.
	out.event(e)
}

func (x *Exchange) receiveConfirmable(now clock.Instant, e Event, out *Out) {
	switch s := x.find(now, e.ID); {
	case e.Message.Code == Empty:
		x.answerPing(now, e.ID, out)
		e.Kind = Ping
	case s != nil:
		x.repeat(s, out)
		e.Kind = Duplicate
	default:
		x.remember(now, e.ID)
		e.Kind = Received
	}
	out.event(e)
}

// answerPing acknowledges a ping.
//
// Device OS: never with RST, which RFC 7252 Section 4.3 would have: RST ends
// the session. Pings are not remembered: a duplicate is answered as well.
func (x *Exchange) answerPing(now clock.Instant, id uint16, out *Out) {
	switch {
	case x.faults.NoReply || x.faults.IgnorePing:
	case x.faults.AnswerPingWithReset:
		out.message(Message{Type: Reset, ID: id})
	case x.params.PingAnswerOwnID:
		x.put(Message{Type: Acknowledgement, ID: x.nextID(now, false)}, out)
	default:
		x.put(Message{Type: Acknowledgement, ID: id}, out)
	}
}
