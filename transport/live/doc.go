// Package live is a network of real sockets that only moves while somebody lets time
// pass: what package vnet is in virtual time, in that of the wall. A script plays hosts
// on either of them in the same way.
//
// A [Network] holds [Node]s, each with a transport.Host and sockets that are opened when
// the host first speaks from a port. What arrives waits until the owner of the network
// calls Run or RunUntil, on whose goroutine hosts are called: a script looks at its hosts
// between two calls and nothing changes under its eyes.
//
// What this package is not: fast. It serves a few hosts; many devices are the affair of
// packages udp and drive.
package live
