// Package interop lets our DTLS machines talk to independent ones: GnuTLS,
// libcoap (on GnuTLS), OpenSSL and pion, over loopback, in both roles.
//
// All of it is tests. They judge what the standard profile of package dtls
// shares with the rest of the world: handshake, fragmentation, retransmission,
// record protection, alerts. The departures of Device OS are unknown to these
// peers; they are judged by the recordings in package fixtures, and here by
// devices and clouds of package gen that are right in all but one thing.
//
// pion and gen run inside the tests and are always there. The programs come
// from the Debian packages gnutls-bin, libcoap3-bin, openssl and iproute2. A
// test whose program is missing is skipped and says so; with
// MUSTER_REQUIRE_PEERS=1 in the environment it fails, which is what CI wants.
//
//	apt-get install gnutls-bin libcoap3-bin openssl iproute2
//	MUSTER_REQUIRE_PEERS=1 go test ./harness/interop
//
// gnutls-serv binds every address, so its tests run in a network namespace of
// their own; where the system forbids that, they are skipped too.
package interop
