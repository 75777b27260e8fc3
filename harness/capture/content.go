package capture

import (
	"github.com/muster/muster/protocol/coap"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

// content describes what is in a record, application data excepted.
func (d *Decoder) content(f *flow, p *trace.Packet, r *trace.Record, body []byte) {
	switch r.Content {
	case dtls.TypeHandshake:
		d.handshake(f, p, r, body)
	case dtls.TypeAlert:
		if len(body) != 2 {
			r.State, r.Problem = trace.Broken, "an alert has 2 bytes"
			return
		}
		r.Alert = &trace.Alert{Level: dtls.AlertLevel(body[0]), Description: dtls.AlertDescription(body[1])}
	default: // says nothing that is not the application's
	}
}

// learn takes an authentic record: where the device is, what the message is.
func (d *Decoder) learn(f *flow, p *trace.Packet, r *trace.Record, x *piece) {
	a := x.from
	if r.Content != dtls.TypeApplication {
		d.content(f, p, r, x.plain)
		d.locate(f, p, a, r)
		return
	}
	d.locate(f, p, a, r)
	m := d.message(a, p, x.plain)
	r.Message = m
	if p.Direction == trace.Up {
		d.resume(p, a, r, m)
		if hello, err := pdc.ParseHello(m.CoAP); m.Malformed == "" && m.Kind == pdc.KindHello && err == nil &&
			len(hello.DeviceID) == len(a.device) && a.device == (trace.DeviceID{}) {
			d.own(a, trace.DeviceID(hello.DeviceID))
		}
	}
	if p.Association == a.id {
		p.Connection, p.Device = a.connection, a.device
	}
}

// locate notes where the device is, by its newest authentic record (RFC 9146
// Section 6), so that the cloud's records, which carry no id, find their session.
func (d *Decoder) locate(f *flow, p *trace.Packet, a *association, r *trace.Record) {
	number := uint64(r.Epoch)<<48 | r.Sequence
	if p.Direction != trace.Up || number <= a.newest {
		return
	}
	a.newest = number
	f.prefer(a)
	if a.at != nil && a.at.key != f.key {
		p.NewAddress = true
		a.moved = movedMessages
	}
	a.at = f
}

// resume finds out whether the message begins to use a session again. A marked
// record says so, once until the mark is off or the device has another address;
// without a mark it is the ping, or Hello, after a change of address.
func (d *Decoder) resume(p *trace.Packet, a *association, r *trace.Record, m *trace.Message) {
	marked := r.Type == dtls.TypeMovedCID || r.Type == dtls.TypeMovedTrailer
	moved := a.moved > 0
	if moved {
		a.moved--
	}
	first := m.Repeat == 0 && (m.Kind == pdc.KindPing || m.Kind == pdc.KindHello)
	if marked && (!a.marked || p.NewAddress) || !marked && moved && first {
		p.Resume = true
		a.connection++
		a.moved = 0
	}
	a.marked = marked
}

// message parses a CoAP message and finds out what it is about.
func (d *Decoder) message(a *association, p *trace.Packet, wire []byte) *trace.Message {
	m := &trace.Message{Wire: wire}
	c, err := coap.Parse(wire)
	m.CoAP = c
	if err != nil {
		m.Malformed = err.Error()
		return m
	}
	a.said.Hear(p.Transport, p.Direction, m, &d.exchanges)
	return m
}
