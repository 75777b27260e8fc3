package live

import (
	"bytes"
	"net/netip"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// act does what a host wants with a stream.
func (node *Node) act(a *transport.Action) {
	streams := node.net.streams
	switch a.Kind {
	case transport.DialStream:
		node.net.owners[a.ID] = node
		streams.Dial(a.ID, netip.AddrPortFrom(node.bind(node.full(a.Local)), 0), a.Peer)
	case transport.WriteStream:
		if !node.offline {
			streams.Write(a.ID, a.Data)
		}
	case transport.CloseStream:
		streams.Close(a.ID)
	case transport.AbortStream:
		streams.Abort(a.ID)
	}
}

// owner is whose a stream is: who dialled, or who listens.
func (n *Network) owner(id transport.StreamID) *Node {
	if node := n.owners[id]; node != nil {
		return node
	}
	return n.owners[0]
}

// toOwner has f act for the host that a stream belongs to.
func (n *Network) toOwner(at clock.Instant, id transport.StreamID, size int, f func(h transport.Host, now clock.Instant, out *transport.Out)) {
	n.push(arrival{at: at, size: size, do: func(at clock.Instant) {
		if node := n.owner(id); node != nil && !node.offline {
			node.call(func(out *transport.Out) { f(node.host, at, out) })
		}
	}})
}

// A handler takes what streams receive.
type handler struct{ n *Network }

// StreamOpened implements tcp.Handler.
func (h handler) StreamOpened(now clock.Instant, s transport.Stream) {
	h.n.toOwner(now, s.ID, 0, func(host transport.Host, now clock.Instant, out *transport.Out) { host.StreamOpened(now, s, out) })
}

// StreamData implements tcp.Handler.
func (h handler) StreamData(now clock.Instant, id transport.StreamID, b []byte) {
	b = bytes.Clone(b)
	h.n.toOwner(now, id, len(b), func(host transport.Host, now clock.Instant, out *transport.Out) { host.StreamData(now, id, b, out) })
}

// StreamClosed implements tcp.Handler.
func (h handler) StreamClosed(now clock.Instant, id transport.StreamID, cause transport.Cause) {
	h.n.toOwner(now, id, 0, func(host transport.Host, now clock.Instant, out *transport.Out) {
		host.StreamClosed(now, id, cause, out)
	})
}
