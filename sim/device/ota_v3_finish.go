package device

import (
	"bytes"
	"crypto/sha256"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/sim/profile"
)

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
	if d.refusesCritical(now, e, out) {
		return nil
	}
	f, err := onDeviceFinish(e.Message)
	if err != nil {
		return d.refuseUpdate(now, e, err, out)
	}
	d.ack(now, e, out)
	u := d.v3()
	r := pdc.UpdateFinishResponse{Token: f.Token}
	tag := tagFinish
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
	if sum := sha256.Sum256(u.data); u.sha != nil && !bytes.Equal(sum[:], u.sha) && !d.faults().Updates.SkipsFileHash {
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
