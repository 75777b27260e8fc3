package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// signal starts or stops the rainbow (PDC-8.3).
func (d *Device) signal(now clock.Instant, e coap.Event, out *Out) {
	s := pdc.OnDeviceSignal(e.Wire)
	d.reply(now, e, pdc.SignalResponse{Token: s.Token}.Message(d.Dialect()), out)
	on := int64(0)
	if s.On {
		on = 1
	}
	out.event(Event{Kind: Signalled, Value: on})
}

// keyChange discards the session when it is told to (PDC-8.4).
func (d *Device) keyChange(now clock.Instant, e coap.Event, out *Out) {
	d.ack(now, e, out)
	if pdc.OnDeviceKeyChange(e.Wire).Value == pdc.DiscardSession {
		d.fail(now, SessionDiscarded, true, out)
	}
}

// ClearSession forgets the session, the live one too when the connection ends;
// the next connect is a full handshake.
func (d *Device) ClearSession() {
	d.nv.Session = nil
	d.persistent = false
}
