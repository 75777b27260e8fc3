// Package dtls implements DTLS 1.2 (RFC 6347) as Device OS and its cloud speak
// it: TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 (RFC 7251) on P-256 with raw public
// keys (RFC 7250), in both roles, without any I/O.
//
// The life of an association, and the type that holds each part of it:
//
//	cloud:  [Gate] (stateless cookies) -> [Server] (one half-open handshake) -> [Session]
//	device: [Client] (one handshake)                                         -> [Session]
//
// Machines take time and datagrams in and put datagrams and events into an
// [Out] that the driver owns. Half-open state exists only while a handshake
// runs. A [Session] is small and holds no pointer, because a process holds a
// million of them; it can be exported, stored and imported again ([State]).
// An [Opener] decrypts recorded traffic without being a party to it.
//
// Two profiles share the machine. [DeviceOS] is what boards speak: the server
// sends no Certificate, the connection id is extension 254 with the record
// protection of draft-ietf-tls-dtls-connection-id-05, and records of the types
// 253 and 254 mark a moved session. [Standard] is what the RFCs say (Certificate
// from both sides, as raw key or X.509; RFC 9146; RFC 7627), for independent
// stacks as peers. Search for "Device OS:" to list every departure.
//
// What a cloud hands to which part, by the first byte of a datagram, is in
// [PeekHeader]. Randomness comes from the Config alone, in a documented order,
// and signatures are deterministic (RFC 6979), so equal inputs give equal bytes.
//
// What this package is not: a general TLS library (one cipher suite, one curve,
// no renegotiation, no session-id resumption), and not a net.Conn.
package dtls
