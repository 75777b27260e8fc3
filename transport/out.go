package transport

import (
	"net/netip"
	"slices"
	"sync/atomic"
)

// A StreamSink takes stream actions at the moment a host decides on them. It
// never blocks and never calls a host from within.
type StreamSink interface {
	// Dial opens a stream from local to peer. The zero Addr and port 0 leave
	// the choice of the local address or port to the system.
	Dial(id StreamID, local, peer netip.AddrPort)
	// Write sends b as one piece. The sink copies it.
	Write(id StreamID, b []byte)
	// Close ends the stream after what was written (FIN).
	Close(id StreamID)
	// Abort ends the stream at once (RST).
	Abort(id StreamID)
}

// StreamIDs hands out stream names. It is safe for concurrent use.
type StreamIDs struct{ last atomic.Uint64 }

// Next returns a name that it has not returned before.
func (s *StreamIDs) Next() StreamID { return StreamID(s.last.Add(1)) }

// ActionKind says what an [Action] does.
type ActionKind uint8

// The actions on streams.
const (
	DialStream ActionKind = iota + 1
	WriteStream
	CloseStream
	AbortStream
)

// An Action is one stream action of a host that has no [StreamSink].
type Action struct {
	Kind        ActionKind
	ID          StreamID
	Local, Peer netip.AddrPort // of DialStream
	Data        []byte         // of WriteStream; valid until Clear
}

// Out collects what a host says in one call or in several. Its driver owns it
// and reuses it: in the steady state nothing is allocated. The zero Out is
// empty and ready for use.
//
// Datagrams wait in the Out until its driver sends them, many at a time. Stream
// actions go to the [StreamSink] at once when there is one: bytes of a stream
// must stay in the order in which a session sealed them, so a host that is
// called concurrently calls Write under its session's lock.
type Out struct {
	packets []Packet
	actions []Action
	arena   []byte // holds the data of packets and actions
	ids     *StreamIDs
	sink    StreamSink
}

// arenaSizeMin is the first allocation, in bytes: a batch of short records.
const arenaSizeMin = 8 << 10

// NewOut returns an empty Out that names streams from ids. Stream actions go to
// sink, or wait in the Out when sink is nil.
func NewOut(ids *StreamIDs, sink StreamSink) *Out { return &Out{ids: ids, sink: sink} }

// Send sends one datagram and copies data. A zero local address stands for the
// one address of the host that speaks; on a socket, for the system's choice.
func (o *Out) Send(local, peer netip.AddrPort, data []byte) {
	o.packets = append(o.packets, Packet{Local: local, Peer: peer, Data: o.keep(data)})
}

// Dial opens a stream and returns its name; StreamOpened or StreamClosed tells
// the result. The zero local address or port leaves the choice to the driver.
func (o *Out) Dial(local, peer netip.AddrPort) StreamID {
	if o.ids == nil {
		o.ids = new(StreamIDs)
	}
	id := o.ids.Next()
	if o.sink != nil {
		o.sink.Dial(id, local, peer)
		return id
	}
	o.actions = append(o.actions, Action{Kind: DialStream, ID: id, Local: local, Peer: peer})
	return id
}

// Write sends data on a stream, as one piece, and copies it.
//
// Device OS: a device that finds only one byte of a frame's length at poll time
// loses the stream's framing for good, so prefix and body go in one Write.
func (o *Out) Write(id StreamID, data []byte) {
	if o.sink != nil {
		o.sink.Write(id, data)
		return
	}
	o.actions = append(o.actions, Action{Kind: WriteStream, ID: id, Data: o.keep(data)})
}

// Close ends a stream after what was written to it (FIN).
func (o *Out) Close(id StreamID) {
	if o.sink != nil {
		o.sink.Close(id)
		return
	}
	o.actions = append(o.actions, Action{Kind: CloseStream, ID: id})
}

// Abort ends a stream at once (RST).
func (o *Out) Abort(id StreamID) {
	if o.sink != nil {
		o.sink.Abort(id)
		return
	}
	o.actions = append(o.actions, Action{Kind: AbortStream, ID: id})
}

// Packets returns the datagrams in the order they were sent. They are valid
// until Clear.
func (o *Out) Packets() []Packet { return o.packets }

// Actions returns the stream actions that no sink took, in order. They are
// valid until Clear.
func (o *Out) Actions() []Action { return o.actions }

// Empty reports whether nothing waits in the Out.
func (o *Out) Empty() bool { return len(o.packets) == 0 && len(o.actions) == 0 }

// Clear forgets what waits in the Out and keeps its memory for reuse.
func (o *Out) Clear() {
	o.packets = o.packets[:0]
	o.actions = o.actions[:0]
	o.arena = o.arena[:0]
}

// keep copies b into the arena. A full arena is left to the packets that point
// into it, so what was returned before stays valid.
func (o *Out) keep(b []byte) []byte {
	if cap(o.arena)-len(o.arena) < len(b) {
		o.arena = make([]byte, 0, max(arenaSizeMin, 2*cap(o.arena), len(b)))
	}
	start := len(o.arena)
	o.arena = append(o.arena, b...)
	return slices.Clip(o.arena[start:])
}
