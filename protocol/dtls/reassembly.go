package dtls

import "bytes"

// maxAhead is how many messages may be kept that came before their turn. No
// flight has more.
const maxAhead = 8

// A reassembly puts handshake messages together from fragments that arrive in
// any order, repeated and overlapping (RFC 6347 Section 4.2.3), and yields them
// in the order of message_seq. What a peer can make it hold is bounded: twice
// the largest message.
type reassembly struct {
	next    uint16 // message_seq of the next message to yield
	max     int    // largest message
	held    int    // bytes of all partial messages
	partial [maxAhead]partial
}

// A partial message, perhaps complete.
type partial struct {
	active  bool
	epoch   uint16
	typ     handshakeType
	body    []byte
	have    []uint64 // bit i: byte i of body arrived
	missing int      // bytes
}

// A message is a whole handshake message.
type message struct {
	epoch uint16
	typ   handshakeType
	seq   uint16
	body  []byte
}

// add takes a fragment of a record of the given epoch. DropPast means that the
// message was already yielded.
func (r *reassembly) add(epoch uint16, f *fragment) DropReason {
	ahead := int(int16(f.seq - r.next))
	switch {
	case ahead < 0:
		return DropPast
	case ahead >= maxAhead:
		return DropFuture
	case f.length > r.max:
		return DropTooLarge
	}
	p := &r.partial[f.seq%maxAhead]
	if !p.active {
		if r.held+f.length > 2*r.max {
			return DropTooLarge
		}
		r.held += f.length
		if f.whole() {
			*p = partial{active: true, epoch: epoch, typ: f.typ, body: bytes.Clone(f.body)}
			return DropNone
		}
		*p = partial{
			active: true, epoch: epoch, typ: f.typ, missing: f.length,
			body: make([]byte, f.length), have: make([]uint64, (f.length+63)/64),
		}
	}
	if p.epoch != epoch || p.typ != f.typ || len(p.body) != f.length {
		return DropFragment // contradicts the first fragment
	}
	if p.missing > 0 {
		p.fill(f)
	}
	return DropNone
}

// fill copies the bytes of f that are new. What came first stays, as it was
// perhaps the real one.
func (p *partial) fill(f *fragment) {
	for i, b := range f.body {
		at := f.offset + i
		if bit := uint64(1) << (at % 64); p.have[at/64]&bit == 0 {
			p.have[at/64] |= bit
			p.body[at] = b
			p.missing--
		}
	}
}

// take yields the next message, if it is complete.
func (r *reassembly) take() (m message, ok bool) {
	p := &r.partial[r.next%maxAhead]
	if !p.active || p.missing > 0 {
		return m, false
	}
	m = message{epoch: p.epoch, typ: p.typ, seq: r.next, body: p.body}
	r.held -= len(p.body)
	*p = partial{}
	r.next++
	return m, true
}

// skipTo begins at message_seq next, with nothing held.
func (r *reassembly) skipTo(next uint16) {
	*r = reassembly{next: next, max: r.max}
}

// begun reports whether anything is held.
func (r *reassembly) begun() bool { return r.held > 0 || r.next > 0 }
