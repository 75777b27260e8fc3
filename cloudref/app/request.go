package app

import (
	"fmt"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A request is one Confirmable message of the cloud outside a firmware
// transfer.
//
//	waits for the describe --listed--> queued
//	queued --turn--> sent --ACK--> acknowledged --response--> done
//	                   |  \--response--------------------------^
//	                   \--no ACK / no answer in time--> failed
//
// Only one request of a device is sent at a time: a burst of more than about
// ten datagrams can overflow its socket.
type request struct {
	ref     uint64
	message coap.Message
	name    string        // that the describe must list when it comes; "" is decided
	due     clock.Instant // when the command has waited too long
	tag     uint32
	kind    pdc.Kind
	stage   stage
	known   pdc.VariableType  // of a variable
	flags   pdc.DescribeFlags // of a describe
	fetch   *coap.Fetch       // of a describe
	told    []pdc.LedgerRef   // of a notice about ledgers
}

type stage uint8

const (
	queued stage = iota
	sent
	acknowledged
)

// enqueue takes a command into the queue and sends it when its turn comes.
func (d *Device) enqueue(now clock.Instant, r request, out *Out) {
	if !d.Ready() {
		d.finish(&r, d.fail(NotOnline, ""), out)
		return
	}
	w := d.busy()
	if len(w.requests) >= d.c.QueueMax && !d.c.Faults.Crowds {
		d.finish(&r, d.fail(TooMany, "wait for earlier ones to end"), out)
		return
	}
	r.due = now.Add(d.c.AnswerTimeout)
	if r.kind == pdc.KindEventDelivery || r.kind == pdc.KindLedgerNotify {
		r.due = clock.Never // nobody waits for it
	}
	w.requests = append(w.requests, r)
	d.pump(now, out)
}

// tooLarge refuses a message above what the device takes at present (C-29). The
// ID counts too: Append writes one.
func (d *Device) tooLarge(m coap.Message) *Failure {
	if size, limit := len(m.Append(nil)), d.profile.dialect.Limits().Message; size > limit && !d.c.Faults.NoLimits {
		return d.fail(TooLong, fmt.Sprintf("a message of %d bytes, at most %d", size, limit))
	}
	return nil
}

// pump sends the first queued request if none is under way.
func (d *Device) pump(_ clock.Instant, out *Out) {
	if d.work == nil || !d.ready {
		return
	}
	for i := range d.work.requests {
		if d.work.requests[i].stage == sent {
			return
		}
	}
	for i := range d.work.requests {
		r := &d.work.requests[i]
		if r.stage != queued || r.name != "" || d.flashing() && heldDuringFlash(r.kind) && !d.c.Faults.Sends.Noisy {
			continue
		}
		d.launch(r, out)
		if r.message.Type == coap.Confirmable {
			return
		}
		// A NON is done when it is sent; look for the next.
		d.complete(i, nil, out)
		d.pump(0, out)
		return
	}
}

func (d *Device) launch(r *request, out *Out) {
	r.stage, r.tag = sent, d.nextTag()
	out.Sends = append(out.Sends, Send{Tag: r.tag, Message: r.message})
}

// heldDuringFlash reports whether a request waits until a firmware transfer is
// over (C-49): the device answers functions and variables meanwhile, and is
// spared the rest.
func heldDuringFlash(k pdc.Kind) bool {
	return k == pdc.KindPing || k == pdc.KindDescribeRequest || k == pdc.KindEventDelivery
}

func (d *Device) requestByTag(tag uint32) int {
	if d.work == nil || tag == 0 {
		return -1
	}
	return slices.IndexFunc(d.work.requests, func(r request) bool { return r.tag == tag && r.stage != queued })
}

// requestByToken returns the request that a separate response with this token
// belongs to, nil if there is none.
func (d *Device) requestByToken(token []byte) *request {
	if d.work == nil || len(token) == 0 {
		return nil
	}
	i := slices.IndexFunc(d.work.requests, func(r request) bool { return slices.Equal(r.message.Token, token) })
	if i < 0 {
		return nil
	}
	return &d.work.requests[i]
}

// Acknowledged says that the device acknowledged the message with this tag. m
// is the ACK: empty, or with a piggybacked response.
func (d *Device) Acknowledged(now clock.Instant, tag uint32, m coap.Message, out *Out) {
	if d.flashAcknowledged(now, tag, m, out) {
		d.settle(now, out)
		return
	}
	i := d.requestByTag(tag)
	if i < 0 {
		return
	}
	r := &d.work.requests[i]
	r.stage = acknowledged
	switch {
	case m.Code != coap.Empty && (len(m.Token) > 0 || !d.c.Faults.Calls.WaitsOn):
		d.respond(now, i, m, out)
	case !expectsResponse(r.kind):
		d.complete(i, nil, out)
	}
	d.settle(now, out)
}

func expectsResponse(k pdc.Kind) bool {
	switch k {
	case pdc.KindFunctionCall, pdc.KindVariableRequest, pdc.KindDescribeRequest, pdc.KindSignal:
		return true
	default:
		return false
	}
}

// settle sends what may go next and drops what is done.
func (d *Device) settle(now clock.Instant, out *Out) {
	d.tellLedgers(now, out)
	d.pump(now, out)
	d.rest()
}

// response takes a separate response. It is acknowledged in any case: a Reset
// would cost the device its session (PDC-8.11).
func (d *Device) response(now clock.Instant, m coap.Message, out *Out) {
	if d.flashResponse(now, m, out) {
		return
	}
	if !d.c.Faults.Hears.SilentResponses {
		out.ack(m)
	}
	if d.c.Faults.Calls.OldestCall && d.work != nil {
		d.answerOldest(now, m, out)
		return
	}
	if r := d.requestByToken(m.Token); r != nil && r.stage != queued && (r.stage == acknowledged || !d.c.Faults.Calls.NeedsAck) {
		i := slices.IndexFunc(d.work.requests, func(o request) bool {
			return o.tag == r.tag && o.ref == r.ref && slices.Equal(o.message.Token, m.Token)
		})
		d.respond(now, i, m, out)
	}
}

// answerOldest is the fault OldestCall.
func (d *Device) answerOldest(now clock.Instant, m coap.Message, out *Out) {
	if i := slices.IndexFunc(d.work.requests, func(r request) bool { return r.stage != queued }); i >= 0 {
		d.respond(now, i, m, out)
	}
}

// respond ends request i with the response m, piggybacked or separate.
func (d *Device) respond(now clock.Instant, i int, m coap.Message, out *Out) {
	r := &d.work.requests[i]
	if r.kind == pdc.KindDescribeRequest {
		d.describeResponse(now, i, m, out)
		return
	}
	result, failure := d.resultOf(r, m)
	d.completeWith(i, result, failure, out)
}

func (d *Device) resultOf(r *request, m coap.Message) (Result, *Failure) {
	if !coap.IsSuccess(m.Code) {
		f := d.fail(Refused, "")
		f.Code = m.Code
		if r.kind == pdc.KindVariableRequest && m.Code == coap.NotFound && !d.c.Faults.Calls.NotFoundIsRefused {
			f.Reason, f.Detail = NoSuchName, "it described another list before"
		}
		return Result{}, f
	}
	switch r.kind {
	case pdc.KindFunctionCall:
		return d.functionResult(m)
	case pdc.KindVariableRequest:
		return d.variableResult(r, m)
	default:
		return Result{}, nil
	}
}

// complete ends request i.
func (d *Device) complete(i int, failure *Failure, out *Out) {
	d.completeWith(i, Result{}, failure, out)
}

func (d *Device) completeWith(i int, result Result, failure *Failure, out *Out) {
	r := d.work.requests[i]
	d.work.requests = slices.Delete(d.work.requests, i, i+1)
	d.untold(r.told, failure)
	if r.ref == 0 {
		return
	}
	result.Ref, result.Err = r.ref, failure
	out.effect(result)
}

// finish ends a request that is no longer in the queue.
func (d *Device) finish(r *request, failure *Failure, out *Out) {
	d.untold(r.told, failure)
	if r.ref != 0 {
		out.effect(Result{Ref: r.ref, Err: failure})
	}
}

// TimedOut says that the device did not acknowledge a message. It cannot be
// reached: all that waits fails. Its session stays valid, and its next record
// shows that it is back.
func (d *Device) TimedOut(now clock.Instant, out *Out) {
	d.abandon(now, "it did not acknowledge", out)
	d.away = true
	out.effect(Offline{Reason: "does not acknowledge"})
}

// Rejected says that the device answered the message with this tag with a
// Reset: it does not take it. The session goes on.
func (d *Device) Rejected(now clock.Instant, tag uint32, out *Out) {
	d.drop(now, tag, d.fail(Refused, "it rejected the message"), out)
}

// NotSent says that the message with this tag was never sent, because the store
// failed.
func (d *Device) NotSent(now clock.Instant, tag uint32, out *Out) {
	d.drop(now, tag, d.fail(Unreachable, "the cloud could not store what the request depends on: try again"), out)
}

func (d *Device) drop(now clock.Instant, tag uint32, why *Failure, out *Out) {
	switch i := d.requestByTag(tag); {
	case i >= 0:
		d.complete(i, why, out)
	case tag != 0 && d.flashing() && d.work.flash.tag == tag:
		d.interruptFlash(now, out)
	}
	d.settle(now, out)
}

func (d *Device) expireRequests(now clock.Instant, out *Out) {
	for i := 0; i < len(d.work.requests); {
		r := &d.work.requests[i]
		if r.due > now {
			i++
			continue
		}
		failure := d.fail(NoAnswer, "its application may be busy, or the name unknown to it")
		switch {
		case r.name != "":
			failure = d.fail(NoSuchName, "it has not described its functions and variables")
		case r.stage != acknowledged:
			failure = d.fail(Unreachable, "the request was not acknowledged")
		}
		d.complete(i, failure, out)
	}
}

func (d *Device) requestDeadline() clock.Instant {
	due := clock.Never
	for i := range d.work.requests {
		due = min(due, d.work.requests[i].due)
	}
	return due
}
