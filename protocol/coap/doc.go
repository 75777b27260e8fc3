// Package coap implements the message layer of RFC 7252 as Device OS uses it.
//
// [Message] is the wire format (RFC 7252 Section 3); its codec is go-coap's,
// wrapped where Device OS departs from the RFC. [Exchange] is the reliability
// layer (Section 4): acknowledgement, retransmission and deduplication, with
// the numbers of Device OS. [Assembler], [Fetch], [Upload] and [Serving] are
// block-wise transfer (RFC 7959) in the forms that Device OS has.
//
// Nothing here performs I/O, reads a clock or draws global randomness.
//
// Search for "Device OS:" to list every departure from the RFCs.
//
// What this package is not: a CoAP client or server. It does not match
// responses to requests (tokens are the owner's), knows no Particle message
// (package pdc does) and protects nothing (packages dtls and lightssl do).
package coap
