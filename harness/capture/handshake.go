package capture

import (
	"encoding/binary"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
)

// The extensions that carry a connection id.
const (
	extensionCIDDeviceOS = 254 // Device OS: not yet 54, the number of RFC 9146
	extensionCID         = 54
)

// maxPart bounds a handshake message that is put together from fragments, in
// bytes.
const maxPart = 4096

// parts put together the messages from which a decoder learns: hellos and the
// device's Certificate. All others are described piece by piece.
type parts struct{ open []part }

type part struct {
	typ     trace.HandshakeType
	seq     uint16
	body    []byte
	have    []bool
	missing int
}

// partsMax is how many messages are put together at a time.
const partsMax = 4

// add returns the whole message that a fragment completes, nil if there is none.
func (ps *parts) add(h *trace.Handshake, body []byte) []byte {
	switch h.Type {
	case trace.ClientHello, trace.ServerHello, trace.Certificate:
	default:
		return nil
	}
	if h.Size == h.Length {
		return body
	}
	if h.Length > maxPart || h.Offset+h.Size > h.Length {
		return nil
	}
	p := ps.find(h)
	for i, b := range body {
		if at := h.Offset + i; !p.have[at] {
			p.have[at], p.body[at] = true, b
			p.missing--
		}
	}
	if p.missing > 0 {
		return nil
	}
	whole := p.body
	*p = ps.open[len(ps.open)-1]
	ps.open = ps.open[:len(ps.open)-1]
	return whole
}

func (ps *parts) find(h *trace.Handshake) *part {
	for i := range ps.open {
		if p := &ps.open[i]; p.typ == h.Type && p.seq == h.Seq && len(p.body) == h.Length {
			return p
		}
	}
	if len(ps.open) == partsMax {
		ps.open = append(ps.open[:0], ps.open[1:]...)
	}
	ps.open = append(ps.open, part{
		typ: h.Type, seq: h.Seq, body: make([]byte, h.Length), have: make([]bool, h.Length), missing: h.Length,
	})
	return &ps.open[len(ps.open)-1]
}

// handshake describes the handshake messages of a record (RFC 6347 Section 4.2.2)
// and learns from hellos and certificates.
func (d *Decoder) handshake(f *flow, p *trace.Packet, r *trace.Record, b []byte) {
	const head = 12
	for len(b) > 0 {
		if len(b) < head {
			r.State, r.Problem = trace.Broken, "a piece of a handshake header"
			return
		}
		h := trace.Handshake{
			Type: trace.HandshakeType(b[0]), Length: uint24(b[1:]), Seq: binary.BigEndian.Uint16(b[4:]),
			Offset: uint24(b[6:]), Size: uint24(b[9:]),
		}
		if b = b[head:]; h.Size > len(b) {
			r.State, r.Problem = trace.Broken, "a handshake fragment longer than its record"
			return
		}
		if whole := f.parts[p.Direction].add(&h, b[:h.Size]); whole != nil && r.Epoch == 0 {
			d.learnHandshake(f, p, &h, whole)
		}
		b = b[h.Size:]
		r.Handshake = append(r.Handshake, h)
	}
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func (d *Decoder) learnHandshake(f *flow, p *trace.Packet, h *trace.Handshake, body []byte) {
	switch {
	case h.Type == trace.ClientHello && p.Direction == trace.Up:
		if h.Hello = parseHello(body, true); h.Hello != nil {
			d.clientHello(f, p, h.Hello)
		}
	case h.Type == trace.ServerHello && p.Direction == trace.Down:
		if h.Hello = parseHello(body, false); h.Hello == nil {
			return
		}
		if f.half == nil || f.half.answered && f.half.serverRandom != h.Hello.Random {
			f.early, f.earlyAt = h.Hello, p.At
		}
		if f.half != nil {
			d.serverHello(f.half, h.Hello)
		}
	case h.Type == trace.Certificate && p.Direction == trace.Up && f.half != nil && len(body) > 3:
		// Device OS: three bytes of length and a SubjectPublicKeyInfo (RFC 7250).
		if id, ok := d.owners[string(body[3:])]; ok {
			d.own(f.half, id)
		}
	}
}

// clientHello begins a handshake, unless its random is known.
func (d *Decoder) clientHello(f *flow, p *trace.Packet, h *trace.Hello) {
	if a := d.byRandom[h.Random]; a != nil {
		f.half = a
		return
	}
	a := d.newAssociation()
	a.clientRandom = h.Random
	a.at = f
	if d.cfg.Profile == dtls.Standard {
		a.serverCID = cidOf(h, extensionCID)
	}
	d.byRandom[h.Random] = a
	f.half = a
	// A sighting of what is sent can come behind that of its answer.
	if f.early != nil && f.earlyAt >= p.At && f.earlyAt.Sub(p.At) < lateMax {
		d.serverHello(a, f.early)
	}
	f.early = nil
}

// lateMax is how much later than its answer a sighting may be told.
const lateMax = 2 * time.Second

// serverHello gives a handshake its server random and connection id.
func (d *Decoder) serverHello(a *association, h *trace.Hello) {
	if a.opener != nil || a.answered && a.serverRandom == h.Random {
		return
	}
	a.serverRandom, a.answered = h.Random, true
	extension := uint16(extensionCIDDeviceOS)
	if d.cfg.Profile == dtls.Standard {
		extension = extensionCID
	}
	if a.cid = cidOf(h, extension); a.cid.Len() > 0 {
		d.byCID[a.cid] = a
	}
	d.unlock(a)
}

func cidOf(h *trace.Hello, extension uint16) (c dtls.CID) {
	b, ok := h.Extension(extension)
	if !ok || len(b) == 0 || int(b[0]) != len(b)-1 || len(b)-1 > dtls.MaxCIDSize {
		return c
	}
	return dtls.NewCID(b[1:])
}
