// Package vnet is a network that does not exist: hosts exchange datagrams and
// streams in virtual time, as fast as the machine computes, and every run with
// one seed is the same run.
//
// A [Network] holds [Node]s, each with a transport.Host, its addresses and its
// access to the network: delay, loss, duplication, reordering, a size and a
// bandwidth limit. A [NAT] hides nodes. Hooks see every packet on its way and
// may drop, change, delay or repeat it; Inject plays the attacker.
//
// Time stands still while hosts compute. It moves from event to event: an
// arrival, a deadline of a host, or a function scheduled with At. Of two events
// at one instant, arrivals and functions come in the order in which they were
// scheduled, then deadlines in the order in which nodes were attached.
//
// What this package is not: a model of routers or of congestion. All that
// happens to a packet happens at the access of its sender and of its receiver.
// Streams are reliable and ordered: loss only delays them, until the sender
// gives up. A Network is not safe for concurrent use; several networks may run
// side by side.
package vnet
