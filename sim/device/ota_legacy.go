package device

import (
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// A legacyUpdate receives a file in chunks (PDC-6.2).
//
//	UpdateBegin --> receiving --UpdateDone, all there--> restart
//	                 ^      |--UpdateDone, some missing--.
//	                 `------------- ChunkMissed ---------'
type legacyUpdate struct {
	data   []byte // as far as it was written
	have   bitmap // fast: the chunks that are stored
	length uint32
	size   uint32 // of a chunk in bytes
	count  uint32 // of chunks
	fast   bool

	next  uint32 // slow: the chunk that is expected
	since int    // fast: chunks stored since the last UpdateDone

	wanted  []uint16 // up to 0.7: the list that was asked for last
	repeat  clock.Instant
	stalled clock.Instant
}

// repeatMissed is after how long without progress a device up to 0.7 repeats
// its list.
const repeatMissed = 3 * time.Second

// legacyCountMax is the number of chunks from which on an update is refused.
const legacyCountMax = 65535

// updateBegin takes or refuses an offer.
func (d *Device) updateBegin(now clock.Instant, e coap.Event, out *Out) {
	t := d.Dialect()
	b := pdc.OnDeviceUpdateBegin(e.Wire)
	u := &legacyUpdate{length: b.Length, size: uint32(b.ChunkSize), fast: b.Fast, repeat: clock.Never}
	if u.length == 0 {
		u.length = d.prof.MaxBinary()
	}
	if u.size == 0 {
		u.size = pdc.DefaultChunkSize
	}
	u.count = pdc.ChunkCount(u.length, u.size)
	busy := d.upd != nil && d.atLeast(pdc.OS3_0)
	refuse := !d.updatesAllowed() || u.length > d.prof.MaxBinary() || b.Store != pdc.StoreFirmware || u.count >= legacyCountMax || busy
	if refuse && !d.faults().Updates.AcceptsAnyStart {
		d.reply(now, e, pdc.UpdateBeginRefusal{Token: b.Token}.Message(t), out)
		return
	}
	d.ack(now, e, out)
	u.have = newBitmap(u.count)
	u.stalled = now.Add(d.prof.UpdateTimeout())
	d.upd = u
	out.event(Event{Kind: UpdateStarted, Size: u.length})
	d.sendDeaf(now, pdc.UpdateReady{Token: b.Token, Fast: b.Fast}.Message(t), tagUpdateReady, out)
}

// sendDeaf sends a message that releases up to 1.5 send synchronously: until it
// is acknowledged they hear nothing else (PDC-0.4).
func (d *Device) sendDeaf(now clock.Instant, m coap.Message, tag uint32, out *Out) {
	id := d.send(now, m, tag, out)
	if d.has(profile.UpdateWaits) && d.prof.Board.UDP {
		d.await(id)
	}
}

// legacy returns the running legacy update, or nil.
func (d *Device) legacy() *legacyUpdate {
	u, _ := d.upd.(*legacyUpdate)
	return u
}

// noUpdate is the end of a connection on which 0.5 gets a message that belongs
// to an update when none runs.
func noUpdate(k pdc.Kind) error {
	return &pdc.Error{Kind: k, Rule: "N-42", Reason: "no update is running", Reaction: pdc.Disconnect}
}

// chunk stores a chunk: in order and with an answer when slow, at its index and
// silently when fast.
func (d *Device) chunk(now clock.Instant, e coap.Event, out *Out) error {
	u := d.legacy()
	if u == nil {
		if d.has(profile.StrictUpdateState) {
			return noUpdate(pdc.KindChunk)
		}
		out.event(Event{Kind: Dropped, Name: "chunk without an update"})
		return nil
	}
	c, err := pdc.OnDeviceChunk(e.Wire)
	if err != nil {
		return err
	}
	good := pdc.ChunkCRC(c.Data) == c.CRC || d.faults().Updates.AnyChunk
	if !c.Fast {
		d.ack(now, e, out)
		if good {
			u.store(u.next, c.Data)
			u.next++
			u.progress(d, now, out)
		}
		d.send(now, pdc.ChunkReceived{Token: c.Token, OK: good}.Message(d.Dialect()), tagOther, out)
		return nil
	}
	index := uint32(c.Index)
	if !good || index >= u.count || u.have.has(index) && d.has(profile.DropsDuplicateChunks) {
		return nil
	}
	u.store(index, c.Data)
	u.have.set(index)
	u.since++
	u.progress(d, now, out)
	u.batch(d, now, index, out)
	return nil
}

// store writes a chunk; what lies beyond the file is padding.
func (u *legacyUpdate) store(index uint32, data []byte) {
	at := uint64(index) * uint64(u.size)
	if at >= uint64(u.length) {
		return
	}
	end := min(at+uint64(len(data)), uint64(u.length))
	if need := int(end) - len(u.data); need > 0 {
		u.data = append(u.data, make([]byte, need)...)
	}
	copy(u.data[at:end], data)
}

// progress restarts the timers of a transfer that stands still.
func (u *legacyUpdate) progress(d *Device, now clock.Instant, out *Out) {
	u.stalled = now.Add(d.prof.UpdateTimeout())
	if u.repeat != clock.Never {
		u.repeat = now.Add(repeatMissed)
	}
	out.event(Event{Kind: UpdateProgress, Offset: uint32(len(u.data)), Size: u.length})
}

// missing lists chunks that are not stored, at most limit.
func (u *legacyUpdate) missing(limit int) []uint16 {
	var list []uint16
	for i := uint32(0); u.fast && i < u.count && len(list) < limit; i++ {
		if !u.have.has(i) {
			list = append(list, uint16(i))
		}
	}
	return list
}

// updateDone ends the update when nothing is missing, else asks for what is. In
// slow mode nothing ever counts as missing.
func (d *Device) updateDone(now clock.Instant, e coap.Event, out *Out) error {
	t := d.Dialect()
	r := pdc.UpdateDoneResponse{Token: e.Message.Token, Complete: true}
	u := d.legacy()
	if u == nil {
		if d.has(profile.StrictUpdateState) {
			return noUpdate(pdc.KindUpdateDone)
		}
		d.reply(now, e, r.Message(t), out)
		return nil
	}
	missing := u.missing(pdc.MissedLimit(t, u.since))
	if len(missing) > 0 && !d.faults().Updates.ForgetsMissing {
		r.Complete = false
		d.reply(now, e, r.Message(t), out)
		u.ask(d, now, missing, out)
		return nil
	}
	result, install := d.judge(u.data)
	r.Report = d.updateReport(result, u.data)
	d.reply(now, e, r.Message(t), out)
	d.finishLegacy(now, result, install, out)
	return nil
}

// ask sends the list of missing chunks.
func (u *legacyUpdate) ask(d *Device, now clock.Instant, missing []uint16, out *Out) {
	u.since = 0
	d.sendDeaf(now, pdc.ChunkMissed{Indices: missing}.Message(d.Dialect()), tagChunkMissed, out)
	if d.has(profile.UpdateOwnDone) {
		u.wanted, u.repeat = missing, now.Add(repeatMissed)
	}
}

// batch goes on by itself, up to 0.7, when the last chunk of a list has come:
// with the next list, or with an UpdateDone of the device's own.
func (u *legacyUpdate) batch(d *Device, now clock.Instant, index uint32, out *Out) {
	if len(u.wanted) == 0 || index != uint32(u.wanted[len(u.wanted)-1]) {
		return
	}
	u.again(d, now, out)
}

func (u *legacyUpdate) again(d *Device, now clock.Instant, out *Out) {
	if missing := u.missing(pdc.MissedLimit(d.Dialect(), u.since)); len(missing) > 0 {
		u.ask(d, now, missing, out)
		return
	}
	u.wanted, u.repeat = nil, clock.Never
	d.send(now, pdc.DeviceUpdateDone{}.Message(d.Dialect()), tagUpdateDone, out)
	result, install := d.judge(u.data)
	d.finishLegacy(now, result, install, out)
}

// finishLegacy restarts the device, with the new module if it is valid.
//
// Device OS: the restart comes regardless of the result.
func (d *Device) finishLegacy(now clock.Instant, result pdc.SystemError, install func(), out *Out) {
	d.upd = nil
	if result == 0 {
		install()
		out.event(Event{Kind: UpdateApplied})
	} else {
		out.event(Event{Kind: UpdateFailed, System: result})
	}
	d.Reset(now, pdc.ResetUpdate, out)
}

// updateReport is the JSON in the answer to UpdateDone. Up to 1.x it has an
// object with the user part.
func (d *Device) updateReport(result pdc.SystemError, image []byte) []byte {
	report := pdc.AppendUpdateReport(nil, result, d.Dialect())
	if d.atLeast(pdc.OS2_0) {
		return report
	}
	return append(report[:len(report)-1], `,"u":`+d.reportedModule(image)+`}`...)
}

func (u *legacyUpdate) deadline() clock.Instant { return min(u.stalled, u.repeat) }

func (u *legacyUpdate) advance(d *Device, now clock.Instant, out *Out) {
	if !now.Before(u.stalled) {
		d.upd = nil
		out.event(Event{Kind: UpdateFailed, System: pdc.ErrTimeout})
		d.Reset(now, pdc.ResetUpdateTimeout, out)
		return
	}
	if !now.Before(u.repeat) {
		u.again(d, now, out)
	}
}

func (u *legacyUpdate) acknowledged(d *Device, now clock.Instant, tag uint32, out *Out) {
	if tag == tagUpdateReady {
		u.stalled = now.Add(d.prof.UpdateTimeout())
	}
}

// save does nothing: a legacy update cannot be resumed.
func (u *legacyUpdate) save(*Device, bool) {}
