package device

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

// A transfer receives a file by OTA protocol v3 (PDC-6.5 to 6.9).
//
//	Start --> receiving --Finish, valid--> finished --ACK of the response--> restart
//	             |  ^  |--Finish, invalid--> failed --ACK of the response--> disconnect
//	             `--'   chunks, acknowledged by the rules of PDC-6.6
type transfer struct {
	geometry pdc.Geometry
	sha      []byte // of the complete file, nil when it cannot be resumed
	data     []byte // the file as far as it was written
	have     bitmap // chunk i+1
	done     uint32 // chunks without a gap
	highest  uint32 // index received
	stats    pdc.TransferStats

	unacked  int  // chunks since the last ack
	gap      bool // the last ack told of a gap
	last     clock.Instant
	ackDue   clock.Instant
	stalled  clock.Instant
	flushed  clock.Instant
	finished bool
}

// The times of PDC-6.6 and PDC-6.9.
const (
	ackDelay      = 200 * time.Millisecond
	ackEvery      = 2 // chunks
	transferStall = 300 * time.Second
	flushInterval = 30 * time.Second
)

// v3 returns the running v3 update, or nil.
func (d *Device) v3() *transfer {
	u, _ := d.upd.(*transfer)
	return u
}

// updateStart takes or refuses an offer (PDC-6.5).
func (d *Device) updateStart(now clock.Instant, e coap.Event, out *Out) error {
	if e.Err != nil {
		return strictly(pdc.KindUpdateStart, e)
	}
	t := d.Dialect()
	s, err := pdc.OnDeviceUpdateStart(e.Message, t)
	if err != nil {
		return d.refuseUpdate(now, e, err, out)
	}
	d.ack(now, e, out)
	d.cancelUpdate(pdc.ErrCancelled, out)
	r := pdc.UpdateStartResponse{Token: s.Token}
	if failure := d.judgeStart(s); failure != 0 {
		r.Refused, r.Diagnostic = failure.Code(), pdc.Diagnostic{Code: failure, Message: failure.String()}
		d.send(now, r.Message(t), tagOther, out)
		return nil
	}
	u := d.newTransfer(now, s)
	d.upd = u
	out.event(Event{Kind: UpdateStarted, Size: s.FileSize, Offset: u.geometry.Offset})
	r.Window, r.Offset = pdc.WindowFor(s.ChunkSize), u.geometry.Offset
	d.send(now, r.Message(t), tagStart, out)
	return nil
}

// strictly is the end of a connection on which a message arrives that a strict
// handler cannot decode (PDC-0.2).
func strictly(k pdc.Kind, e coap.Event) error {
	return &pdc.Error{Kind: k, Rule: "PDC-0.2", Reason: e.Err.Error(), Reaction: pdc.Disconnect}
}

// refuseUpdate answers a malformed message of an update: in the ACK, or by a
// message that ends the connection when it is Non-confirmable.
func (d *Device) refuseUpdate(now clock.Instant, e coap.Event, err error, out *Out) error {
	fault, ok := err.(*pdc.Error)
	if !ok {
		return err
	}
	m := coap.Message{Code: fault.Answer, Token: e.Message.Token}
	switch {
	case e.Message.Type != coap.Confirmable && len(e.Message.Token) == 0 || fault.Answer == coap.Empty:
		m = coap.Message{Type: coap.Reset}
	default:
		m.Payload = pdc.Diagnostic{Code: pdc.ErrProtocol, Message: fault.Reason}.Append(nil)
	}
	d.reply(now, e, m, out)
	if fault.Reaction != pdc.Disconnect {
		return nil
	}
	d.cancelUpdate(pdc.ErrProtocol, out)
	return err
}

// judgeStart says why an update may not begin.
func (d *Device) judgeStart(s pdc.UpdateStart) pdc.SystemError {
	switch {
	case !d.updatesAllowed():
		return pdc.ErrUpdatesDisabled
	case s.HasModuleFunction && pdc.ModuleFunction(s.ModuleFunction) == pdc.ModuleAsset && s.FileSize > assetStorage:
		return pdc.ErrTooLarge
	case s.FileSize > d.prof.MaxBinary():
		return pdc.ErrModuleSize
	}
	return 0
}

// newTransfer begins where an interrupted transfer of the same file ended, if
// the prefix is still what it was (PDC-6.9).
func (d *Device) newTransfer(now clock.Instant, s pdc.UpdateStart) *transfer {
	u := &transfer{
		geometry: pdc.Geometry{FileSize: s.FileSize, ChunkSize: s.ChunkSize},
		last:     now, flushed: now, ackDue: clock.Never, stalled: now.Add(transferStall),
	}
	if p := d.nv.Partial; p != nil && s.SHA256 != nil && !s.DiscardData &&
		p.Size == s.FileSize && bytes.Equal(p.SHA256[:], s.SHA256) {
		u.data = p.Data
		u.geometry.Offset = uint32(len(p.Data))
	} else {
		d.nv.Partial = nil
	}
	if s.SHA256 != nil {
		u.sha = bytes.Clone(s.SHA256)
	}
	u.have = newBitmap(u.geometry.Count())
	return u
}

// updateChunk stores a chunk and acknowledges by the rules (PDC-6.6).
func (d *Device) updateChunk(now clock.Instant, e coap.Event, out *Out) error {
	if e.Err != nil {
		return strictly(pdc.KindUpdateChunk, e)
	}
	c, err := pdc.OnDeviceUpdateChunk(e.Message)
	if err != nil {
		return d.refuseUpdate(now, e, err, out)
	}
	u := d.v3()
	if u == nil {
		d.reply(now, e, coap.Message{Type: coap.Reset}, out)
		return nil
	}
	at, size, ok := u.geometry.Chunk(c.Index)
	if !ok || int(size) != len(c.Data) {
		return d.refuseUpdate(now, e, &pdc.Error{
			Kind: pdc.KindUpdateChunk, Rule: "N-27", Reason: "impossible index or size", Reaction: pdc.Disconnect,
		}, out)
	}
	u.receive(d, now, c.Index, at, c.Data, out)
	return nil
}

func (u *transfer) receive(d *Device, now clock.Instant, index, at uint32, data []byte, out *Out) {
	u.stalled = now.Add(transferStall)
	late := now.Sub(u.last) >= ackDelay
	u.last = now
	u.stats.Received++
	u.unacked++
	duplicate := index <= u.done || u.have.has(index-1)
	switch {
	case duplicate:
		u.stats.Duplicate++
	case index > u.done+pdc.WindowFor(u.geometry.ChunkSize):
		// Beyond the window: ignored, but acknowledged by the rules.
	default:
		u.store(index, at, data)
		u.flush(d, now)
		out.event(Event{Kind: UpdateProgress, Offset: u.prefix(), Size: u.geometry.FileSize})
	}
	gap := u.highest > u.done
	switch {
	case duplicate, gap, gap != u.gap, late, u.unacked >= ackEvery, u.done == u.geometry.Count():
		u.gap = gap
		u.ack(d, now, out)
	case u.ackDue == clock.Never:
		u.ackDue = now.Add(ackDelay)
	}
}

func (u *transfer) store(index, at uint32, data []byte) {
	if index < u.highest {
		u.stats.OutOfOrder++
	}
	u.highest = max(u.highest, index)
	if need := int(at) + len(data) - len(u.data); need > 0 {
		u.data = append(u.data, make([]byte, need)...)
	}
	copy(u.data[at:], data)
	u.have.set(index - 1)
	for u.done < u.geometry.Count() && u.have.has(u.done) {
		u.done++
	}
}

// ack tells which chunks are there.
func (u *transfer) ack(d *Device, now clock.Instant, out *Out) {
	u.unacked, u.ackDue = 0, clock.Never
	if d.faults().NoChunkAcks {
		return
	}
	u.stats.SentAcks++
	a := pdc.UpdateAck{Count: u.done}
	if u.highest > u.done {
		a.Selective = pdc.SelectiveAfter(u.done, u.geometry.Count(), func(i uint32) bool { return u.have.has(i - 1) })
	}
	d.send(now, a.Message(d.Dialect()), tagOther, out)
}

// prefix returns how many bytes of the file are there without a gap.
func (u *transfer) prefix() uint32 {
	return min(u.geometry.Offset+u.done*u.geometry.ChunkSize, u.geometry.FileSize)
}

// flush writes progress to the flash, at most every 30 s.
func (u *transfer) flush(d *Device, now clock.Instant) {
	if now.Sub(u.flushed) >= flushInterval {
		u.flushed = now
		u.save(d, true)
	}
}

// save keeps the prefix for a later Start with the same file.
func (u *transfer) save(d *Device, flushed bool) {
	if u.sha == nil || d.prof.Board.ForgetsPartial {
		d.nv.Partial = nil
		return
	}
	p := &Partial{Size: u.geometry.FileSize, Data: u.data[:u.prefix():u.prefix()]}
	copy(p.SHA256[:], u.sha)
	if old := d.nv.Partial; old != nil && old.SHA256 == p.SHA256 {
		p.Flushed = min(old.Flushed, u.prefix())
	}
	if flushed {
		p.Flushed = u.prefix()
	}
	d.nv.Partial = p
}

// onDeviceFinish reads an UpdateFinish as a board does: what is malformed is
// answered in the ACK, and a Non-confirmable one ends the connection.
func onDeviceFinish(m coap.Message) (pdc.UpdateFinish, error) {
	e := &pdc.Error{Kind: pdc.KindUpdateFinish, Rule: "PDC-6.7", Answer: coap.ServiceUnavailable}
	switch {
	case m.Type != coap.Confirmable:
		e.Reason, e.Reaction = "not confirmable", pdc.Disconnect
		return pdc.UpdateFinish{}, e
	case len(m.Token) == 0:
		e.Reason = "no token"
		return pdc.UpdateFinish{}, e
	}
	f, err := pdc.ParseUpdateFinish(m)
	if err != nil {
		e.Reason = err.Error()
		return f, e
	}
	return f, nil
}

// updateFinish validates or cancels (PDC-6.7).
func (d *Device) updateFinish(now clock.Instant, e coap.Event, out *Out) error {
	if e.Err != nil {
		return strictly(pdc.KindUpdateFinish, e)
	}
	f, err := onDeviceFinish(e.Message)
	if err != nil {
		return d.refuseUpdate(now, e, err, out)
	}
	d.ack(now, e, out)
	u := d.v3()
	r := pdc.UpdateFinishResponse{Token: f.Token}
	tag := uint32(tagFinish)
	switch failure := d.judgeFinish(u, f); {
	case failure != 0:
		message := failure.String()
		if failure == pdc.ErrProtocol {
			message = "Incomplete file transfer"
		}
		tag = tagFinishError
		r.Refused, r.Diagnostic = failure.Code(), pdc.Diagnostic{Code: failure, Message: message}
	case f.Cancel:
		d.cancelUpdate(pdc.ErrCancelled, out)
		if f.DiscardData {
			d.nv.Partial = nil
		}
		tag = tagOther
	default:
		stats := u.stats
		r.Stats = &stats
		u.finished, u.stalled = true, clock.Never
		out.event(Event{Kind: UpdateReceived, Size: u.geometry.FileSize})
	}
	d.send(now, r.Message(d.Dialect()), tag, out)
	if u != nil && u.finished && d.faults().ApplyUnacknowledged {
		u.apply(d, now, out)
	}
	return nil
}

func (d *Device) judgeFinish(u *transfer, f pdc.UpdateFinish) pdc.SystemError {
	switch {
	case u == nil:
		return pdc.ErrInvalidState
	case f.Cancel:
		return 0
	case u.prefix() < u.geometry.FileSize:
		return pdc.ErrProtocol
	}
	failure, _ := d.judge(u.data)
	if failure != 0 && d.has(profile.AssetUpdates) {
		u.sha = nil // Device OS: since 5.5 invalid data is not kept
	}
	return failure
}

func (u *transfer) deadline() clock.Instant { return min(u.ackDue, u.stalled) }

func (u *transfer) advance(d *Device, now clock.Instant, out *Out) {
	if !now.Before(u.stalled) {
		d.cancelUpdate(pdc.ErrTimeout, out)
		d.fail(now, UpdateInterrupted, false, out)
		return
	}
	if !now.Before(u.ackDue) {
		u.ack(d, now, out)
	}
}

// acknowledged applies the update when the cloud has seen the response to
// Finish, and disconnects when that was an error.
func (u *transfer) acknowledged(d *Device, now clock.Instant, tag uint32, out *Out) {
	switch {
	case tag == tagFinishError:
		d.cancelUpdate(pdc.ErrCancelled, out)
		d.fail(now, UpdateInterrupted, false, out)
	case tag == tagFinish && u.finished:
		u.apply(d, now, out)
	}
}

// apply installs the module, if the file is the one that was announced.
func (u *transfer) apply(d *Device, now clock.Instant, out *Out) {
	if sum := sha256.Sum256(u.data); u.sha != nil && !bytes.Equal(sum[:], u.sha) {
		u.sha = nil
		d.cancelUpdate(pdc.ErrFileHash, out)
		d.fail(now, UpdateInterrupted, false, out)
		return
	}
	failure, install := d.judge(u.data)
	if failure != 0 {
		d.cancelUpdate(failure, out)
		d.fail(now, UpdateInterrupted, false, out)
		return
	}
	d.nv.Partial = nil
	install()
	d.applied(now, out)
}
