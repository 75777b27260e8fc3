package vnet

import (
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Flight is a packet that has just left its sender, for hooks to look at and
// to change, and not to keep. Addresses are those of the open network: behind the sender's NAT,
// before the receiver's.
type Flight struct {
	At   clock.Instant
	Kind transport.SightingKind // DatagramSeen, StreamOpened (a SYN) or StreamChunk
	// Sender is the node that sent it; Stream names a stream's end there.
	Sender *Node
	Stream transport.StreamID
	// From and To may be changed for datagrams.
	From, To netip.AddrPort
	// Data may be changed in place or replaced: an attacker on the path.
	Data []byte
	// Lost drops the packet when it is not empty, and says why. Bytes dropped
	// from a stream are missing in it, without a retransmission.
	Lost string
	// Delay comes on top of what the links take.
	Delay time.Duration
}

// Drop marks the flight as lost to a hook.
func (f *Flight) Drop() { f.Lost = LostToHook }

type hook struct{ f func(*Flight) }

// Hook calls f for every packet that is sent, hooks in the order of their
// adding; those behind a hook that drops a packet do not see it. The result
// removes the hook.
func (n *Network) Hook(f func(*Flight)) (remove func()) {
	h := &hook{f}
	n.hooks = append(slices.Clip(n.hooks), h) // hooks may add hooks
	return func() {
		n.hooks = slices.DeleteFunc(slices.Clone(n.hooks), func(x *hook) bool { return x == h })
	}
}

func (n *Network) runHooks(f *Flight) {
	for _, h := range n.hooks {
		if f.Lost != "" {
			return
		}
		h.f(f)
	}
}

// DropNth drops, of the datagrams from node, those whose numbers are given; the
// next one is number 1.
func (n *Network) DropNth(node *Node, numbers ...int) (remove func()) {
	count := 0
	return n.Hook(func(f *Flight) {
		if f.Kind != transport.DatagramSeen || f.Sender != node {
			return
		}
		if count++; slices.Contains(numbers, count) {
			f.Drop()
		}
	})
}

// Inject sends a datagram that no node sent, from any address: the attacker who
// forges a source. It passes no hook; the receiver's NAT and access apply. It
// returns why the datagram is lost already, if it is.
func (n *Network) Inject(from, to netip.AddrPort, data []byte) (lost string) {
	return n.toward(nil, nil, from, to, n.buffers.copy(data), 0)
}
