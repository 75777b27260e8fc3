package device

import (
	"crypto/ecdsa"
	"crypto/sha256"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// serverMoved takes a new server address and key, if the signature is right
// (PDC-8.6).
func (d *Device) serverMoved(now clock.Instant, e coap.Event, out *Out) error {
	if e.Err != nil {
		return &pdc.Error{Kind: pdc.KindServerMoved, Rule: "N-16", Reason: e.Err.Error(), Reaction: pdc.Ignore}
	}
	s, err := pdc.OnDeviceServerMoved(e.Message)
	if reaction(err) != pdc.Refuse {
		return err
	}
	d.ack(now, e, out)
	r := pdc.ServerMovedResponse{Token: s.Token}
	tag := tagServerMoved
	switch failure := d.judgeMove(s, err); failure {
	case 0:
		d.nv.MovedTo = s.Address
	default:
		tag = tagOther
		r.Refused, r.Diagnostic = failure.Code(), pdc.Diagnostic{Code: failure, Message: failure.String()}
	}
	d.send(now, r.Message(d.Dialect()), tag, out)
	return nil
}

func (d *Device) judgeMove(s pdc.ServerMoved, err error) pdc.SystemError {
	switch {
	case d.faults().Answers.MovesAnywhere:
		return 0
	case d.prof.Board.Virtual || !d.prof.Board.UDP:
		return pdc.ErrNotSupported
	case err != nil:
		return pdc.ErrBadData
	}
	sum := sha256.Sum256(s.Signed())
	if key := d.cfg.MoveKey; key == nil || !ecdsa.VerifyASN1(key, sum[:], s.Signature) {
		return pdc.ErrBadData
	}
	return 0
}

// move leaves for the new server once the response was acknowledged.
func (d *Device) move(now clock.Instant, out *Out) {
	out.event(Event{Kind: Moved, Name: d.nv.MovedTo})
	d.moving = true
	d.persistent = false
	d.resetWhy = pdc.ResetConfigUpdate
	d.leave(now, thenBoot, pdc.Goodbye{Fields: pdc.GoodbyeCloudReason, CloudReason: pdc.CloudServerMoved}, out)
}
