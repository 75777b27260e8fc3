package app

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// A FlashStage is how far a firmware update is.
type FlashStage uint8

// The stages, in order.
//
//	held --allowed--> starting --accepted--> transferring --all in--> finishing
//	  finishing --validated--> restarting --Hello, describe--> done
//	  starting, transferring, finishing --connection lost--> interrupted --back--> starting
//	  any --error, patience--> failed
const (
	FlashHeld         FlashStage = 1 + iota // the application does not allow updates now
	FlashStarting                           // offered
	FlashTransferring                       // chunks are under way
	FlashFinishing                          // all sent; the device validates
	FlashRestarting                         // validated; the device restarts
	FlashInterrupted                        // the connection was lost; goes on when it is back
	FlashDone                               // the device runs the image
	FlashFailed                             // FlashProgress.Err says why
	numFlashStages
)

var flashStages = [numFlashStages]string{
	FlashHeld: "held", FlashStarting: "starting", FlashTransferring: "transferring",
	FlashFinishing: "finishing", FlashRestarting: "restarting", FlashInterrupted: "interrupted",
	FlashDone: "done", FlashFailed: "failed",
}

// String returns the stage in words.
func (s FlashStage) String() string {
	if s == 0 || s >= numFlashStages {
		return "none"
	}
	return flashStages[s]
}

// flashInterruptionsMax bounds how often one update is started over without
// getting further.
const flashInterruptionsMax = 5

// A sender is one of the two transfer protocols. It is chosen by what the Hello
// said and never mixed (C-38).
type sender interface {
	// begin offers the image.
	begin(now clock.Instant, d *Device, out *Out)
	// acknowledged takes the ACK of the Confirmable message that is waiting.
	acknowledged(now clock.Instant, d *Device, m coap.Message, out *Out)
	// response takes a separate response to the message that is waiting, and
	// says whether it was one. It answers m.
	response(now clock.Instant, d *Device, m coap.Message, out *Out) bool
	advance(now clock.Instant, d *Device, out *Out)
	deadline() clock.Instant
}

// A flash is one firmware update on its way.
type flash struct {
	ref           uint64
	image         *Image
	sender        sender
	stage         FlashStage
	applied       bool   // the device was told to run it, for the last report
	tag           uint32 // of the Confirmable message that is waiting, 0: none
	token         []byte // of the request whose response is awaited
	patience      clock.Instant
	resume        clock.Instant // when an interrupted transfer goes on
	interruptions int
	repeated      bool          // after the device came back without the image
	greeted       bool          // it has said Hello since it validated the image
	unheard       clock.Instant // when it counts as back without the image; 0: it is not back
	best          int           // bytes of the furthest attempt
	sent, packets int
}

// Flash sends a firmware image. What becomes of it is told by [FlashProgress]
// with this ref: at each stage, and at last FlashDone or FlashFailed. An update
// that is under way is canceled.
//
// The image is checked before anything is sent (C-39): a device would take
// minutes to find out.
func (d *Device) Flash(now clock.Instant, ref uint64, image *Image, out *Out) {
	f := &flash{ref: ref, image: image, stage: FlashStarting}
	if !d.Ready() {
		d.reportFlash(f, FlashFailed, d.fail(NotOnline, ""), out)
		return
	}
	if failure := d.refuseImage(image); failure != nil && !d.c.Faults.SkipImageChecks {
		d.reportFlash(f, FlashFailed, failure, out)
		return
	}
	if d.work != nil && d.work.flash != nil {
		// The device cancels it by itself when it gets the new UpdateStart.
		d.failFlash(d.fail(Canceled, "a later update replaced it"), out)
	}
	d.busy().flash = f
	d.profile.pending = &pendingImage{id: image.ID, hash: image.Hash, function: image.Function, index: image.Index, version: image.Version}
	out.Save |= SaveSession
	if !d.mayFlash() {
		d.reportFlash(f, FlashHeld, nil, out)
		d.announceUpdate(now, out)
		return
	}
	d.startFlash(now, out)
}

// FlashRef returns the ref of the update that the device has, 0 for none.
func (d *Device) FlashRef() uint64 {
	if d.work == nil || d.work.flash == nil {
		return 0
	}
	return d.work.flash.ref
}

// CancelFlash gives up the update with this ref, or any if ref is 0. A device
// with OTA v3 is told, and keeps what it has for the next attempt; others notice
// by their own time-out (PDC-6.2).
func (d *Device) CancelFlash(now clock.Instant, ref uint64, out *Out) {
	if d.work == nil || d.work.flash == nil || ref != 0 && d.work.flash.ref != ref {
		return
	}
	under := d.flashing()
	d.failFlash(d.fail(Canceled, ""), out)
	if under {
		d.stopFlash(now, out)
	}
	d.settle(now, out)
}

// stopFlash makes a device leave the update that the cloud has given up:
// otherwise it would wait for minutes, and send nothing meanwhile.
func (d *Device) stopFlash(now clock.Instant, out *Out) {
	if d.profile.dialect.OTA3 && d.Ready() {
		m := pdc.UpdateFinish{Token: d.nextToken(), Cancel: true}.Message(d.profile.dialect)
		d.enqueue(now, request{kind: pdc.KindUpdateFinish, message: m}, out)
	}
}

// FlashPending returns the image that the device still has to get after a
// restart of the cloud, and whether there is one.
func (d *Device) FlashPending() (id [32]byte, pending bool) {
	p := d.profile.pending
	if p == nil || p.applied || d.work != nil && d.work.flash != nil {
		return id, false
	}
	return p.id, true
}

// RestoreFlash takes up an update that a restart of the cloud cut off. It begins
// when the device is back.
func (d *Device) RestoreFlash(now clock.Instant, image *Image, out *Out) {
	if id, pending := d.FlashPending(); !pending || id != image.ID {
		return
	}
	f := &flash{image: image, patience: now.Add(d.c.RestartPatience), resume: clock.Never}
	d.busy().flash = f
	d.reportFlash(f, FlashInterrupted, nil, out)
	if d.Ready() {
		d.wakeFlash(now)
	}
}

// mayFlash reports whether the application allows updates or was overruled
// (C-50).
func (d *Device) mayFlash() bool {
	return d.profile.enabled || d.profile.forced || d.c.Faults.Sends.NeverHeld
}

// announceUpdate tells a device that holds updates back that one waits.
func (d *Device) announceUpdate(now clock.Instant, out *Out) {
	d.SendEvent(now, 0, Event{Name: pdc.EventUpdatesPending, Data: []byte("true"), Private: true}, out)
}

// ForceUpdates overrules the application, or stops doing so. The device confirms
// with an event of the same name.
func (d *Device) ForceUpdates(now clock.Instant, ref uint64, on bool, out *Out) {
	data := []byte("false")
	if on {
		data = []byte("true")
	}
	d.SendEvent(now, ref, Event{Name: pdc.EventUpdatesForced, Data: data, Private: true}, out)
}

// releaseFlash starts an update that was held back.
func (d *Device) releaseFlash(now clock.Instant, out *Out) {
	if d.work != nil && d.work.flash != nil && d.work.flash.stage == FlashHeld && d.mayFlash() {
		d.startFlash(now, out)
	}
}

func (d *Device) startFlash(now clock.Instant, out *Out) {
	f := d.work.flash
	if d.profile.dialect.OTA3 != d.c.Faults.SwapUpdateProtocol {
		f.sender = newSackSender(f.image.Data, d)
	} else {
		f.sender = newLegacySender(f.image.Data)
	}
	d.reportFlash(f, FlashStarting, nil, out)
	d.hopeFlash(now)
	f.sender.begin(now, d, out)
}

// hopeFlash restarts the patience: something moved.
func (d *Device) hopeFlash(now clock.Instant) {
	d.work.flash.patience = now.Add(d.c.FlashPatience)
}

// askFlash sends a Confirmable message of the update.
func (d *Device) askFlash(m coap.Message, out *Out) {
	f := d.work.flash
	f.tag, f.token = d.nextTag(), m.Token
	out.Sends = append(out.Sends, Send{Tag: f.tag, Message: m})
}

// Flashing reports whether a firmware transfer is under way. The device does not
// ping meanwhile.
func (d *Device) Flashing() bool { return d.flashing() }

// flashing reports whether a transfer is under way, so that bulk traffic waits.
func (d *Device) flashing() bool {
	if d.work == nil || d.work.flash == nil {
		return false
	}
	s := d.work.flash.stage
	return s == FlashStarting || s == FlashTransferring || s == FlashFinishing
}

func (d *Device) flashUsesToken(token byte) bool {
	return d.work != nil && d.work.flash != nil && len(d.work.flash.token) > 0 && d.work.flash.token[0] == token
}

func (d *Device) flashAcknowledged(now clock.Instant, tag uint32, m coap.Message, out *Out) bool {
	if !d.flashing() || tag == 0 || d.work.flash.tag != tag {
		return false
	}
	d.work.flash.tag = 0
	d.hopeFlash(now)
	d.work.flash.sender.acknowledged(now, d, m, out)
	return true
}

func (d *Device) flashResponse(now clock.Instant, m coap.Message, out *Out) bool {
	if !d.flashing() || string(d.work.flash.token) != string(m.Token) || len(m.Token) == 0 {
		return false
	}
	d.hopeFlash(now)
	return d.work.flash.sender.response(now, d, m, out)
}

// validated says that the device has the whole image and found it good.
func (d *Device) validated(now clock.Instant, out *Out) {
	f := d.work.flash
	f.patience, f.greeted, f.unheard = now.Add(d.c.RestartPatience), false, 0
	if d.profile.pending != nil {
		applied := *d.profile.pending
		applied.applied = true
		d.profile.pending = &applied
		out.Save |= SaveSession
	}
	d.reportFlash(f, FlashRestarting, nil, out)
	if d.c.Faults.ClaimSuccess {
		d.endFlash(out)
	}
}

func (d *Device) failFlash(failure *Failure, out *Out) {
	f := d.work.flash
	d.work.flash, d.profile.pending = nil, nil
	out.Save |= SaveSession
	d.reportFlash(f, FlashFailed, failure, out)
}

// endFlash says that the device runs the image.
func (d *Device) endFlash(out *Out) {
	f := &flash{}
	if d.work != nil && d.work.flash != nil {
		f = d.work.flash
		d.work.flash = nil
	}
	f.applied = d.profile.pending != nil && d.profile.pending.applied
	d.profile.pending = nil
	out.Save |= SaveSession
	d.reportFlash(f, FlashDone, nil, out)
}

func (d *Device) reportFlash(f *flash, stage FlashStage, failure *Failure, out *Out) {
	f.stage = stage
	total := 0
	if f.image != nil {
		total = len(f.image.Data)
	}
	out.effect(FlashProgress{Ref: f.ref, Stage: stage, Sent: f.sent, Total: total, Packets: f.packets, Err: failure, Applied: f.applied})
}

// progress notes how many bytes the device has, and tells every twentieth.
func (d *Device) progress(now clock.Instant, sent int, out *Out) {
	f := d.work.flash
	d.hopeFlash(now)
	before, total := f.sent, len(f.image.Data)
	f.sent = min(sent, total)
	if f.stage != FlashTransferring || before*20/max(total, 1) != f.sent*20/max(total, 1) {
		d.reportFlash(f, FlashTransferring, nil, out)
	}
}

// interruptFlash takes note that the connection is gone.
func (d *Device) interruptFlash(now clock.Instant, out *Out) {
	if !d.flashing() {
		return
	}
	f := d.work.flash
	if f.sent > f.best {
		f.best, f.interruptions = f.sent, 0
	}
	f.interruptions++
	if f.interruptions > flashInterruptionsMax || d.c.Faults.Sends.NeverAgain {
		d.failFlash(d.fail(Unreachable, "the connection was lost again and again"), out)
		return
	}
	f.tag, f.token, f.sender = 0, nil, nil
	f.patience, f.resume = now.Add(d.c.RestartPatience), clock.Never
	d.reportFlash(f, FlashInterrupted, nil, out)
}

// mayBeUnheard reports whether a device that is back without the image may have
// never heard that the cloud got its answer to UpdateFinish. It does not apply the
// image then, but keeps it, and is done when it is offered once more (D-16, N-36).
func (d *Device) mayBeUnheard() bool {
	f := (*flash)(nil)
	if d.work != nil {
		f = d.work.flash
	}
	return f != nil && f.stage == FlashRestarting && d.profile.dialect.OTA3 && !f.repeated
}

// returned says that the device is connected again, with the session it had. If what
// it runs had changed it would say Hello now. So it runs the image if it ran that very
// image before; else it lost its power, or was reset, before it applied it (N-52).
func (d *Device) returned(now clock.Instant, out *Out) {
	if d.work == nil || d.work.flash == nil {
		return
	}
	f, p := d.work.flash, d.profile.pending
	switch {
	case f.stage != FlashRestarting || f.greeted:
	case p != nil && p.applied && p.listed(d.profile.describe):
		d.endFlash(out)
	case !f.repeated && f.unheard == 0:
		f.unheard = now.Add(d.c.FlashResumeDelay)
	}
}

// repeatFlash offers the image once more.
func (d *Device) repeatFlash(now clock.Instant, out *Out) {
	f := d.work.flash
	f.repeated = true
	again := *d.profile.pending
	again.applied = false
	d.profile.pending = &again
	out.Save |= SaveSession
	f.tag, f.token, f.sender = 0, nil, nil
	f.patience, f.resume = now.Add(d.c.RestartPatience), now.Add(d.c.FlashResumeDelay)
	d.reportFlash(f, FlashInterrupted, nil, out)
}

// wakeFlash sees to it that an interrupted transfer goes on, now that the device
// is there.
func (d *Device) wakeFlash(now clock.Instant) {
	if d.ready && d.work != nil && d.work.flash != nil && d.work.flash.stage == FlashInterrupted {
		d.work.flash.resume = min(d.work.flash.resume, now.Add(d.c.FlashResumeDelay))
	}
}

// ChunkRejected says that the device answered a Non-confirmable message with a
// Reset: a chunk, while it runs no update (PDC-6.6).
func (d *Device) ChunkRejected(now clock.Instant, out *Out) {
	if d.work != nil && d.work.flash != nil && d.work.flash.stage == FlashTransferring {
		d.restartFlash(now, out)
	}
}

// restartFlash begins the transfer again, because the device is not in it any
// more.
//
// Device OS: from 3.1 to 3.3 nothing on the wire tells that a session was
// resumed, so that a device which lost its connection is found out only by what
// it says about the transfer.
func (d *Device) restartFlash(now clock.Instant, out *Out) {
	d.interruptFlash(now, out)
	if d.work.flash != nil { // it may have been one time too many
		d.resumeFlash(now, out)
	}
}

// resumeFlash goes on after an interruption: OTA v3 where the device stopped,
// the legacy transfer from the beginning.
func (d *Device) resumeFlash(now clock.Instant, out *Out) {
	if d.mayFlash() {
		d.startFlash(now, out)
		return
	}
	d.reportFlash(d.work.flash, FlashHeld, nil, out)
	d.announceUpdate(now, out)
}

func (d *Device) advanceFlash(now clock.Instant, out *Out) {
	f := d.work.flash
	if f == nil {
		return
	}
	if f.patience <= now && f.stage != FlashHeld {
		failure := d.fail(NoAnswer, "the update made no progress in the "+f.stage.String()+" stage")
		if f.stage == FlashRestarting {
			failure = d.fail(NotApplied, "it did not come back with the new image")
		}
		under := d.flashing()
		d.failFlash(failure, out)
		if under {
			d.stopFlash(now, out)
		}
		return
	}
	if f.stage == FlashInterrupted && f.resume <= now {
		d.resumeFlash(now, out)
		return
	}
	if f.stage == FlashRestarting && f.unheard != 0 && f.unheard <= now && d.profile.pending != nil {
		d.repeatFlash(now, out)
		return
	}
	if d.flashing() && f.sender.deadline() <= now {
		f.sender.advance(now, d, out)
	}
}

func (d *Device) flashDeadline() clock.Instant {
	f := d.work.flash
	switch {
	case f == nil || f.stage == FlashHeld:
		return clock.Never
	case d.flashing():
		return min(f.patience, f.sender.deadline())
	case f.stage == FlashInterrupted:
		return min(f.patience, f.resume)
	case f.stage == FlashRestarting && f.unheard != 0 && d.profile.pending != nil:
		return min(f.patience, f.unheard)
	default:
		return f.patience
	}
}
