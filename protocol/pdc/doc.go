// Package pdc holds the messages of the Particle device cloud: what a Device OS
// board and its cloud say to each other over CoAP.
//
// One file holds one message. A message is a struct; ParseX reads it from a
// [coap.Message], and its Message method writes it in the form that the peer
// of a [Dialect] expects, without a message ID, which the exchange assigns.
// The file kind.go is the table of all kinds; [Classify] finds the kind of a
// message strictly, [DispatchOnDevice] as loosely as a board does.
//
// ParseX judges as a cloud or a harness does: strict about what the field
// means, tolerant of what a later version may append. Where a board reads a
// message differently (fixed offsets, options skipped unread), a function
// OnDevice... beside it does the same; it takes a message that
// DispatchOnDevice has named, of four bytes at least. Departures from an RFC
// are marked "Device OS:".
//
// Rule labels name their source: "PDC-5.1" is section 5.1 of the application
// protocol reference, "C-33", "D-14" and "N-24" are its
// conformance points; "TRN-5.5" and "R-85" are of the transport reference.
//
// What this package is not: a client or a server. It does no I/O, retransmits
// nothing, keeps no state between messages and decides nothing: what a device
// or a cloud does with a message is in sim/device and cloudref/app.
package pdc
