package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A Publication is an event of the application.
type Publication struct {
	Name string
	// Data is nil for none. Empty but not nil is an empty string, which up to
	// 2.x looks different on the wire.
	Data []byte
	// TTL in seconds; 0 means 60, which is not sent.
	TTL uint32
	// Public publishes to everybody, up to 6.1.
	Public bool
	// NoAck sends it Non-confirmable, WithAck confirmable even over TCP and
	// reports the outcome within 20 s.
	NoAck, WithAck bool
	// Format is the Content-Format, since 6.2.
	Format pdc.ContentFormat
	// Tag comes back in the events Published and PublishFailed.
	Tag uint32
}

// A PublishError is why an event was refused before it was sent (PDC-4.1).
type PublishError uint8

// The reasons to refuse an event.
const (
	NotConnected PublishError = 1 + iota
	RateLimited               // five within a second
	UpdateBusy                // a firmware update is running
	NameTooLong
	DataTooLong
)

var publishErrors = [...]string{
	"", "not connected", "rate limited", "firmware update running", "name too long", "data too long",
}

// Error says why the event was refused.
func (e PublishError) Error() string { return "device: publish: " + publishErrors[e] }

// A pendingPublish is a publish that waits for its ACK.
type pendingPublish struct {
	id  uint16
	tag uint32
	due clock.Instant
}

// Publish publishes an event. An error is a [PublishError] and nothing is sent.
func (d *Device) Publish(now clock.Instant, p Publication, out *Out) error {
	t := d.Dialect()
	limits := t.Limits()
	switch {
	case len(p.Name) > limits.EventName:
		return NameTooLong
	case len(p.Data) > limits.EventData:
		return DataTooLong
	case d.state != Connected:
		return NotConnected
	case d.upd != nil && !d.faults().UnlimitedRate:
		return UpdateBusy
	case !d.mayPublish(now, p.Name, t):
		return RateLimited
	}
	m := pdc.Publish{
		Private: !p.Public, Name: p.Name, Data: p.Data, TTL: p.TTL, HasTTL: p.TTL != 0,
		Format: p.Format, HasFormat: p.Format != 0, Reliability: p.reliability(),
	}.Message(t)
	id := d.send(now, m, tagPublish, out)
	if !p.WithAck || m.Type != coap.Confirmable {
		out.event(Event{Kind: Published, Tag: p.Tag, Name: p.Name})
		return nil
	}
	w, due := d.busy(), now.Add(publishTimeout)
	if d.faults().Connects.PatientPublish {
		due = clock.Never
	}
	w.publishes = append(w.publishes, pendingPublish{id: id, tag: p.Tag, due: due})
	return nil
}

func (d *Device) mayPublish(now clock.Instant, name string, t pdc.Dialect) bool {
	if d.faults().UnlimitedRate {
		return true
	}
	if pdc.IsSystemEvent(name, t) {
		return d.rate.system(now, d.booted)
	}
	return d.rate.application(now, d.booted)
}

func (p Publication) reliability() pdc.Reliability {
	switch {
	case p.WithAck:
		return pdc.Confirmed
	case p.NoAck:
		return pdc.Unconfirmed
	}
	return pdc.ByTransport
}

// publishAcknowledged ends a publish that waited for its ACK, well or badly.
func (d *Device) publishAcknowledged(e coap.Event, out *Out) {
	if d.work == nil {
		return
	}
	for i, p := range d.work.publishes {
		if p.id != e.ID {
			continue
		}
		d.work.publishes = append(d.work.publishes[:i], d.work.publishes[i+1:]...)
		if code := e.Message.Code; code != coap.Empty && !coap.IsSuccess(code) {
			out.event(Event{Kind: PublishFailed, Tag: p.tag, Code: code})
		} else {
			out.event(Event{Kind: Published, Tag: p.tag})
		}
		return
	}
}

// failPublishes fails the publishes whose time is up, or all of them.
func (d *Device) failPublishes(now clock.Instant, all bool, why Error, out *Out) {
	kept := d.work.publishes[:0]
	for _, p := range d.work.publishes {
		if all || !now.Before(p.due) {
			out.event(Event{Kind: PublishFailed, Tag: p.tag, Err: why})
			continue
		}
		kept = append(kept, p)
	}
	d.work.publishes = kept
}

// publishTimeout is how long a publish that wants to be acknowledged waits.
const publishTimeout = 20 * time.Second
