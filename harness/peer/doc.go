// Package peer has puppets: a device and a cloud that protect what they are told
// to say with the right keys, and say nothing else.
//
// A puppet has no protocol logic above the record layer. It sends bytes as one
// CoAP message, keeps what it hears, and answers with courtesies that a check
// turns off or replaces ([Answer]). What a correct peer would never send comes
// from the check: a literal, an encoder of package fixtures/gen, or a message of
// package pdc with something changed. The layers below bend by their Faults.
//
// Both are transport.Hosts, so that they run in virtual time and on real sockets
// alike.
//
// What this package is not: a judge. Checks judge what crossed the wire.
package peer
