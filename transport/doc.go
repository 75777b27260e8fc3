// Package transport is the seam between machines and networks: what a [Host]
// hears and says, in the same words whether the network is real or virtual.
//
// Package udp and package tcp under it are the only sockets of the project,
// package drive runs a Host on them, and package vnet runs many Hosts in
// virtual time. All of them report to a [Tap], so that a judge sees the wire
// and need not believe an endpoint.
//
// What this package is not: a protocol. It moves bytes between addresses and
// knows nothing of what they mean.
package transport

import "net/netip"

// DatagramSizeMax is the largest datagram in bytes, UDP payload, that the
// engines receive: longer ones are counted and dropped. The longest record of
// the protocol, with all of its additions, stays below 1300 bytes.
const DatagramSizeMax = 2048

// A Packet is one datagram, seen from the host that sends or receives it.
type Packet struct {
	// Local is the address of the host itself: the source of what it sends,
	// the destination that a received datagram really carried, which is never
	// the unspecified address.
	Local netip.AddrPort
	// Peer is the other end.
	Peer netip.AddrPort
	// Data is the UDP payload, 0 to 65507 bytes.
	Data []byte
}
