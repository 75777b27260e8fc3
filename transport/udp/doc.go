// Package udp moves datagrams between hosts and real sockets, many at a time.
//
// An [Engine] is a handful of sockets with one reading goroutine each, a
// "shard". A cloud listens with [Listen]: several sockets on one address, among
// which the kernel spreads the devices (SO_REUSEPORT). A fleet opens with
// [OpenFleet]: sockets on the unspecified address that send for a million
// devices, each from its own loopback address. A fleet that meets a foreign
// cloud uses a [Group]: one socket a device, one goroutine for all.
//
// Answers leave from the address that was addressed, also on a host with
// several addresses (IP_PKTINFO): a device drops what comes from anywhere else.
//
// What this package is not: portable in its fast paths. Linux reads and writes
// batches (recvmmsg, sendmmsg); elsewhere one datagram costs one call, answers
// leave from the address that the system prefers, and there is no Group.
package udp
