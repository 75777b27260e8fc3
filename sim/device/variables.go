package device

import (
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/pdc"
)

// variableRequest answers with the value: in the ACK up to 1.4, in a message of
// its own since 1.5 (PDC-5.2).
func (d *Device) variableRequest(now clock.Instant, e coap.Event, out *Out) error {
	t := d.Dialect()
	r, err := pdc.OnDeviceVariableRequest(e.Wire, t)
	if err != nil {
		return err
	}
	v := pdc.VariableValue{Token: r.Token, Code: coap.Content}
	switch known := d.variable(r.Name); {
	case known != nil:
		v.Payload = known.Value(d.id).Append(nil)
		if limit := t.Limits().VariableValue; known.Type == pdc.VariableString && len(v.Payload) > limit {
			v.Payload = v.Payload[:limit]
		}
	case t.System < pdc.OS1_5:
		// Device OS: an unknown variable is an integer at address 0.
		v.Payload = []byte{0, 0, 0, 0}
	default:
		v.Code = coap.NotFound
	}
	out.event(Event{Kind: VariableRead, Name: r.Name, Code: v.Code})
	if t.System < pdc.OS1_5 {
		d.reply(now, e, v.Message(t), out)
		return nil
	}
	d.ack(now, e, out)
	d.send(now, v.Message(t), tagOther, out)
	if d.faults().DoubleResult {
		d.send(now, v.Message(t), tagOther, out)
	}
	return nil
}

// variable returns the variable of that name, nil when there is none.
func (d *Device) variable(name string) *Variable {
	if app := d.app(); app != nil {
		for i := range app.Variables {
			if app.Variables[i].Name == name {
				return &app.Variables[i]
			}
		}
	}
	return nil
}
