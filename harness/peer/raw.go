package peer

import (
	"bytes"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Raw is a puppet that knows no protocol: it keeps every byte that arrives and
// sends what its owner tells it, from any of its addresses and ports.
type Raw struct {
	// Datagrams are those that arrived, in order.
	Datagrams []RawDatagram
	// Streams are those that were opened from here or accepted, in order.
	Streams []*RawStream
	// React, if not nil, hears of each datagram when it arrives.
	React func(now clock.Instant, d RawDatagram, out *transport.Out)
	// Flow, if not nil, hears of each stream when it opens and when bytes of it
	// arrive.
	Flow func(now clock.Instant, s *RawStream, out *transport.Out)
}

var _ transport.Host = (*Raw)(nil)

// An Out takes what a puppet says.
type Out = transport.Out

// A RawDatagram is one datagram that arrived at Local from Peer.
type RawDatagram struct {
	At          clock.Instant
	Local, Peer netip.AddrPort
	Data        []byte
}

// A RawStream is one TCP connection.
type RawStream struct {
	ID     transport.StreamID
	Opened clock.Instant // clock.Never before it is
	// Pieces are what arrived, cut as it came.
	Pieces []RawPiece
	// Closed is when it was over, clock.Never while it is not; Cause says why.
	Closed clock.Instant
	Cause  transport.Cause
}

// A RawPiece is what a stream delivered at once.
type RawPiece struct {
	At   clock.Instant
	Data []byte
}

// Bytes returns all that arrived.
func (s *RawStream) Bytes() []byte {
	var all []byte
	for _, p := range s.Pieces {
		all = append(all, p.Data...)
	}
	return all
}

// IsOpen reports whether the stream is open.
func (s *RawStream) IsOpen() bool { return s.Opened != clock.Never && s.Closed == clock.Never }

// Dial opens a stream.
func (r *Raw) Dial(to netip.AddrPort, out *transport.Out) *RawStream {
	s := &RawStream{ID: out.Dial(netip.AddrPort{}, to), Opened: clock.Never, Closed: clock.Never}
	r.Streams = append(r.Streams, s)
	return s
}

// Close ends a stream.
func (r *Raw) Close(now clock.Instant, s *RawStream, out *transport.Out) {
	if s.Closed == clock.Never {
		s.Closed, s.Cause = now, transport.ClosedLocally
		out.Close(s.ID)
	}
}

func (r *Raw) stream(id transport.StreamID) *RawStream {
	for _, s := range r.Streams {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// Datagram implements transport.Host.
func (r *Raw) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	d := RawDatagram{At: now, Local: p.Local, Peer: p.Peer, Data: bytes.Clone(p.Data)}
	r.Datagrams = append(r.Datagrams, d)
	if r.React != nil {
		r.React(now, d, out)
	}
}

// StreamOpened implements transport.Host.
func (r *Raw) StreamOpened(now clock.Instant, opened transport.Stream, out *transport.Out) {
	s := r.stream(opened.ID)
	if s == nil {
		s = &RawStream{ID: opened.ID, Closed: clock.Never}
		r.Streams = append(r.Streams, s)
	}
	s.Opened = now
	if r.Flow != nil {
		r.Flow(now, s, out)
	}
}

// StreamData implements transport.Host.
func (r *Raw) StreamData(now clock.Instant, id transport.StreamID, b []byte, out *transport.Out) {
	s := r.stream(id)
	if s == nil || s.Closed != clock.Never {
		return
	}
	s.Pieces = append(s.Pieces, RawPiece{now, bytes.Clone(b)})
	if r.Flow != nil {
		r.Flow(now, s, out)
	}
}

// StreamClosed implements transport.Host.
func (r *Raw) StreamClosed(now clock.Instant, id transport.StreamID, cause transport.Cause, _ *transport.Out) {
	if s := r.stream(id); s != nil && s.Closed == clock.Never {
		s.Closed, s.Cause = now, cause
	}
}

// Advance implements transport.Host. A Raw never acts by itself.
func (r *Raw) Advance(clock.Instant, *transport.Out) {}

// Deadline implements transport.Host.
func (r *Raw) Deadline() clock.Instant { return clock.Never }
