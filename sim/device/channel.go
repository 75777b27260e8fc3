package device

import (
	"errors"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/link"
)

// The tags of what is sent Confirmable: what an acknowledgement is about.
const (
	tagOther uint32 = iota
	tagHello
	tagPing
	tagTime
	tagSubscription
	tagGoodbye
	tagPublish       // of the application
	tagUpdateReady   // legacy update
	tagChunkMissed   // legacy update
	tagUpdateDone    // legacy update up to 0.7
	tagStart         // v3: response to UpdateStart
	tagFinish        // v3: successful response to UpdateFinish
	tagFinishError   // v3: failing response to UpdateFinish
	tagServerMoved   // successful response
	tagLedger        // request
	tagDescribe      // posted: | flags << 8
	tagDescribeReply // fetched: | flags << 8
)

// flush makes actions of what the link has to send.
func (d *Device) flush(out *Out) {
	kind := SendDatagram
	if !d.prof.Board.UDP {
		kind = WriteStream
	}
	for ; out.sent < len(out.link.Packets); out.sent++ {
		out.do(kind, out.link.Packets[out.sent])
	}
}

// send sends a request or a separate response and returns its message id.
func (d *Device) send(now clock.Instant, m coap.Message, tag uint32, out *Out) uint16 {
	out.link.Ciphers = out.Ciphers
	id := d.ch.Send(now, m, tag, &out.link)
	d.flush(out)
	return id
}

// reply answers the message of e.
func (d *Device) reply(now clock.Instant, e coap.Event, m coap.Message, out *Out) {
	d.ch.Reply(now, e.Message, m, &out.link)
	d.flush(out)
}

// ack answers the message of e with an empty ACK, if it is Confirmable.
func (d *Device) ack(now clock.Instant, e coap.Event, out *Out) {
	if e.Message.Type == coap.Confirmable {
		d.reply(now, e, coap.Message{Type: coap.Acknowledgement}, out)
	}
}

// await makes the device deaf until the message of that id is acknowledged
// (PDC-0.4).
func (d *Device) await(id uint16) {
	if d.faults().Connects.NotDeaf {
		return
	}
	d.deaf, d.awaited = true, id
	d.ch.SetDeaf(true)
}

// hear ends that.
func (d *Device) hear() {
	d.deaf = false
	d.ch.SetDeaf(false)
}

// nextToken returns the next token: one counter for everything a device asks
// (PDC-0.3).
func (d *Device) nextToken() []byte {
	d.token++
	return []byte{d.token}
}

// received handles what the link has reported since the last call. It stops when
// the connection it belongs to is over.
func (d *Device) received(now clock.Instant, out *Out) {
	d.flush(out)
	for ch := d.ch; out.seen < len(out.link.Events) && d.ch == ch && ch != nil; {
		e := out.link.Events[out.seen]
		out.seen++
		switch e.Kind {
		case link.Exchange:
			d.handle(now, e.CoAP, out)
		case link.Closed:
			d.linkClosed(now, e.Err, out)
		case link.Dropped:
			out.event(Event{Kind: Dropped, Name: e.Reason.String()})
		default:
			// A device reserves no sequences: it stores each with the session.
		}
	}
	out.seen = len(out.link.Events)
}

// linkClosed ends a connection whose session is over.
func (d *Device) linkClosed(now clock.Instant, err error, out *Out) {
	var alert *dtls.AlertError
	switch {
	case errors.Is(err, link.ErrReset):
		d.fail(now, MessageReset, true, out)
	case errors.As(err, &alert) && alert.Description == dtls.CloseNotify:
		d.fail(now, RemoteClosed, true, out)
	case d.prof.Board.UDP:
		d.fail(now, ReceiveFailed, true, out)
	default:
		d.fail(now, FrameTooLong, false, out)
	}
}
