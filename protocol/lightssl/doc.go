// Package lightssl implements the security of Device OS over TCP, both roles,
// without any I/O: a key exchange with RSA, then AES-128-CBC frames. Its name is
// the one that Device OS gives it.
//
//	device                                  cloud
//	[Client]  <------- nonce, 40 bytes ---------  [Server]
//	          -------- C1, 256 bytes ---------->
//	          <---- C2 | S, 128 + 256 bytes ----
//	[Session] <------- frames, u16 length ----->  [Session]
//
// C1 is nonce, device id and device key under the cloud's RSA-2048 key. C2 is 40
// random bytes, the [Credentials], under the device's RSA-1024 key, and S signs
// an HMAC-SHA1 over C2. Machines take any segmentation of the stream and put
// bytes and events into an [Out] that the driver owns.
//
// What is protected, and what is not: both sides prove that they hold their keys
// and a reader without them learns nothing but lengths. A frame carries no MAC
// and no number, so changed bytes are found only when the padding or the CoAP
// message inside no longer makes sense, and there is no forward secrecy.
//
// Every reason to refuse a C1 looks alike to the peer, because PKCS #1 v1.5
// decryption is otherwise an oracle (RFC 5246 Section 7.4.7.1). All random bytes
// come from the Config in a documented order, so equal inputs give equal bytes.
// Search for "Device OS:" to list departures from the RFCs.
//
// What this package is not: a choice for anything new, and not a net.Conn.
package lightssl
