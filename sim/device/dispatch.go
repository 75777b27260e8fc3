package device

import (
	"errors"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// handle takes one event of the message layer.
func (d *Device) handle(now clock.Instant, e coap.Event, out *Out) {
	switch e.Kind {
	case coap.TimedOut:
		d.fail(now, MessageTimeout, true, out)
		return
	case coap.WasReset:
		d.fail(now, MessageReset, true, out)
		return
	case coap.Malformed:
		if d.faults().Answers.Touchy {
			d.fail(now, MalformedMessage, false, out)
			return
		}
		out.event(Event{Kind: Dropped, Name: "malformed message"})
		return
	default: // the cloud was heard
	}
	d.heard(now)
	switch e.Kind {
	case coap.Acknowledged:
		d.acknowledged(now, e, out)
	case coap.Unmatched:
		// Device OS: the dispatcher takes every 2.05 for the time, also one that
		// answers nothing.
		if e.Message.Code == coap.Content {
			d.setTime(now, e.Wire, out)
		}
	case coap.Received:
		d.dispatch(now, e, out)
	default:
		// Pings and duplicates are answered already.
	}
}

// acknowledged takes the ACK of something that was sent.
func (d *Device) acknowledged(now clock.Instant, e coap.Event, out *Out) {
	code := e.Message.Code
	if code == coap.Content {
		d.setTime(now, e.Wire, out)
	}
	if d.deaf && e.ID == d.awaited {
		d.hear()
	}
	switch tag := e.Tag; tag {
	case tagHello:
		if d.state == Greeting && d.prof.Board.UDP {
			d.helloAnswered(now, out)
		}
	case tagTime:
		// Device OS: only a 2.05 ends the wait. One that never comes leaves the
		// clock as it is until the next connect (PDC-8.1).
	case tagSubscription:
		d.subscribed(code)
	case tagPublish:
		d.publishAcknowledged(e, out)
	case tagUpdateReady, tagChunkMissed, tagUpdateDone, tagStart, tagFinish, tagFinishError:
		if d.upd != nil {
			d.upd.acknowledged(d, now, tag, out)
		}
	case tagServerMoved:
		d.move(now, out)
	case tagLedger:
		d.ledgerAnswer(now, e, out)
	default:
		if flags := pdc.DescribeFlags(tag >> 8); tag&0xff == tagDescribe || tag&0xff == tagDescribeReply {
			d.describeAcknowledged(now, tag&0xff, flags, code, out)
		}
	}
	d.progress(now, out)
}

// progress moves the states that wait for acknowledgements.
func (d *Device) progress(now clock.Instant, out *Out) {
	d.idle()
	if d.ch == nil {
		return
	}
	d.settle(now, out)
	d.closing(now, out)
}

// dispatch takes one request, or a response to one.
func (d *Device) dispatch(now clock.Instant, e coap.Event, out *Out) {
	if len(e.Wire) > d.prof.Dialect().Limits().Message {
		// Longer than the buffer of the build: lost (TRN-2.9, N-13).
		out.event(Event{Kind: Dropped, Name: "message too long"})
		return
	}
	kind := pdc.DispatchOnDevice(e.Wire)
	if kind != pdc.KindInvalid && !kind.SpokenBy(d.Dialect()) {
		if d.faults().Updates.AnswersOther && e.Message.Type == coap.Confirmable {
			d.reply(now, e, coap.Message{Type: coap.Acknowledgement, Code: coap.NotImplemented, Token: e.Message.Token}, out)
			return
		}
		kind = pdc.KindUnknown
	}
	err := d.serve(now, kind, e, out)
	if e.Err != nil && d.faults().Answers.Touchy {
		err = strictly(kind, e)
	}
	var fault *pdc.Error
	if !errors.As(err, &fault) {
		return
	}
	if fault.Reaction == pdc.Disconnect && d.faults().Answers.Forgiving || fault.Reaction == pdc.Refuse && d.faults().Answers.NoRefusals {
		return
	}
	switch fault.Reaction {
	case pdc.Disconnect:
		why := MalformedMessage
		if fault.Rule == "N-5" {
			why = MissingToken
		}
		d.fail(now, why, false, out)
	case pdc.Crash:
		d.crash(now, out)
	case pdc.Refuse:
		if fault.Answer != 0 {
			d.reply(now, e, coap.Message{Type: coap.Acknowledgement, Code: fault.Answer, Token: e.Message.Token}, out)
		}
	case pdc.Ignore:
		out.event(Event{Kind: Dropped, Name: fault.Reason})
	}
}

// reaction returns what a board does about its connection because of err, Refuse
// when that is nothing or there is no error.
func reaction(err error) pdc.Reaction {
	var fault *pdc.Error
	if errors.As(err, &fault) {
		return fault.Reaction
	}
	return pdc.Refuse
}

// crash restarts the device without a word after a failed assertion.
func (d *Device) crash(now clock.Instant, out *Out) { d.restart(now, pdc.ResetPanic, out) }

// serve calls the handler of the kind.
func (d *Device) serve(now clock.Instant, kind pdc.Kind, e coap.Event, out *Out) error {
	switch kind {
	case pdc.KindServerHello:
		d.serverHello(now, e, out)
	case pdc.KindTimeResponse:
		// Device OS: never acknowledged, though it may be Confirmable.
		d.setTime(now, e.Wire, out)
	case pdc.KindDescribeRequest:
		return d.describeRequest(now, e, out)
	case pdc.KindEventDelivery:
		return d.eventDelivery(now, e, out)
	case pdc.KindFunctionCall:
		return d.functionCall(now, e, out)
	case pdc.KindVariableRequest:
		return d.variableRequest(now, e, out)
	case pdc.KindSignal:
		d.signal(now, e, out)
	case pdc.KindKeyChange:
		d.keyChange(now, e, out)
	case pdc.KindUpdateBegin:
		d.updateBegin(now, e, out)
	case pdc.KindChunk:
		return d.chunk(now, e, out)
	case pdc.KindUpdateDone:
		return d.updateDone(now, e, out)
	case pdc.KindUpdateStart:
		return d.updateStart(now, e, out)
	case pdc.KindUpdateChunk:
		return d.updateChunk(now, e, out)
	case pdc.KindUpdateFinish:
		return d.updateFinish(now, e, out)
	case pdc.KindServerMoved:
		return d.serverMoved(now, e, out)
	case pdc.KindLedgerNotify:
		return d.ledgerNotify(now, e, out)
	default:
		return d.unknown(now, e, out)
	}
	return nil
}

// unknown takes a request that nobody has defined. It gets no reply of any
// kind (PDC-0.2), and neither do its duplicates.
//
// Device OS: the new channel decodes strictly what the old dispatcher does not
// know, and its failure ends the connection.
func (d *Device) unknown(now clock.Instant, e coap.Event, out *Out) error {
	if d.faults().Answers.AnswersUnknown && coap.IsRequest(e.Message.Code) {
		d.reply(now, e, coap.Message{Type: coap.Acknowledgement, Code: coap.NotFound, Token: e.Message.Token}, out)
		return nil
	}
	if !d.has(profile.NewChannel) {
		out.event(Event{Kind: Dropped, Name: "unknown message"})
		return nil
	}
	if e.Err != nil {
		return &pdc.Error{Kind: pdc.KindUnknown, Rule: "PDC-0.2", Reason: e.Err.Error(), Reaction: pdc.Disconnect}
	}
	if coap.IsResponse(e.Message.Code) && d.ledgerResponse(now, e, out) {
		return nil
	}
	out.event(Event{Kind: Dropped, Name: "unknown message"})
	return nil
}
