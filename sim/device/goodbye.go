package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// afterClosing says what follows an orderly disconnect.
type afterClosing uint8

const (
	thenIdle afterClosing = iota
	thenBoot
	thenSleep
)

// Disconnect is Particle.disconnect().
func (d *Device) Disconnect(now clock.Instant, out *Out) {
	if d.state == Off {
		return
	}
	d.wanted = false
	d.leave(now, thenIdle, pdc.Goodbye{Fields: pdc.GoodbyeCloudReason, CloudReason: pdc.CloudUser}, out)
}

// leave disconnects in an orderly way: a device that is connected says goodbye
// and waits for what is unacknowledged (PDC-2.5).
func (d *Device) leave(now clock.Instant, after afterClosing, g pdc.Goodbye, out *Out) {
	d.after = after
	d.cancelUpdate(pdc.ErrAborted, out)
	if d.state == Closing {
		return
	}
	if d.state != Connected || !d.has(profile.Goodbyes) || d.faults().NoGoodbye {
		d.left(now, out)
		return
	}
	d.state = Closing
	d.timer = now.Add(d.prof.DisconnectTimeout())
	d.send(now, g.Message(d.Dialect()), tagGoodbye, out)
	d.closing(now, out)
}

// closing ends the disconnect as soon as nothing is unacknowledged.
func (d *Device) closing(now clock.Instant, out *Out) {
	if d.state == Closing && (!d.prof.Board.UDP || d.ch.Waiting() == 0) {
		d.left(now, out)
	}
}

// left is the end of an orderly disconnect. The session stays valid.
func (d *Device) left(now clock.Instant, out *Out) {
	after := d.after
	d.after = thenIdle
	discard := d.moving
	switch after {
	case thenBoot:
		if discard {
			d.drop(now, SessionDiscarded, true, out)
		}
		d.restart(now, d.resetWhy, out)
	case thenSleep:
		d.drop(now, DisconnectWanted, d.faults().Power.ForgetsSession, out)
		d.nv.Reset = pdc.ResetPowerManagement
		d.off()
		if !d.faults().Power.NeverWakes {
			d.timer = now.Add(d.sleepFor)
		}
	case thenIdle:
		d.drop(now, DisconnectWanted, discard, out)
		d.state, d.timer = Idle, clock.Never
		if d.wanted {
			d.wait(now, 0)
		}
	}
}
