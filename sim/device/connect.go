package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// Connect is Particle.connect().
func (d *Device) Connect(now clock.Instant, out *Out) {
	d.wanted = true
	if d.state == Idle {
		d.wait(now, 0)
	}
}

// attempt begins to connect: from a stored session if there is one, else with a
// handshake.
func (d *Device) attempt(now clock.Instant, out *Out) {
	d.attempts++
	if !d.prof.Board.UDP {
		out.event(Event{Kind: Connecting, Count: int(d.attempts)})
		d.state, d.timer = Opening, clock.Never
		out.do(DialStream, nil)
		return
	}
	resumes := d.restore()
	out.event(Event{Kind: Connecting, Count: int(d.attempts), Resumed: resumes})
	out.do(OpenSocket, nil)
	if resumes {
		d.secured(now, true, out)
		return
	}
	d.startHandshake(now, out)
}

// secured begins the conversation over a connection that is now protected.
func (d *Device) secured(now clock.Instant, restored bool, out *Out) {
	out.event(Event{Kind: Secured, Resumed: restored})
	d.state, d.timer = Greeting, clock.Never
	d.pingDue, d.pinging = now.Add(d.keepAlive), false
	d.resumed, d.timePending, d.subsPending = false, false, 0
	if restored && d.knowsAll() {
		d.resumed = true
		d.greetResumed(now, out)
		return
	}
	d.known.Valid = 0
	d.sayHello(now, out)
}

// settle calls the device connected when it may be (PDC-1.2).
func (d *Device) settle(now clock.Instant, out *Out) {
	if d.state != Settling {
		return
	}
	if d.prof.Board.UDP && d.has(profile.WaitsForAcks) && d.ch.Waiting() > 0 && !d.faults().EarlyOnline {
		return
	}
	d.state, d.timer, d.attempts = Connected, clock.Never, 0
	d.runSetup(now, out)
	out.event(Event{Kind: Online, Resumed: d.resumed})
	d.startLedgers(now, out)
}

// fail ends the connection or the attempt and plans the next one.
func (d *Device) fail(now clock.Instant, why Error, discard bool, out *Out) {
	state := d.state
	d.cancelUpdate(pdc.ErrAborted, out)
	d.drop(now, why, discard, out)
	switch {
	case state == Closing:
		d.left(now, out)
		return
	case !d.wanted:
		d.state, d.timer = Idle, clock.Never
		return
	case state == Connected, state == Settling && !d.has(profile.PendingFailureDelays):
		d.wait(now, reconnectDelay)
		return
	}
	d.wait(now, backoff(max(d.attempts, 1)))
}

// drop ends the connection, if there is one, without a word. The session is
// kept for the next one unless it is to be discarded.
func (d *Device) drop(now clock.Instant, why Error, discard bool, out *Out) {
	live := d.ch != nil || d.hs != nil || d.state == Opening
	if !live {
		if discard {
			d.nv.Session = nil
		}
		return
	}
	e := Event{Kind: Offline, Err: why, Discarded: discard}
	if d.attempts > 0 {
		e.Count = int(d.attempts)
	}
	d.hs = nil
	if d.ch != nil {
		d.suspend(discard)
	}
	d.abandonWork(now, out)
	d.pingDue, d.deaf = clock.Never, false
	if d.prof.Board.UDP {
		out.do(CloseSocket, nil)
	} else {
		out.do(CloseStream, nil)
	}
	out.event(e)
	d.state, d.timer = Idle, clock.Never
}

// NetworkChanged tells that the device has another address: over UDP it goes
// on from a new source port, over TCP the stream is gone.
func (d *Device) NetworkChanged(now clock.Instant, out *Out) {
	switch {
	case d.state == Off || d.state == Idle || d.state == Waiting:
	case d.prof.Board.UDP:
		out.do(OpenSocket, nil)
	default:
		d.fail(now, StreamFailed, false, out)
	}
}

// SocketFailed tells that sending or receiving failed at the socket.
func (d *Device) SocketFailed(now clock.Instant, out *Out) {
	switch {
	case d.state < Opening:
	case d.prof.Board.UDP:
		d.fail(now, SocketFailed, d.hs != nil || d.has(profile.SocketErrorDiscards), out)
	default:
		d.fail(now, StreamFailed, false, out)
	}
}

// Advance does what is due.
func (d *Device) Advance(now clock.Instant, out *Out) {
	if d.hs != nil {
		d.advanceHandshake(now, out)
	}
	if d.ch != nil {
		d.ch.Advance(now, &out.link)
		d.received(now, out)
	}
	if !now.Before(d.timer) {
		d.timer = clock.Never
		d.timerDue(now, out)
	}
	if !now.Before(d.pingDue) {
		d.keepAliveDue(now, out)
	}
	if d.upd != nil && !now.Before(d.upd.deadline()) {
		d.upd.advance(d, now, out)
	}
	if d.work != nil {
		d.advanceWork(now, out)
	}
}

// timerDue is the end of what the state waits for.
func (d *Device) timerDue(now clock.Instant, out *Out) {
	switch d.state {
	case Off: // asleep
		d.boot(now, out)
	case Waiting:
		d.attempt(now, out)
	case Greeting: // TCP: no Hello from the cloud
		d.fail(now, MessageTimeout, false, out)
	case Closing:
		d.left(now, out)
	default:
		// The other states set no timer.
	}
}

// Deadline returns when Advance is due next, [clock.Never] when the device
// waits for input only.
func (d *Device) Deadline() clock.Instant {
	due := min(d.timer, d.pingDue)
	if d.hs != nil {
		due = min(due, d.hs.deadline())
	}
	if d.ch != nil {
		due = min(due, d.ch.Deadline())
	}
	if d.upd != nil {
		due = min(due, d.upd.deadline())
	}
	if d.work != nil {
		due = min(due, d.work.deadline())
	}
	return due
}
