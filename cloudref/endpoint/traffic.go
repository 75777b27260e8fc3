package endpoint

import (
	"net/netip"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/link"
	"github.com/muster/muster/protocol/trace"
)

// Traffic is what crossed the wire between the cloud and one peer at one moment:
// a datagram, what one read of a stream brought, or one frame.
type Traffic struct {
	At        clock.Instant
	Device    store.DeviceID // zero before the device has proven who it is
	Peer      netip.AddrPort
	Transport trace.Transport
	Direction trace.Direction
	Bytes     int // without IP, UDP and TCP headers
	// Messages are the CoAP messages that it carries, in the clear. A piece of a
	// stream may carry none, or several.
	Messages [][]byte
}

// stranger tells Config.Traffic of a datagram of somebody who is not known yet.
func (n *Node) stranger(now clock.Instant, peer netip.AddrPort, direction trace.Direction, size int) {
	if n.c.Traffic != nil {
		n.c.Traffic(Traffic{At: now, Peer: peer, Direction: direction, Bytes: size})
	}
}

// shook tells Config.Traffic of a handshake over TCP, whose sizes are always the
// same: the nonce, C1, and C2 with S.
func (st *stream) shook(now clock.Instant) {
	if st.n.c.Traffic == nil {
		return
	}
	t := Traffic{At: now, Peer: st.peer, Transport: trace.TCP, Direction: trace.Down, Bytes: lightssl.NonceSize}
	st.n.c.Traffic(t)
	t.Direction, t.Bytes = trace.Up, lightssl.C1Size
	st.n.c.Traffic(t)
	t.Direction, t.Bytes = trace.Down, lightssl.C2Size+lightssl.SignatureSize
	st.n.c.Traffic(t)
}

func (d *device) traffic(now clock.Instant, s *session, direction trace.Direction) Traffic {
	t := Traffic{At: now, Device: d.id, Peer: s.peer, Direction: direction}
	if !s.udp() {
		t.Transport = trace.TCP
	}
	return t
}

// received tells Config.Traffic of bytes of a session.
func (d *device) received(now clock.Instant, s *session, size int, out *link.Out) {
	if d.n.c.Traffic == nil {
		return
	}
	t := d.traffic(now, s, trace.Up)
	t.Bytes, t.Messages = size, inPacket(out, -1)
	d.n.c.Traffic(t)
}

// sent tells Config.Traffic of packets of a session.
func (d *device) sent(now clock.Instant, s *session, out *link.Out) {
	if d.n.c.Traffic == nil {
		return
	}
	for i, packet := range out.Packets {
		t := d.traffic(now, s, trace.Down)
		t.Bytes, t.Messages = len(packet), inPacket(out, i)
		d.n.c.Traffic(t)
	}
}

func inPacket(out *link.Out, packet int) (messages [][]byte) {
	for _, c := range out.Clear {
		if c.Packet == packet {
			messages = append(messages, c.Message)
		}
	}
	return messages
}
