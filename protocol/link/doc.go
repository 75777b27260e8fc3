// Package link joins the security of a session with the message layer above
// it: a [Link] is one established session of one peer, [dtls.Session] or
// [lightssl.Session] below and [coap.Exchange] above.
//
//	wire --Receive--> records opened --> Exchange --> Events
//	wire <--Packets-- records sealed <-- Exchange <-- Send, Reply, Advance
//
// Both peers of both transports hold one. Each message goes out in a record (or
// frame) of its own; a retransmission is the same message in a new record.
//
// What this package is not: a handshake (it begins when there is a session), a
// store of sessions, or a judge of addresses: it only says which datagrams
// prove where the peer is.
package link
