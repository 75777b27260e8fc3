package app

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// ledgerLimits bound one request: the most data that a ledger has, and its
// frame.
var ledgerLimits = coap.Limits{BytesMax: pdc.LedgerDataMax + 1024, Lifetime: 60 * time.Second}

const (
	// ledgerBlock is the size of the blocks of an answer: the only one that a device
	// takes (C-53).
	ledgerBlock = 1024
	// ledgerAsksMax bounds the requests of a device that wait for their data.
	ledgerAsksMax = 8
)

// ledgers is what a busy device needs of its ledgers.
type ledgers struct {
	request coap.Assembler
	asked   [][]byte // tokens of requests that wait for their data
	// answer is one that goes out in blocks, until due; etag names it.
	answer, etag []byte
	due          clock.Instant
}

func (l *ledgers) deadline() clock.Instant {
	due := l.request.Deadline()
	if l.answer != nil {
		due = min(due, l.due)
	}
	return due
}

func (l *ledgers) advance(now clock.Instant) {
	l.request.Advance(now)
	if l.answer != nil && l.due <= now {
		l.answer, l.etag = nil, nil
	}
}

func (l *ledgers) idle() bool {
	return l.request.Deadline() == clock.Never && len(l.asked) == 0 && l.answer == nil
}

// receiveLedger takes a request about ledgers, or one block of it.
func (d *Device) receiveLedger(now clock.Instant, m coap.Message, out *Out) {
	request, err := pdc.ParseLedgerRequest(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	switch {
	case d.c.Faults.LedgerNotFound:
		out.answer(m, response(m, coap.NotFound))
		return
	case request.Block2 != nil:
		d.answerBlock(now, m, request, out)
		return
	}
	tag := request.RequestTag
	if d.c.Faults.Ledgers.MixesTags {
		tag = nil
	}
	body, progress := d.busy().ledgers.request.Add(now, m, tag, ledgerLimits)
	switch progress {
	case coap.Complete:
		d.takeLedgerCall(m, body, out)
	case coap.Partial, coap.Repeated:
		// C-52: any other code would abort the device's request.
		code := coap.Continue
		if d.c.Faults.Ledgers.NoContinue {
			code = coap.Changed
		}
		out.answer(m, response(m, code))
	case coap.TooLarge:
		out.answer(m, response(m, coap.EntityTooLarge))
	default:
		out.answer(m, response(m, coap.EntityIncomplete))
	}
}

// takeLedgerCall asks for what the device wants to know. The answer comes later, as
// a response of its own: see [Device.AnswerLedger].
func (d *Device) takeLedgerCall(m coap.Message, body []byte, out *Out) {
	call, err := pdc.ParseLedgerCall(bytes.Clone(body)) // it aliases what it reads
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	l := &d.busy().ledgers
	switch {
	case !d.c.Ledgers:
		answer := pdc.LedgerResponse{Token: bytes.Clone(m.Token), Payload: d.encodeReply(withoutLedgers(call))}
		out.answer(m, d.bendLedger(answer.Message(d.profile.dialect)))
		return
	case len(l.asked) >= ledgerAsksMax:
		out.answer(m, response(m, coap.ServiceUnavailable)) // it tries again
		return
	case call.Method == pdc.LedgerSubscribe:
		d.followLedgers(call.Ledgers, out)
	case d.profile.following == nil:
		d.setFollowed([]string{}, out)
	}
	if !slices.ContainsFunc(l.asked, func(t []byte) bool { return bytes.Equal(t, m.Token) }) {
		l.asked = append(l.asked, bytes.Clone(m.Token))
	}
	out.ack(m)
	out.effect(LedgerAsked{Token: bytes.Clone(m.Token), Call: call})
}

// withoutLedgers answers for a cloud that has no ledgers: every request is
// understood, and every ledger unknown.
//
// Device OS: a ledger that a successful GetInfo leaves out does not exist and
// is not asked for again; an error would be tried again for ever (PDC-8.11).
func withoutLedgers(call pdc.LedgerCall) pdc.LedgerReply {
	reply := pdc.LedgerReply{Method: call.Method}
	if call.Method != pdc.LedgerGetInfo {
		// It makes the device ask GetInfo again, which settles the matter.
		reply.Result = pdc.LedgerNotFound
	}
	if call.Method == pdc.LedgerSubscribe && len(call.Ledgers) == 0 {
		reply.Result = pdc.LedgerOK
	}
	return reply
}

// A following is which ledgers a device wants to hear of, perhaps none. A device has
// none at all if it never asked about ledgers: then its application has none, and few
// have.
//
// Device OS: without a ledger nobody handles requests about them, and none is so much
// as acknowledged (PDC-8.8).
type following struct {
	names   []string        // durable
	changed []pdc.LedgerRef // of whose change the device has yet to hear
}

func (f *following) has(name string) bool { return f != nil && slices.Contains(f.names, name) }

// followLedgers notes of which ledgers the device wants to hear: these instead of
// all before.
func (d *Device) followLedgers(refs []pdc.LedgerRef, out *Out) {
	var names []string
	for _, ref := range refs {
		if len(ref.Name) <= pdc.LedgerNameMax {
			names = append(names, strings.Clone(ref.Name))
		}
	}
	d.setFollowed(names, out)
}

// setFollowed replaces what the device follows.
func (d *Device) setFollowed(names []string, out *Out) {
	if f := d.profile.following; f != nil && slices.Equal(names, f.names) {
		return
	}
	d.profile.following = &following{names: names}
	out.Save |= SaveLedgers
}

// forgetFollowed makes it a device that never asked about ledgers.
func (d *Device) forgetFollowed(out *Out) {
	if d.profile.following != nil {
		d.profile.following = nil
		out.Save |= SaveLedgers
	}
}

// AnswerLedger answers a request about ledgers that [LedgerAsked] told of. One that
// the device has given up is not answered.
func (d *Device) AnswerLedger(now clock.Instant, token []byte, reply pdc.LedgerReply, out *Out) {
	if d.work == nil {
		return
	}
	l := &d.work.ledgers
	i := slices.IndexFunc(l.asked, func(t []byte) bool { return bytes.Equal(t, token) })
	if i < 0 {
		return
	}
	l.asked = slices.Delete(l.asked, i, i+1)
	r := pdc.LedgerResponse{Token: token, Separate: true, Payload: d.encodeReply(reply)}
	if len(r.Payload) > ledgerBlock {
		l.answer, l.due = r.Payload, now.Add(ledgerLimits.Lifetime)
		l.etag = binary.BigEndian.AppendUint32(nil, d.nextTag())
		r.ETag, r.Block2 = l.etag, &coap.Block{More: true, SZX: coap.SZXMax}
		r.Payload = l.answer[:ledgerBlock]
	}
	out.Sends = append(out.Sends, Send{Message: d.bendLedger(r.Message(d.profile.dialect))})
	d.settle(now, out)
}

func (d *Device) encodeReply(reply pdc.LedgerReply) []byte {
	payload := reply.Append(nil)
	if d.c.Faults.Ledgers.Unordered && reply.Result != 0 {
		payload = append(payload[2:], payload[:2]...) // the result, which is to come first
	}
	return payload
}

// bendLedger applies the faults of an answer.
func (d *Device) bendLedger(m coap.Message) coap.Message {
	if d.c.Faults.Ledgers.Content {
		m.Code = coap.Content
	}
	return m
}

// answerBlock sends a further block of an answer.
func (d *Device) answerBlock(now clock.Instant, m coap.Message, request pdc.LedgerRequest, out *Out) {
	l := &d.busy().ledgers
	from := int64(request.Block2.Num) * ledgerBlock
	if l.answer == nil || !bytes.Equal(request.ETag, l.etag) || request.Block2.SZX != coap.SZXMax || from >= int64(len(l.answer)) {
		out.answer(m, response(m, coap.EntityIncomplete)) // the device begins anew
		return
	}
	rest, etag := l.answer[from:], l.etag
	if d.c.Faults.Ledgers.NewETags {
		etag = append(bytes.Clone(etag), byte(request.Block2.Num))
	}
	l.due = now.Add(ledgerLimits.Lifetime)
	out.answer(m, pdc.LedgerResponse{
		Token: bytes.Clone(m.Token), ETag: etag, Payload: rest[:min(len(rest), ledgerBlock)],
		Block2: &coap.Block{Num: request.Block2.Num, More: len(rest) > ledgerBlock, SZX: coap.SZXMax},
	}.Message(d.profile.dialect))
}

// NotifyLedger tells the device that a ledger changed, if it wants to hear of that.
// If it cannot be told now, it is when it is heard again. A device that connects anew
// asks by itself, and does not mind.
func (d *Device) NotifyLedger(now clock.Instant, name string, milliseconds uint64, out *Out) {
	f := d.profile.following
	if !f.has(name) {
		return
	}
	f.changed = slices.DeleteFunc(f.changed, func(r pdc.LedgerRef) bool { return r.Name == name })
	f.changed = append(f.changed, pdc.LedgerRef{Name: name, Updated: pdc.LedgerUpdated{Milliseconds: milliseconds, Known: true}})
	d.settle(now, out)
}

// AsksLedgers reports whether the device ever asked about ledgers.
func (d *Device) AsksLedgers() bool { return d.profile.following != nil }

// ResetLedgers makes the device ask again which ledgers there are, if it ever asked.
func (d *Device) ResetLedgers(now clock.Instant, out *Out) {
	asked := d.AsksLedgers() || d.c.Faults.Ledgers.ResetsAll && d.profile.dialect.Ledger()
	if !d.Ready() || !asked {
		return // it asks when it connects
	}
	d.notify(now, pdc.LedgerCall{Method: pdc.LedgerResetInfo}, out)
}

// tellLedgers sends the notices that wait, if the device is there.
func (d *Device) tellLedgers(now clock.Instant, out *Out) {
	f := d.profile.following
	if f == nil || len(f.changed) == 0 || !d.Ready() || d.flashing() {
		return
	}
	refs := f.changed
	f.changed = nil
	for len(refs) > 0 {
		n := min(len(refs), pdc.LedgersMax)
		d.notify(now, pdc.LedgerCall{Method: pdc.LedgerNotifyUpdate, Ledgers: refs[:n]}, out)
		refs = refs[n:]
	}
}

func (d *Device) notify(now clock.Instant, call pdc.LedgerCall, out *Out) {
	d.enqueue(now, request{
		kind: pdc.KindLedgerNotify, told: call.Ledgers,
		message: pdc.LedgerNotify{Token: d.nextToken(), Payload: call.Append(nil)}.Message(d.profile.dialect),
	}, out)
}

// untold takes back a notice that did not reach the device. One that it rejected is
// not repeated.
func (d *Device) untold(refs []pdc.LedgerRef, why *Failure) {
	f := d.profile.following
	if why == nil || why.Reason == Refused {
		return
	}
	for _, ref := range refs {
		newer := f != nil && slices.ContainsFunc(f.changed, func(r pdc.LedgerRef) bool { return r.Name == ref.Name })
		if !newer && f.has(ref.Name) {
			f.changed = append(f.changed, ref)
		}
	}
}

// RestoreLedgers brings back the part SaveLedgers of [Device.AppendState].
func (d *Device) RestoreLedgers(state []byte) error {
	r := reader{b: state}
	if r.byte() != ledgerStateVersion {
		return fmt.Errorf("%w: ledgers of version %d, want %d", errState, first(state), ledgerStateVersion)
	}
	var f *following
	for range r.uint(pdc.LedgersMax) {
		if f == nil {
			f = &following{}
		}
		if name := string(r.bytes(pdc.LedgerNameMax)); name != "" {
			f.names = append(f.names, name)
		}
	}
	if r.bad {
		return errState
	}
	d.profile.following = f
	return nil
}

// ledgerStateVersion is the version of the encoding of SaveLedgers. A device that asks
// about ledgers, and follows none, follows one without a name there.
const ledgerStateVersion = 1

func (d *Device) appendLedgers(b []byte) []byte {
	var names []string
	if f := d.profile.following; f != nil {
		names = f.names
		if len(names) == 0 {
			names = []string{""}
		}
	}
	b = binary.AppendUvarint(append(b, ledgerStateVersion), uint64(len(names)))
	for _, name := range names {
		b = appendBytes(b, []byte(name))
	}
	return b
}
