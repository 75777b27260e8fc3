package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
)

// Ping sends a ping now, as an application can ask for.
func (d *Device) Ping(now clock.Instant, out *Out) {
	if d.state == Connected && d.upd == nil {
		d.pinging = true
		d.pingDue = now.Add(d.prof.PingTimeout())
		d.sendPing(now, out)
	}
}

// SetKeepAlive changes the ping interval, which must be above zero.
func (d *Device) SetKeepAlive(now clock.Instant, interval time.Duration) {
	d.keepAlive = interval
	if d.ch != nil && !d.pinging {
		d.pingDue = now.Add(interval)
	}
}

func (d *Device) sendPing(now clock.Instant, out *Out) {
	out.event(Event{Kind: Pinged})
	d.send(now, coap.Message{Type: coap.Confirmable}, tagPing, out)
}

// heard resets the keep-alive: anything that arrives is a sign of life
// (TRN-5.1).
func (d *Device) heard(now clock.Instant) {
	if !d.answered {
		d.answered, d.uses = true, 0
	}
	d.pinging = false
	d.pingDue = now.Add(d.keepAlive)
}

// keepAliveDue pings after silence, and gives up when the ping is met by
// silence too. Nothing of that happens during an update.
//
// The ping of a resume is not guarded: it fails as any Confirmable message.
func (d *Device) keepAliveDue(now clock.Instant, out *Out) {
	switch {
	case d.ch == nil || d.state == Greeting || d.state == Closing || d.faults().NoPing:
		d.pingDue = clock.Never
	case d.upd != nil:
		d.pingDue = now.Add(d.keepAlive)
	case d.pinging:
		d.fail(now, PingTimeout, false, out)
	default:
		d.pinging = true
		d.pingDue = now.Add(d.prof.PingTimeout())
		d.sendPing(now, out)
	}
}
