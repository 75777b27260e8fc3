// Package recording reads traffic that somebody else captured, with Wireshark,
// tcpdump or a router: pcap and pcapng files, of Ethernet, loopback, Linux cooked
// (SLL and SLL2) and raw IP links, IPv4 and IPv6, fragments and TCP segments put
// together again. It gives sightings, which package capture decodes, as if a tap had
// sat at the device.
//
// A [File] is one capture file, [Keys] are the secrets that open what is in it.
//
// A recording may be a part of a conversation, cut at either end, with holes. Nothing
// of that is an error: [Counts] tells what could not be used and why.
package recording
