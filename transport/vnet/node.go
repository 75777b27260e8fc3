package vnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/transport"
)

// A Node is a host's place in a network.
type Node struct {
	net     *Network
	host    transport.Host
	access  *Access // nil: perfect
	nat     *NAT    // nil: in the open
	extra   *extra  // nil until needed: a network may have a million nodes
	addr    netip.Addr
	index   int32
	offline bool
	gone    bool
}

// extra is what few nodes need.
type extra struct {
	rand      *rand.Rand
	up, down  line
	addrs     []netip.Addr // besides addr
	prefix    netip.Prefix
	listening []uint16
}

func (node *Node) more() *extra {
	if node.extra == nil {
		node.extra = new(extra)
	}
	return node.extra
}

// rand is the node's own stream of draws: what happens to one node's packets
// does not shift what happens to another's.
func (node *Node) rand() *rand.Rand {
	e := node.more()
	if e.rand == nil {
		r := seed.Stream(node.net.config.Seed, fmt.Sprintf("vnet/%d", node.index))
		e.rand = rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) // 16 bytes where ChaCha8 has 300
	}
	return e.rand
}

// Host returns the host.
func (node *Node) Host() transport.Host { return node.host }

// Addr returns the node's first address, of a node behind a NAT its private
// one.
func (node *Node) Addr() netip.Addr { return node.addr }

// SetAccess connects the node through a, nil standing for the perfect access.
// Nodes may share one; it may change while the network runs.
func (node *Node) SetAccess(a *Access) { node.access = a }

// Listen accepts streams on the ports. A node that does not listen refuses
// them, as a device does.
func (node *Node) Listen(ports ...uint16) {
	e := node.more()
	e.listening = append(e.listening, ports...)
}

func (node *Node) listens(port uint16) bool {
	return node.extra != nil && slices.Contains(node.extra.listening, port)
}

// SetOnline connects the node, as it is at first, or takes it off the network:
// what it sends and what reaches it is lost, and its host is not told.
func (node *Node) SetOnline(online bool) { node.offline = !online }

// Move gives the node another address in place of all that it had, on the same
// side of its NAT. Its streams are lost without a word.
func (node *Node) Move(addr netip.Addr) {
	node.Crash()
	node.leave()
	node.join(addr)
}

// Crash forgets the node's streams without telling anybody, as a power failure
// does. A peer that writes to one of them gets a reset. The host is not told.
func (node *Node) Crash() {
	for _, r := range node.net.streams {
		if r.end().node == node {
			r.conn.vanish(r.side)
		}
	}
}

// Detach removes the node. Its addresses are free again.
func (node *Node) Detach() {
	node.Crash()
	node.leave()
	node.gone = true
	node.net.alarms.set(node.index, clock.Never)
}

// Do lets f act for the host, at the present time: what f leaves in out is
// sent, and the host is asked for its deadline again. Every change to a host
// from outside goes through Do.
func (node *Node) Do(f func(now clock.Instant, out *transport.Out)) {
	n := node.net
	n.enter()
	f(n.now, n.out)
	n.leave(node)
}

// owns reports whether addr is the node's.
func (node *Node) owns(addr netip.Addr) bool {
	if node.gone {
		return false
	}
	if addr == node.addr {
		return true
	}
	e := node.extra
	return e != nil && (slices.Contains(e.addrs, addr) || e.prefix.IsValid() && e.prefix.Contains(addr))
}

// source completes the address that a host gave for what it sends.
func (node *Node) source(local netip.AddrPort) netip.AddrPort {
	if local.Addr().IsValid() && !local.Addr().IsUnspecified() {
		return local
	}
	return netip.AddrPortFrom(node.addr, local.Port())
}

// join takes addresses, in the open or behind the node's NAT.
func (node *Node) join(addrs ...netip.Addr) {
	node.addr = addrs[0]
	if len(addrs) > 1 {
		node.more().addrs = addrs[1:]
	}
	for _, a := range addrs {
		node.directory().add(a, node)
	}
}

func (node *Node) leave() {
	d := node.directory()
	d.remove(node.addr)
	if e := node.extra; e != nil {
		for _, a := range e.addrs {
			d.remove(a)
		}
		d.removePrefix(e.prefix)
		e.addrs, e.prefix = nil, netip.Prefix{}
	}
}

func (node *Node) directory() *directory {
	if node.nat != nil {
		return &node.nat.inside
	}
	return &node.net.open
}
