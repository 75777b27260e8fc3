package device

import (
	"bytes"
	"errors"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
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
	if d.refusesCritical(now, e, out) {
		return nil
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

// stall returns when an update without another chunk is over.
func (d *Device) stall(now clock.Instant) clock.Instant {
	if d.faults().Updates.NoStall {
		return clock.Never
	}
	return now.Add(transferStall)
}

// strictly is the end of a connection on which a message arrives that a strict
// handler cannot decode (PDC-0.2).
func strictly(k pdc.Kind, e coap.Event) error {
	return &pdc.Error{Kind: k, Rule: "PDC-0.2", Reason: e.Err.Error(), Reaction: pdc.Disconnect}
}

// refuseUpdate answers a malformed message of an update: in the ACK, or by a
// message that ends the connection when it is Non-confirmable.
func (d *Device) refuseUpdate(now clock.Instant, e coap.Event, err error, out *Out) error {
	var fault *pdc.Error
	if !errors.As(err, &fault) {
		return err
	}
	m := coap.Message{Code: fault.Answer, Token: e.Message.Token}
	switch {
	case e.Message.Type != coap.Confirmable && len(e.Message.Token) == 0 || fault.Answer == coap.Empty:
		m = coap.Message{Type: coap.Reset}
	default:
		m.Payload = pdc.Diagnostic{Code: pdc.ErrProtocol, Message: fault.Reason}.Append(nil)
	}
	if fault.Reaction == pdc.Disconnect || !d.faults().Answers.NoRefusals {
		d.reply(now, e, m, out)
	}
	if fault.Reaction != pdc.Disconnect {
		return nil
	}
	d.cancelUpdate(pdc.ErrProtocol, out)
	return err
}

// refusesCritical is the fault of that name: RFC 7252 Section 5.4.1, where Device
// OS ignores critical options that it does not know.
func (d *Device) refusesCritical(now clock.Instant, e coap.Event, out *Out) bool {
	if !d.faults().Answers.RefusesCritical {
		return false
	}
	for _, o := range e.Message.Options {
		if o.ID&1 != 0 && o.ID != coap.URIPath && (o.ID < coap.ChunkIndex || o.ID > coap.ModuleFunction || (o.ID-coap.ChunkIndex)%4 != 0) {
			d.reply(now, e, coap.Message{Type: coap.Acknowledgement, Code: coap.BadOption, Token: e.Message.Token}, out)
			return true
		}
	}
	return false
}

// judgeStart says why an update may not begin.
func (d *Device) judgeStart(s pdc.UpdateStart) pdc.SystemError {
	switch {
	case d.faults().Updates.AcceptsAnyStart:
		return 0
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
		last:     now, flushed: now, ackDue: clock.Never, stalled: d.stall(now),
	}
	if d.faults().Updates.ForgetsPartial {
		d.nv.Partial = nil
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
