package capture

import (
	"encoding/binary"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
)

// A piece is one record of a datagram on its way to a trace.Record.
type piece struct {
	raw     []byte
	header  dtls.Header
	bad     error
	from    *association // whose keys opened it
	content dtls.ContentType
	plain   []byte
	why     string // it is not open
	forged  bool   // because keys did not fit
}

// decodeDatagram decodes and emits a datagram, or reports false when it needs
// keys that may still come.
func (d *Decoder) decodeDatagram(f *flow, p *trace.Packet, data []byte, force bool) bool {
	if dtls.IsProbe(data) {
		p.Records = []trace.Record{{Unit: trace.Probe, Type: dtls.TypeProbe, Size: len(data), Length: len(data) - 13}}
		d.emit(p)
		return true
	}
	raws, rest, err := dtls.SplitRecords(data, dtls.CIDSize)
	pieces := make([]piece, len(raws))
	for i, raw := range raws {
		x := &pieces[i]
		x.raw = raw
		x.header, x.bad = dtls.PeekHeader(raw)
		if x.bad == nil && x.header.Epoch > 0 && !d.open(f, p.Direction, x) && !force {
			return false
		}
	}
	p.Rest = len(rest)
	if err != nil {
		p.Problem = err.Error()
	}
	d.describe(f, p, pieces)
	d.emit(p)
	return true
}

// open opens a protected record. It reports false when keys that may still come
// could open it, and has made f wait for them.
func (d *Decoder) open(f *flow, direction trace.Direction, x *piece) bool {
	candidates, named := d.candidates(f, x)
	var missing *association
	for _, a := range candidates {
		if a.opener == nil {
			missing = a
			continue
		}
		content, plain, err := a.opener.Open(direction == trace.Up, x.raw)
		if err == nil {
			x.from, x.content, x.plain = a, content, plain
			return true
		}
		x.why, x.forged = err.Error(), true
	}
	switch {
	case missing != nil:
		missing.wait(f)
		x.why, x.forged = "no keys", false
		return false
	case len(candidates) == 0 && named:
		x.why = "unknown session"
		return false
	case len(candidates) == 0:
		x.why = "no session at this address"
		return false
	}
	return true
}

// candidates returns the associations whose record it may be, the likeliest
// first, and whether the record itself names one.
func (d *Decoder) candidates(f *flow, x *piece) (all []*association, named bool) {
	switch x.header.Type {
	case dtls.TypeCID, dtls.TypeMovedCID:
		if a := d.byCID[x.header.CID]; a != nil {
			return []*association{a}, true
		}
		return nil, true
	case dtls.TypeMovedTrailer:
		return d.byDevice[trace.DeviceID(x.header.DeviceID)], true
	default: // names no session: by the addresses
	}
	all = f.candidates
	if f.half != nil && (len(all) == 0 || all[0] != f.half) {
		all = append(append([]*association{}, all...), f.half)
	}
	return all, false
}

// describe fills in the records of a datagram, and lets the decoder learn from
// them.
func (d *Decoder) describe(f *flow, p *trace.Packet, pieces []piece) {
	p.Records = make([]trace.Record, len(pieces))
	repeated := len(pieces) > 0
	for i := range pieces {
		x, r := &pieces[i], &p.Records[i]
		d.describeHeader(r, x)
		a := x.from
		switch {
		case x.bad != nil:
			r.State, r.Problem = trace.Broken, x.bad.Error()
		case x.header.Epoch == 0:
			d.content(f, p, r, x.raw[13:])
			a = f.half
		case a == nil && x.forged:
			r.State, r.Problem = trace.Rejected, x.why
			a = d.owner(f, x)
		case a == nil:
			r.State, r.Problem = trace.Sealed, x.why
			a = d.owner(f, x)
		default:
			r.State = trace.Opened
		}
		if a != nil {
			r.Repeated, r.Reused = a.sides[p.Direction].see(uint64(r.Epoch)<<48|r.Sequence, x.raw)
			r.Reused = r.Reused && r.Epoch > 0 && r.State == trace.Opened
			d.join(p, a)
		}
		repeated = repeated && r.Repeated && !r.Reused
		if x.from != nil {
			d.learn(f, p, r, x)
		}
	}
	p.Duplicate = repeated
}

func (d *Decoder) describeHeader(r *trace.Record, x *piece) {
	h := &x.header
	r.Type, r.Content, r.Version, r.Epoch, r.Sequence, r.CID = h.Type, h.Type, h.Version, h.Epoch, h.Sequence, h.CID
	r.Trailer = trace.DeviceID(h.DeviceID)
	r.Size = len(x.raw)
	if x.bad != nil && len(x.raw) >= 13 {
		r.Type = dtls.ContentType(x.raw[0])
		r.Content, r.Version = r.Type, binary.BigEndian.Uint16(x.raw[1:])
		n := binary.BigEndian.Uint64(x.raw[3:])
		r.Epoch, r.Sequence = uint16(n>>48), n&(1<<48-1)
	}
	head := 13 + h.CID.Len()
	r.Length = max(0, h.Size-head)
	if h.Epoch == 0 || r.Length < 16 {
		return
	}
	copy(r.ExplicitNonce[:], x.raw[head:])
	if x.from != nil {
		r.Content = x.content
		if h.CID.Len() > 0 {
			r.Padding = r.Length - 16 - len(x.plain) - 1
		}
	}
}

// owner returns the association that a record claims or is likely to belong to.
func (d *Decoder) owner(f *flow, x *piece) *association {
	if all, _ := d.candidates(f, x); len(all) > 0 {
		return all[0]
	}
	return nil
}

// join makes the packet one of an association, the first one that claims it.
func (d *Decoder) join(p *trace.Packet, a *association) {
	if p.Association == 0 {
		d.known.get(a.id) // it is in use
		p.Association, p.Connection, p.Device = a.id, a.connection, a.device
	}
}
