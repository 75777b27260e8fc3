package app

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// Receive takes one message from the device, deduplicated and parsed. Empty
// messages, pings and ACKs are not for it.
//
// Whatever the message is, a Confirmable one gets an acknowledgement or an
// error, never a Reset: a Reset tells a device that its session is gone (C-4).
func (d *Device) Receive(now clock.Instant, m coap.Message, out *Out) {
	if d.c.Faults.Hears.SwallowsGaps && !d.profile.dialect.UDP && d.swallows(m) {
		return
	}
	kind := pdc.Classify(m, true)
	switch {
	case kind == pdc.KindHello:
		d.receiveHello(now, d.profile.dialect.UDP, m, out)
	case !d.ready:
		out.effect(HelloRefused{Reason: kind.String() + " before Hello"})
		return
	case kind == pdc.KindGoodbye:
		d.receiveGoodbye(now, m, out)
		return
	case kind == pdc.KindResponse:
		d.response(now, m, out)
	default:
		d.receiveRequest(now, kind, m, out)
	}
	d.Heard(now)
	d.settle(now, out)
}

// receiveRequest handles the requests of a device, in the order of the message
// catalogue.
func (d *Device) receiveRequest(now clock.Instant, kind pdc.Kind, m coap.Message, out *Out) {
	switch kind {
	case pdc.KindDescribePost:
		d.receiveDescribePost(now, m, out)
	case pdc.KindPublish:
		d.receivePublish(now, m, out)
	case pdc.KindSubscribe:
		d.receiveSubscribe(m, out)
	case pdc.KindTimeRequest:
		d.receiveTimeRequest(now, m, out)
	case pdc.KindChunkMissed:
		d.receiveChunkMissed(now, m, out)
	case pdc.KindDeviceUpdateDone:
		d.receiveDeviceUpdateDone(now, m, out)
	case pdc.KindUpdateAck:
		d.receiveUpdateAck(now, m, out)
	case pdc.KindLedgerRequest:
		d.receiveLedger(now, m, out)
	case pdc.KindMesh:
		// Networks of a mesh are not kept; the device wants an answer (PDC-8.7).
		out.answer(m, coap.Message{Code: coap.Changed, Token: m.Token})
	default:
		d.receiveUnknown(m, out)
	}
}

// receiveUnknown answers a request of a later Device OS (PDC-8.11): with a
// token it waits for a response, without one an ACK is enough.
func (d *Device) receiveUnknown(m coap.Message, out *Out) {
	if d.c.Faults.Hears.ResetUnknown {
		out.answer(m, coap.Message{Type: coap.Reset})
		return
	}
	if len(m.Token) == 0 {
		out.ack(m)
		return
	}
	out.answer(m, response(m, coap.NotFound))
}

// refuse answers a message that its parser did not take, with the code that the
// parser's error names, without a token, so that the message is not sent again.
func (d *Device) refuse(m coap.Message, err error, out *Out) {
	code := coap.BadRequest
	if fault := asPDC(err); fault != nil && fault.Answer != 0 {
		code = fault.Answer
	}
	out.answer(m, coap.Message{Code: code})
}

// receiveGoodbye takes leave of the device. What waits for it fails at once: it
// answers nothing more on this connection. Its session stays.
func (d *Device) receiveGoodbye(now clock.Instant, m coap.Message, out *Out) {
	out.ack(m)
	d.abandon(now, "it said goodbye", out)
	d.away = true
	goodbye, err := pdc.ParseGoodbye(m)
	if err != nil || d.c.Faults.Hears.BlindGoodbye {
		out.effect(Offline{Reason: "said goodbye"})
		return
	}
	out.effect(Offline{Reason: goodbyeText(goodbye)})
}

func (d *Device) receiveTimeRequest(now clock.Instant, m coap.Message, out *Out) {
	request, err := pdc.ParseTimeRequest(m)
	if d.c.Faults.Hears.AnyTimeToken {
		request.Token, err = []byte{0}, nil // the codec makes no other
	}
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	at := d.c.unix(now)
	if d.c.Faults.WrongTime {
		at += 3600
	}
	answer := pdc.TimeResponse{Token: request.Token, Unix: at}.Message(d.profile.dialect)
	if d.c.Faults.TimeWithOption {
		answer.Options = append(answer.Options, coap.Uint(coap.ContentFormat, 42))
	}
	answer.Token = append([]byte(nil), m.Token...)
	out.answer(m, answer)
}

// response returns a piggybacked response to m with the given code.
func response(m coap.Message, code coap.Code) coap.Message {
	return coap.Message{Type: coap.Acknowledgement, Code: code, Token: append([]byte(nil), m.Token...)}
}
