// Package trace holds what passed between a device and its cloud, decoded, as
// plain structs: a [Packet] is one datagram or one unit of the TCP transport, its
// Records are what it is made of, and a record may hold handshake messages, an
// alert or a [Message]. Ledgers, reports, timelines and checks are made from them.
//
// Every struct has a String of one line for reports, which shows no application
// data; Lines and Text show everything.
//
// A [Conversation] finds out what belongs together. What this package is not: a
// decoder. It opens nothing; a decoder that is no party to the conversation, or
// one that is, fills the structs in.
package trace
