// Package capture reads what passes on a network without being a party to it: a
// [Decoder] takes the sightings of a tap and the secrets of sessions, in any
// order, and gives decoded packets (package trace), on which verdicts and ledgers
// rest. It believes nothing that an endpoint says of itself: sessions are found by
// address, connection id or device id, records are opened with the keys, and
// requests are matched with their answers by what crossed the wire.
//
// A [KeyLog] writes secrets in the NSS format and a [PcapWriter] writes packets
// for other tools. Secrets are written only where a caller asks for it.
//
// What this package is not: an endpoint. It sends nothing, refuses nothing and
// keeps no replay window: a record that was replayed is decoded and marked.
package capture
