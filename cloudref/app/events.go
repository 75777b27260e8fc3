package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// receivePublish takes an event. It is acknowledged when it is stored: Out
// holds the reply back until then.
func (d *Device) receivePublish(now clock.Instant, m coap.Message, out *Out) {
	p, err := pdc.ParsePublish(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	if d.c.Faults.Hears.OldIDs && d.usedID(m) {
		out.ack(m)
		return
	}
	if d.c.Faults.Events.NeedsPayload && m.LoneMarker {
		out.answer(m, coap.Message{Code: coap.BadRequest})
		return
	}
	if len(p.Name) > d.profile.dialect.Limits().EventName || len(p.Data) > d.profile.dialect.Limits().Message {
		out.answer(m, coap.Message{Code: coap.BadRequest})
		return
	}
	if !d.c.Faults.SilentEvents {
		d.answerPublish(m, p, out)
	}
	if d.c.Faults.FirstSegment {
		p.Name, _, _ = strings.Cut(p.Name, "/")
	}
	d.understand(now, p, out)
	if p.Name == pdc.EventClaimCode {
		return // a secret between device and cloud, not for the stream
	}
	out.Publish = append(out.Publish, Event{
		Name: strings.Clone(p.Name), Data: append([]byte(nil), p.Data...),
		Content: p.Format, TTL: ttlOf(p.TTL, p.HasTTL), Private: p.Private,
	})
}

// swallows is the fault SwallowsGaps: whether the ID before was left out.
func (d *Device) swallows(m coap.Message) bool {
	w := d.busy()
	began, before := w.usedIDs != nil, w.usedIDs[m.ID-1]
	d.usedID(m)
	return began && !before
}

// usedID is the fault OldIDs: whether an event had that ID before, in any session.
func (d *Device) usedID(m coap.Message) bool {
	w := d.busy()
	if w.usedIDs == nil {
		w.usedIDs = make(map[uint16]bool)
	}
	used := w.usedIDs[m.ID]
	w.usedIDs[m.ID] = true
	return used
}

// answerPublish acknowledges an event. One that has a token comes from a later
// Device OS, which waits for a response (PDC-4.1).
func (d *Device) answerPublish(m coap.Message, p pdc.Publish, out *Out) {
	if len(p.Token) > 0 {
		out.answer(m, response(m, coap.Changed))
		return
	}
	out.ack(m)
}

func ttlOf(ttl uint32, has bool) uint32 {
	if !has {
		return pdc.DefaultTTL
	}
	return ttl
}

// understand acts on the events that mean something to the cloud (PDC-4.5).
func (d *Device) understand(now clock.Instant, p pdc.Publish, out *Out) {
	if !strings.HasPrefix(p.Name, "spark/") && !strings.HasPrefix(p.Name, "particle/") {
		return
	}
	switch p.Name {
	case pdc.EventClaimCode:
		out.effect(Claimed{Code: string(p.Data)})
	case pdc.EventSafeMode:
		d.profile.safeMode = true
		out.Save |= SaveSession
		d.reportSafeMode(out)
	case pdc.EventMaxBinary:
		d.setMaxBinary(string(p.Data), out)
	case pdc.EventUpdatesEnabled:
		if d.work != nil && d.work.flash != nil && d.work.flash.stage == FlashTransferring {
			// A device says this when it connects, and nothing during an update:
			// it has connected anew.
			d.restartFlash(now, out)
		}
		d.returned(now, out)
		d.setUpdates(now, string(p.Data) == "true", d.profile.forced, out)
	case pdc.EventUpdatesForced:
		d.setUpdates(now, d.profile.enabled, string(p.Data) == "true", out)
	}
}

// setMaxBinary keeps the size of the largest image where the Hello does not tell
// it: up to 2.x (PDC-4.5). What is no number is ignored.
func (d *Device) setMaxBinary(text string, out *Out) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || d.profile.hello.System != 0 || uint32(n) == d.profile.hello.MaxBinary {
		return
	}
	d.profile.hello.MaxBinary = uint32(n)
	out.Save |= SaveSession
}

// reportSafeMode tells what a device in safe mode lacks, as far as it is known.
// The event may come before the describe or behind it.
func (d *Device) reportSafeMode(out *Out) {
	if !d.profile.safeMode || d.c.Faults.Events.IgnoresSafeMode {
		return
	}
	e := SafeMode{Known: d.profile.describe.hasSystem()}
	if e.Known {
		e.Missing = d.profile.describe.System.Missing()
	}
	out.effect(e)
}

func (d *Device) setUpdates(now clock.Instant, enabled, forced bool, out *Out) {
	if enabled != d.profile.enabled || forced != d.profile.forced {
		d.profile.enabled, d.profile.forced = enabled, forced
		out.Save |= SaveSession
		out.effect(UpdateFlags{Enabled: enabled, Forced: forced})
	}
	d.releaseFlash(now, out)
}

// receiveSubscribe adds a subscription to the session's list.
func (d *Device) receiveSubscribe(m coap.Message, out *Out) {
	s, err := pdc.ParseSubscribe(m)
	if err != nil {
		d.refuse(m, err, out)
		return
	}
	set, added := d.profile.subs.with(s, d.c)
	if set == nil {
		// C-28: a token-less 4.00 is the refusal, never a Reset.
		if d.c.Faults.Events.ResetRefusals {
			out.answer(m, coap.Message{Type: coap.Reset})
			return
		}
		out.answer(m, coap.Message{Code: coap.BadRequest})
		return
	}
	out.ack(m)
	if added {
		d.profile.subs = set
		out.Save |= SaveSession
	}
}

// Deliver sends an event to the device, if one of its subscriptions wants it.
// The event must come from the device's own account: that is the router's
// promise.
func (d *Device) Deliver(now clock.Instant, e Event, publisher DeviceID, out *Out) {
	wanted, structured := d.profile.subs.match(e.Name, publisher)
	if !d.Ready() || !wanted && !d.c.Faults.IgnoreFilters {
		return
	}
	format := e.Content
	if structured && !d.c.Faults.Events.NoRelabel {
		format = format.Delivered()
	}
	d.deliver(now, 0, e, format, out)
}

// SendEvent sends an event to the device whatever it subscribed to: the events
// that Device OS itself understands. Its [Result] comes when the device
// acknowledged, or at once where it never does.
func (d *Device) SendEvent(now clock.Instant, ref uint64, e Event, out *Out) {
	d.deliver(now, ref, e, e.Content, out)
}

func (d *Device) deliver(now clock.Instant, ref uint64, e Event, format pdc.ContentFormat, out *Out) {
	r := request{ref: ref, kind: pdc.KindEventDelivery}
	if failure := d.refuseEvent(&e); failure != nil {
		d.finish(&r, failure, out)
		return
	}
	// The default lifetime is not said: a device ignores it, and it is 4 bytes.
	r.message = pdc.EventDelivery{
		Private: e.Private, Name: e.Name, Data: e.Data,
		Format: format, HasFormat: format != pdc.FormatText,
	}.Message(d.profile.dialect)
	d.bend(&r.message)
	if failure := d.tooLarge(r.message); failure != nil {
		d.finish(&r, failure, out) // C-29, R-96
		return
	}
	d.enqueue(now, r, out)
}

// bend applies the faults of a delivery.
func (d *Device) bend(m *coap.Message) {
	if d.c.Faults.DeliverWithFormat && !m.Has(coap.ContentFormat) {
		format := coap.Uint(coap.ContentFormat, uint32(pdc.FormatJSON))
		last := len(m.Options)
		for last > 0 && m.Options[last-1].ID > format.ID {
			last-- // options are in the order of their numbers
		}
		m.Options = slices.Insert(m.Options, last, format)
	}
	switch {
	case !d.c.Faults.SwapReliability:
	case m.Type == coap.Confirmable:
		m.Type = coap.NonConfirmable
	default:
		m.Type = coap.Confirmable
	}
}

// refuseEvent says why an event cannot go to this device (C-26, C-29), and
// gives one that needs data some: a device would read a null pointer.
func (d *Device) refuseEvent(e *Event) *Failure {
	limits := d.profile.dialect.Limits()
	switch {
	case e.Name == "":
		return d.fail(TooLong, "an event needs a name")
	case len(e.Name) > limits.EventName:
		return d.fail(TooLong, fmt.Sprintf("an event name of %d bytes, at most %d", len(e.Name), limits.EventName))
	case len(e.Data) > limits.EventData && !d.c.Faults.NoLimits:
		return d.fail(TooLong, fmt.Sprintf("event data of %d bytes, at most %d", len(e.Data), limits.EventData))
	case len(e.Data) == 0 && pdc.NeedsData(e.Name) && !d.c.Faults.Events.NoData:
		e.Data = []byte("true")
	}
	return nil
}

// ConfirmClaim tells the device that its claim code was taken, so that it stops
// publishing it (C-31).
func (d *Device) ConfirmClaim(now clock.Instant, out *Out) {
	if d.c.Faults.SilentClaims {
		return
	}
	d.SendEvent(now, 0, Event{Name: pdc.EventClaimed + "done", Data: []byte("true"), Private: true}, out)
}

// AnswerRequest delivers what the device asked for with an event: its name, its
// address or random characters, as an event of the same name (C-30). A device
// that did not subscribe to it gets nothing.
func (d *Device) AnswerRequest(now clock.Instant, name string, answer []byte, out *Out) {
	if d.c.Faults.Events.NoRequests {
		return
	}
	d.Deliver(now, Event{Name: name, Data: answer, Private: true}, d.id, out)
}
