package capture

import (
	"crypto/rsa"
	"encoding/binary"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

type streamKey struct {
	path pathKey
	id   transport.StreamID
}

// A stream is one TCP connection, both directions put together again and cut into
// the units of the protocol.
type stream struct {
	flow        *flow
	association *association
	in          [2]inbound // by direction

	nonce  []byte
	answer []byte // the cloud's, while there are no keys: C1 may be told behind it
	keyed  bool
	secrets
}

// inbound is what has arrived of the next unit of one direction.
type inbound struct {
	b      []byte
	chunks int
	units  int           // before it
	at     clock.Instant // of the latest chunk
	sent   bool          // by the host that is looked at
}

// stream takes a sighting of a TCP connection.
func (d *Decoder) stream(key pathKey, s transport.Sighting, direction trace.Direction) {
	k := streamKey{key, s.Stream}
	st, known := d.streams.get(k)
	if s.Kind == transport.StreamEnded {
		if known {
			d.streams.drop(k)
			d.ended.put(k, st)
		}
		return
	}
	if !known {
		// What was sent last can be told behind the end.
		st, known = d.ended.get(k)
	}
	if !known {
		st = &stream{flow: newFlow(key), association: d.newAssociation()}
		st.flow.stream = st
		d.streams.put(k, st)
	}
	if s.Kind != transport.StreamChunk || len(s.Data) == 0 {
		return
	}
	in := &st.in[direction]
	in.b = append(in.b, s.Data...)
	in.chunks++
	in.at, in.sent = s.At, s.Sent
	for {
		n := in.size(direction)
		if n == 0 || len(in.b) < n {
			break
		}
		s.Data = in.b[:n:n]
		p := d.unit(st, s, direction)
		in.b, in.units = in.b[n:], in.units+1
		if in.chunks = 0; len(in.b) > 0 {
			in.chunks = 1
		}
		d.arrive(st.flow, p, s.Data)
	}
	in.b = slices.Clip(append([]byte(nil), in.b...))
}

// endedMax is how many streams that are over are remembered.
const endedMax = 256

// tail emits what a stream left unfinished, and all of it that waits.
func (d *Decoder) tail(k streamKey, st *stream) {
	for direction := range st.in {
		in := &st.in[direction]
		if len(in.b) == 0 {
			continue
		}
		s := transport.Sighting{At: in.at, Kind: transport.StreamChunk, Sent: in.sent, Stream: k.id}
		s.Data = in.b
		p := d.unit(st, s, trace.Direction(direction))
		p.Records, p.Rest, p.Problem = nil, len(in.b), "the stream ended within a unit"
		in.b = nil
		d.arrive(st.flow, p, s.Data)
	}
	d.release(st.flow)
}

// size returns the size of the unit that begins, 0 while it is not known.
func (in *inbound) size(direction trace.Direction) int {
	switch {
	case direction == trace.Down && in.units == 0:
		return lightssl.NonceSize
	case direction == trace.Down && in.units == 1:
		return lightssl.AnswerSize
	case direction == trace.Up && in.units == 0:
		return lightssl.C1Size
	case len(in.b) < framePrefix:
		return 0
	}
	return framePrefix + int(binary.BigEndian.Uint16(in.b))
}

// unit returns the packet of one unit that has not been looked into.
func (d *Decoder) unit(st *stream, s transport.Sighting, direction trace.Direction) *trace.Packet {
	p := d.packet(st.flow, s, direction)
	in := &st.in[direction]
	p.Transport, p.Headers, p.Chunks = trace.TCP, trace.Headers(trace.TCP, st.flow.ipv6), in.chunks
	kind := trace.Frame
	switch {
	case direction == trace.Down && in.units == 0:
		kind = trace.Nonce
	case direction == trace.Down && in.units == 1:
		kind = trace.Answer
	case direction == trace.Up && in.units == 0:
		kind = trace.C1
	}
	p.Records = []trace.Record{{Unit: kind, Size: p.Size, Length: p.Size}}
	return p
}

// decodeUnit decodes and emits a unit, or reports false when it needs keys that
// may still come.
func (d *Decoder) decodeUnit(st *stream, p *trace.Packet, data []byte, force bool) bool {
	if len(p.Records) > 0 {
		r := &p.Records[0]
		switch r.Unit {
		case trace.Nonce:
			st.nonce = append([]byte(nil), data...)
			if g, ok := d.credentials.get(string(st.nonce)); ok {
				d.key(st, &g)
			}
		case trace.C1:
			d.readC1(st, data)
		case trace.Answer:
			d.readAnswer(st, data)
		case trace.Frame:
			if !st.keyed && p.Direction == trace.Up && st.first == nil {
				st.first = append([]byte(nil), data...)
				d.guess(st)
			}
			if !st.keyed && !force {
				return false
			}
			d.frame(st, p, r, data)
		case trace.DTLS, trace.Probe:
			// These are of datagrams.
		}
	}
	d.join(p, st.association)
	d.emit(p)
	return true
}

// readC1 learns the device id, if the cloud's key is known.
func (d *Decoder) readC1(st *stream, c1 []byte) {
	if d.cfg.CloudKey == nil {
		return
	}
	plain, err := rsa.DecryptPKCS1v15(nil, d.cfg.CloudKey, c1) //nolint:staticcheck // PKCS #1 v1.5 is what LightSSL has
	if err != nil || len(plain) < lightssl.CorePlaintextSize {
		return
	}
	d.own(st.association, trace.DeviceID(plain[lightssl.NonceSize:lightssl.CorePlaintextSize]))
	if st.answer != nil {
		// Between writing C1 and telling of it a goroutine can stand still for so
		// long that the answer is told first.
		d.readAnswer(st, st.answer)
	}
}

// readAnswer learns the credentials, if the device's key is known.
func (d *Decoder) readAnswer(st *stream, answer []byte) {
	if st.keyed {
		return
	}
	keys := d.looseKeys
	if key := d.deviceKeys[st.association.device]; key != nil {
		keys = []*rsa.PrivateKey{key}
	}
	for _, key := range keys {
		// The padding tells whether it is for this key.
		plain, err := rsa.DecryptPKCS1v15(nil, key, answer[:lightssl.C2Size]) //nolint:staticcheck // PKCS #1 v1.5 is what LightSSL has
		if err == nil && len(plain) == lightssl.CredentialsSize {
			d.key(st, &given{lightssl.Credentials(plain), st.association.device})
			return
		}
	}
	st.answer = append([]byte(nil), answer...)
}

// guess tries the credentials that name no connection.
func (d *Decoder) guess(st *stream) {
	for i := range d.anonymous {
		if g := d.anonymous[i]; st.fits(&g) {
			d.anonymous = slices.Delete(d.anonymous, i, i+1)
			d.key(st, &g)
			return
		}
	}
}

// key gives a stream its keys.
func (d *Decoder) key(st *stream, g *given) {
	st.set(&g.credentials)
	st.keyed, st.answer = true, nil
	d.own(st.association, g.device)
	if d.cfg.Unlocked != nil && st.nonce != nil {
		d.cfg.Unlocked(Secrets{Nonce: st.nonce, Credentials: g.credentials, DeviceAddress: st.flow.key.device})
	}
}
