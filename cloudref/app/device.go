package app

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A Device is the application state of one device: what survives a restart
// (see [Device.AppendState]) and what waits for it right now.
//
//	lost --Hello--> ready --Lost--> lost --Resumed--> ready
//	                ready --goodbye, no acknowledgement--> away --Heard--> ready
//
// Until ready, only Hello is taken and nothing is sent. A device that is away
// may send what it likes, but gets no commands.
//
// Device OS: until its Hello is acknowledged a device throws every other
// message away (communication/src/protocol.cpp).
//
// An idle Device is small: a million are held. What only a busy device needs
// hangs on work, which is nil when idle.
type Device struct {
	c       *Config
	id      DeviceID
	profile profile
	work    *work
	tag     uint32
	token   byte
	ready   bool
	away    bool // said goodbye or did not acknowledge, and was not heard since
}

// A profile is what the device told about itself. All of it is durable.
type profile struct {
	hello     greeting
	dialect   pdc.Dialect
	describe  *Describe
	modem     modem
	subs      *Subscriptions
	pending   *pendingImage // sent, not yet seen running
	enabled   bool          // updates allowed by the application
	forced    bool          // updates forced by the cloud, and confirmed
	greeted   bool          // a Hello was accepted
	following *following    // ledgers of whose changes it wants to hear
	safeMode  bool
}

// work is what a busy device needs.
type work struct {
	requests []request
	flash    *flash
	posts    [3]coap.Assembler // describe posts being received, by type
	ledgers  ledgers
	usedIDs  map[uint16]bool // of messages; nil, but for faults
}

// New returns the state of a device that never said Hello. It holds c for its
// life; c must have its defaults set ([Config.Defaults]).
func New(id DeviceID, c *Config) *Device {
	return &Device{c: c, id: id, profile: profile{enabled: true}}
}

// ID returns the device's id.
func (d *Device) ID() DeviceID { return d.id }

// Ready reports whether commands can be sent: the Hello was accepted, in this
// session or in the one that was resumed, and the device is not away.
func (d *Device) Ready() bool { return d.ready && !d.away }

// Heard says that something came from the device that proves it to be there.
// Messages given to Receive say so themselves.
func (d *Device) Heard(now clock.Instant) {
	d.away = false
	d.wakeFlash(now)
}

// LastHello returns what the last accepted Hello said.
func (d *Device) LastHello() pdc.Hello { return d.profile.hello.hello() }

// Dialect returns what the device speaks, as far as it is known.
func (d *Device) Dialect() pdc.Dialect { return d.profile.dialect }

// SafeMode reports whether the device said that it runs without its
// application.
func (d *Device) SafeMode() bool { return d.profile.safeMode }

// UpdateFlags returns what the device said about updates.
func (d *Device) UpdateFlags() UpdateFlags {
	return UpdateFlags{Enabled: d.profile.enabled, Forced: d.profile.forced}
}

// Resumed says that the device has resumed a session of which this is the
// state: it needs no Hello, because it counts on what the cloud kept. It reports
// whether there is such state; if not, the session must end.
func (d *Device) Resumed(now clock.Instant, out *Out) bool {
	d.abandon(now, "the device began a new connection", out)
	d.ready = d.profile.greeted
	if d.tag == 0 {
		// After a restart of the cloud. A result may still come with a token from
		// before; it must not meet a new request.
		d.token = byte(now / (1 << 20))
	}
	d.returned(now, out)
	d.Heard(now)
	return d.ready
}

// Restored says that the cloud has restarted, or the session has moved to another node,
// and it is there still. The device need not have noticed: it is asked as before, and whether it is there shows when it
// answers. Tokens begin behind one, which is best another at each start: a result may
// still come with a token from before, and must not meet a new request.
func (d *Device) Restored(token byte) {
	d.ready, d.token = d.profile.greeted, token
}

// Unnoticed says that the first record since [Device.Restored] is of a device that has
// noticed nothing. It reports whether there is a state of the session; if not, that
// must end.
func (d *Device) Unnoticed(now clock.Instant, out *Out) bool {
	d.returned(now, out)
	d.Heard(now)
	return d.ready
}

// Lost says that the connection is gone or was replaced. Everything that
// waited for an answer fails; what is durable stays.
//
// Device OS: a device forgets the Confirmable messages of its old connection
// (PDC-8.10), so nothing that was asked will be answered.
func (d *Device) Lost(now clock.Instant, out *Out) {
	d.ready, d.away = false, false
	d.abandon(now, "the connection was lost", out)
}

// abandon fails everything that waits for the device.
func (d *Device) abandon(now clock.Instant, why string, out *Out) {
	if d.work == nil {
		return
	}
	requests := d.work.requests
	d.work.requests = nil
	for i := range requests {
		d.finish(&requests[i], d.fail(Unreachable, why), out)
	}
	d.work.posts, d.work.ledgers = [3]coap.Assembler{}, ledgers{}
	d.interruptFlash(now, out)
	d.rest()
}

// Advance does what is due: it gives up on answers that do not come, and sends
// what is paced.
func (d *Device) Advance(now clock.Instant, out *Out) {
	if d.work == nil {
		return
	}
	d.expireRequests(now, out)
	for i := range d.work.posts {
		d.work.posts[i].Advance(now)
	}
	d.work.ledgers.advance(now)
	d.advanceFlash(now, out)
	d.pump(now, out)
	d.rest()
}

// Deadline returns when Advance is due, [clock.Never] for an idle device.
func (d *Device) Deadline() clock.Instant {
	if d.work == nil {
		return clock.Never
	}
	due := min(d.requestDeadline(), d.flashDeadline(), d.work.ledgers.deadline())
	for i := range d.work.posts {
		due = min(due, d.work.posts[i].Deadline())
	}
	return due
}

// busy returns d.work, making it if need be.
func (d *Device) busy() *work {
	if d.work == nil {
		d.work = new(work)
	}
	return d.work
}

// rest drops d.work if nothing is left in it.
func (d *Device) rest() {
	w := d.work
	if w == nil || w.usedIDs != nil || len(w.requests) > 0 || w.flash != nil || !w.ledgers.idle() {
		return
	}
	for i := range w.posts {
		if w.posts[i].Deadline() != clock.Never {
			return
		}
	}
	d.work = nil
}

// nextToken returns one byte that no waiting request uses. Device OS wants
// exactly one byte of token in almost every request (PDC-0.3). Config.QueueMax leaves
// some free.
func (d *Device) nextToken() []byte {
	for range 1 << 8 {
		d.token++
		if d.requestByToken([]byte{d.token}) == nil && !d.flashUsesToken(d.token) {
			break
		}
	}
	if d.c.Faults.LongToken {
		return []byte{d.token, d.token}
	}
	return []byte{d.token}
}

// nextTag returns a tag that is not 0.
func (d *Device) nextTag() uint32 {
	d.tag++
	if d.tag == 0 {
		d.tag++
	}
	return d.tag
}
