package dtls

import (
	"crypto/ecdh"
	"fmt"
	"io"
)

// appendClientKeyExchange appends the body of a ClientKeyExchange (RFC 8422
// Section 5.7).
func appendClientKeyExchange(b, point []byte) []byte { return appendVector8(b, point) }

// parseClientKeyExchange returns the point.
func parseClientKeyExchange(b []byte) (point []byte, ok bool) {
	r := reader{b: b}
	point = r.vector8()
	return point, r.done() && len(point) == pointSize
}

// ephemeral returns an ECDHE key whose scalar is the first valid one that rand
// yields, 32 bytes a try.
//
// The key generators of the standard library ignore their reader (Go 1.26).
func ephemeral(rand io.Reader) *ecdh.PrivateKey {
	var scalar [32]byte
	for {
		draw(rand, scalar[:])
		if key, err := ecdh.P256().NewPrivateKey(scalar[:]); err == nil {
			return key
		}
	}
}

// draw fills b. It panics when rand fails: there is no way on without it.
func draw(rand io.Reader, b []byte) {
	if _, err := io.ReadFull(rand, b); err != nil {
		panic(fmt.Sprintf("dtls: reading randomness: %v", err))
	}
}

// premaster returns the x coordinate that both sides share. ok is false when
// point is not on the curve.
func premaster(key *ecdh.PrivateKey, point []byte) (secret []byte, ok bool) {
	peer, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, false
	}
	secret, err = key.ECDH(peer)
	return secret, err == nil
}
