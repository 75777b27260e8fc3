package vnet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/muster/muster/protocol/clock"
	"github.com/muster/muster/transport"
)

// A Filter says whose packets a NAT lets in to a mapping (RFC 4787 Section 5).
type Filter uint8

// The filters, the strictest first.
const (
	FilterAddressAndPort Filter = iota // peers that the device has sent to
	FilterAddress                      // any port of hosts that the device has sent to
	FilterNothing                      // anybody
)

// NATConfig configures a NAT. The zero values of all but Public mean the
// strictest common form.
type NATConfig struct {
	// Public are the addresses that the world sees; at least one.
	Public []netip.Addr
	// Idle is how long a mapping outlives the last packet from inside; 0: for
	// ever.
	Idle time.Duration
	// InboundRefresh, if true, keeps a mapping alive by packets from outside
	// too (RFC 4787 Section 4.3 leaves that open).
	InboundRefresh bool
	// Symmetric, if true, gives each destination a mapping of its own
	// (address and port-dependent mapping, RFC 4787 Section 4.1).
	Symmetric bool
	Filter    Filter
}

// portFirst is the lowest public port that a NAT gives out.
const portFirst = 1024

// peersMax is how many peers of one mapping a NAT remembers.
const peersMax = 64

// A NAT hides nodes behind its public addresses. A packet from outside reaches
// them only through a mapping that a packet from inside has made.
type NAT struct {
	net    *Network
	config NATConfig
	inside directory
	byIn   map[inKey]*mapping
	byOut  map[outKey]*mapping
	given  uint32 // ports given out, for ever onward
}

type inKey struct {
	inside, peer netip.AddrPort // peer is zero unless symmetric
	stream       bool
}

type outKey struct {
	outside netip.AddrPort
	stream  bool
}

type mapping struct {
	in      inKey
	outside netip.AddrPort
	used    clock.Instant
	peers   []netip.AddrPort // sent to, the latest last
}

// NewNAT adds a NAT. It panics without a public address, and when one is taken.
func (n *Network) NewNAT(config NATConfig) *NAT {
	nat := &NAT{net: n, config: config, byIn: make(map[inKey]*mapping), byOut: make(map[outKey]*mapping)}
	nat.take(config.Public)
	return nat
}

func (nat *NAT) take(public []netip.Addr) {
	if len(public) == 0 {
		panic("vnet: a NAT without a public address")
	}
	for _, a := range public {
		if nat.net.nats[a] != nil || nat.net.open.find(a) != nil {
			panic(fmt.Sprintf("vnet: address %v is taken", a))
		}
		nat.net.nats[a] = nat
	}
	nat.config.Public = public
}

// Attach gives h a place behind the NAT. Addresses need to differ only from
// those of other nodes behind the same one.
func (nat *NAT) Attach(h transport.Host, addrs ...netip.Addr) *Node {
	return nat.net.attach(h, nat, addrs)
}

// Rebind forgets all mappings: the next packet from inside gets another port,
// and until then nothing from outside comes in.
func (nat *NAT) Rebind() {
	clear(nat.byIn)
	clear(nat.byOut)
}

// Renumber gives the NAT other public addresses and forgets all mappings.
func (nat *NAT) Renumber(public ...netip.Addr) {
	for _, a := range nat.config.Public {
		delete(nat.net.nats, a)
	}
	nat.take(public)
	nat.Rebind()
}

// outbound returns the mapping for a packet from inside, a new one if need be,
// and marks it as used.
func (nat *NAT) outbound(now clock.Instant, inside, peer netip.AddrPort, stream bool) *mapping {
	k := inKey{inside: inside, stream: stream}
	if nat.config.Symmetric {
		k.peer = peer
	}
	m := nat.byIn[k]
	if m == nil || nat.expired(now, m) {
		m = nat.newMapping(k)
	}
	m.used = now
	if len(m.peers) == 0 || m.peers[len(m.peers)-1] != peer {
		m.peers = append(slices.DeleteFunc(m.peers, func(p netip.AddrPort) bool { return p == peer }), peer)
		if len(m.peers) > peersMax {
			m.peers = slices.Delete(m.peers, 0, 1)
		}
	}
	return m
}

func (nat *NAT) newMapping(k inKey) *mapping {
	if old := nat.byIn[k]; old != nil {
		delete(nat.byOut, outKey{old.outside, k.stream})
	}
	const ports = 1<<16 - portFirst
	for range ports * len(nat.config.Public) {
		// Ports go up, so that a mapping that is made again differs.
		port := portFirst + uint16(nat.given%ports)
		addr := nat.config.Public[int(nat.given/ports)%len(nat.config.Public)]
		nat.given++
		m := &mapping{in: k, outside: netip.AddrPortFrom(addr, port)}
		o := outKey{m.outside, k.stream}
		if old := nat.byOut[o]; old != nil {
			if !nat.expired(nat.net.now, old) {
				continue
			}
			delete(nat.byIn, old.in)
		}
		nat.byIn[k], nat.byOut[o] = m, m
		return m
	}
	panic("vnet: a NAT has no port left; give it more public addresses")
}

// inbound returns where a packet from outside goes, if it may go in.
func (nat *NAT) inbound(now clock.Instant, outside, peer netip.AddrPort, stream bool) (netip.AddrPort, bool) {
	m := nat.byOut[outKey{outside, stream}]
	if m == nil || nat.expired(now, m) || !nat.admits(m, peer) {
		return netip.AddrPort{}, false
	}
	if nat.config.InboundRefresh {
		m.used = now
	}
	return m.in.inside, true
}

func (nat *NAT) admits(m *mapping, peer netip.AddrPort) bool {
	return nat.config.Filter == FilterNothing || slices.ContainsFunc(m.peers, func(p netip.AddrPort) bool {
		return p == peer || nat.config.Filter == FilterAddress && p.Addr() == peer.Addr()
	})
}

func (nat *NAT) expired(now clock.Instant, m *mapping) bool {
	return nat.config.Idle > 0 && now.Sub(m.used) > nat.config.Idle
}

// holds reports whether m is still a mapping of the NAT.
func (nat *NAT) holds(now clock.Instant, m *mapping) bool {
	return nat.byIn[m.in] == m && !nat.expired(now, m)
}
