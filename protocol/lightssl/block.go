package lightssl

import (
	"crypto/rsa"
	"crypto/subtle"
	"io"
	"math/big"
	"slices"
)

// fill reads all of b. A reader of random bytes that fails is our fault.
func fill(r io.Reader, b []byte) {
	if _, err := io.ReadFull(r, b); err != nil {
		panic("lightssl: reading random bytes: " + err.Error())
	}
}

// fillNonZero reads b and replaces each zero, first to last, with the next byte
// that is not zero.
func fillNonZero(r io.Reader, b []byte) {
	fill(r, b)
	for i := range b {
		for b[i] == 0 {
			fill(r, b[i:i+1])
		}
	}
}

// overhead is what a block has besides padding and message: 00 02 … 00.
const overhead = 3

// appendBlock appends 00 02, the padding, 00 and message (RFC 8017 Section 7.2.1).
func appendBlock(b, padding, message []byte) []byte {
	b = append(b, 0, 2)
	b = append(b, padding...)
	b = append(b, 0)
	return append(b, message...)
}

// encrypt raises block to e modulo N, in as many bytes as N has.
//
// The standard library pads with bytes of its own choice, so that a run could not
// be repeated. The time that this takes depends on the block a little; each block
// is random and used once.
func encrypt(key *rsa.PublicKey, block []byte) []byte {
	m := new(big.Int).SetBytes(block)
	return m.Exp(m, big.NewInt(exponent), key.N).FillBytes(make([]byte, key.Size()))
}

// decryptC1 returns the message in c1 and whether there is one. It takes the same
// time either way, up to the copy of the message: the standard library decodes
// the padding in constant time, but refuses a number that is not below N at
// once, so such a number is replaced.
func decryptC1(key *rsa.PrivateKey, c1 []byte) (message []byte, ok bool) {
	c := slices.Clone(c1)
	n := key.N.FillBytes(make([]byte, cloudKeySize))
	for i := range c {
		c[i] = byte(subtle.ConstantTimeSelect(atLeast(c1, n), 2, int(c[i])))
	}
	message = make([]byte, cloudKeySize)
	m, err := rsa.DecryptPKCS1v15(nil, key, c) //nolint:staticcheck // PKCS #1 v1.5 is what LightSSL has; the cloud's answer tells nothing
	copy(message, m)
	return message[:len(m)], err == nil
}

// atLeast returns 1 if a, as a big-endian number, is at least b, else 0. C1 and N
// are both public.
func atLeast(a, b []byte) int {
	if slices.Compare(a, b) >= 0 {
		return 1
	}
	return 0
}
