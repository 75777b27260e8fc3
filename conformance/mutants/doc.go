// Package mutants holds the reference cloud and the simulated devices with one
// fault each, as data: what is wrong, which requirements that breaks, and which
// checks must find it. A suite that a mutant gets through proves nothing.
//
// "muster mutants" runs the suites against each and shows who was found out by
// whom.
//
// What this package is not: faults. Those are values of the layers that have them
// (protocol/dtls, protocol/lightssl, protocol/coap, sim/device, cloudref).
package mutants
