package endpoint

import (
	"net/netip"

	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/trace"
	"github.com/muster/muster/transport"
)

// Datagram takes one datagram. Its first byte and epoch decide whose it is
// (Appendix C.2 of the transport reference):
//
//	22, epoch 0, ClientHello   cookie gate
//	20 to 22, epoch 0          half-open handshake of this address
//	25, 253                    session with this connection id, or half-open handshake
//	254                        session of the device in the trailer
//	20 to 23, epoch 1          session of this address, or half-open handshake
//	252                        echoed
//	anything else              dropped
func (n *Node) Datagram(now clock.Instant, p transport.Packet, out *transport.Out) {
	w := n.work(out)
	defer n.release(w)
	n.counts.Datagrams.Add(1)
	if n.gate == nil {
		n.counts.Records.add(int(dtls.DropType))
		return
	}
	n.dispatch(now, p, w)
	n.drain(now, w)
}

func (n *Node) dispatch(now clock.Instant, p transport.Packet, w *work) {
	if len(p.Data) > 0 && dtls.ContentType(p.Data[0]) == dtls.TypeProbe {
		n.echo(now, p, w)
		return
	}
	h, err := dtls.PeekHeader(p.Data)
	if err != nil {
		n.counts.drop(err)
		if n.c.Faults.AnswerShort {
			w.out.Send(p.Local, p.Peer, alertUnknown)
		}
		return
	}
	switch {
	case h.ClientHello:
		n.clientHello(now, p, w)
	case h.Epoch == 0:
		n.plain(now, p, w)
	default:
		n.protected(now, h, p, w)
	}
}

// clientHello lets a ClientHello with a good cookie begin a handshake. Everybody
// else gets a cookie, and nothing is kept.
func (n *Node) clientHello(now clock.Instant, p transport.Packet, w *work) {
	n.gateMu.Lock()
	verdict := n.gate.Receive(now, appendAddrPort(nil, p.Peer), p.Data, &w.dtls)
	n.gateMu.Unlock()
	n.reply(now, p, w)
	if verdict == dtls.Admitted {
		if n.c.Faults.DropOnHello {
			n.dropAt(now, p, w)
		}
		n.half.begin(now, p, w)
	}
}

// reply sends what the machines below made for the sender of p, from the address
// that it addressed, and counts what they dropped.
func (n *Node) reply(now clock.Instant, p transport.Packet, w *work) {
	for _, d := range w.dtls.Datagrams {
		n.stranger(now, p.Peer, trace.Up, len(p.Data))
		n.stranger(now, p.Peer, trace.Down, len(d))
		w.out.Send(n.face(p.Local), p.Peer, d)
	}
	for _, e := range w.dtls.Events {
		if e.Kind == dtls.EventDropped {
			n.counts.Records.add(int(e.Reason))
		}
	}
	w.dtls.Reset()
}

// alertUnknown is what nobody may be answered with: a fatal alert access_denied
// without protection.
var alertUnknown = []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 49}

// face is the address to answer from: the one that was addressed.
func (n *Node) face(local netip.AddrPort) netip.AddrPort {
	if !n.c.Faults.OneFace {
		return local
	}
	n.gateMu.Lock()
	defer n.gateMu.Unlock()
	if !n.oneFace.IsValid() {
		n.oneFace = local
	}
	return n.oneFace
}

// dropAt is the fault that a suite must find: the session of an address ends when
// a handshake begins there.
func (n *Node) dropAt(now clock.Instant, p transport.Packet, w *work) {
	for _, d := range n.index.all() {
		d.do(now, w, func() {
			if s := d.current; s != nil && s.peer == p.Peer {
				d.endSession(now, s, "a handshake began at its address", w)
			}
		})
	}
}

// plain takes a datagram that begins in epoch 0: the rest of a handshake, or the
// last flight of a device that did not get our answer to it.
func (n *Node) plain(now clock.Instant, p transport.Packet, w *work) {
	if n.half.take(now, p, w) {
		return
	}
	h, err := dtls.PeekProtected(p.Data)
	if err != nil || h.Epoch == 0 {
		n.counts.Records.add(int(dtls.DropPlaintext))
		return
	}
	if s := n.find(h, p.Peer); s != nil {
		n.hand(now, s, p, false, w)
	}
}

// find returns the session that a header names, nil if there is none.
func (n *Node) find(h dtls.Header, peer netip.AddrPort) *session {
	switch h.Type {
	case dtls.TypeCID, dtls.TypeMovedCID:
		return n.index.byCID(h.CID)
	case dtls.TypeMovedTrailer:
		d := n.index.device(store.DeviceID(h.DeviceID))
		if d == nil {
			return nil
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.current != nil && d.current.udp() && !d.current.named() {
			return d.current
		}
		return nil
	default:
		return n.index.byPeer(peer)
	}
}

// protected takes a datagram of epoch 1.
func (n *Node) protected(now clock.Instant, h dtls.Header, p transport.Packet, w *work) {
	marked := h.Type == dtls.TypeMovedCID || h.Type == dtls.TypeMovedTrailer
	s := n.find(h, p.Peer)
	if s != nil && n.hand(now, s, p, marked, w) {
		return
	}
	if n.half.takeProtected(now, h, p, w) {
		return
	}
	if s == nil && !n.adopt(now, h, p) {
		// A record that only looks like one of a session that is known must not
		// make its device drop it.
		n.unknown(now, h, p, w)
	}
}

// hand gives a datagram to a session and reports whether it was authentic.
func (n *Node) hand(now clock.Instant, s *session, p transport.Packet, marked bool, w *work) (authentic bool) {
	s.device.do(now, w, func() {
		authentic = s.device.receive(now, s, p.Data, p, marked, w)
	})
	return authentic
}

// unknown handles a record of a session that nobody knows. Silence is the only
// correct answer: an alert could not be authenticated, and a device finds
// out by itself. Only devices of the first generations can be told, by a
// datagram that cannot do harm twice.
func (n *Node) unknown(now clock.Instant, h dtls.Header, p transport.Packet, w *work) {
	n.counts.UnknownSession.Add(1)
	n.counts.refusals[ReasonUnknownSession].Add(1)
	n.tellUnknown(now, h, p)
	if n.c.Faults.AlertUnknown {
		w.out.Send(p.Local, p.Peer, alertUnknown)
	}
	if !n.c.ClassicStale || h.Type != dtls.TypeMovedTrailer {
		return
	}
	if _, known := n.c.Store.Identity(store.DeviceID(h.DeviceID)); known && n.probes.allowStale(now, h.DeviceID) {
		w.out.Send(p.Local, p.Peer, dtls.StaleSession())
	}
}
