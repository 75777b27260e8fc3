package seed

import (
	"crypto/rsa"
	"fmt"
	"io"
	"math/big"
)

// publicExponent is the e that Device OS hard-codes.
//
// Device OS: a device reads N out of the cloud's key and assumes e = 65537
// (communication/src/handshake.cpp).
const publicExponent = 65537

// RSA returns a two-prime RSA key of the given modulus size in bits (a
// multiple of 16, at least 1024) with e = 65537, drawn from r alone. It panics
// when r fails: a seeded reader never does.
func RSA(r io.Reader, bits int) *rsa.PrivateKey {
	if bits < 1024 || bits%16 != 0 {
		panic(fmt.Sprintf("seed: an RSA key of %d bits", bits))
	}
	e, one := big.NewInt(publicExponent), big.NewInt(1)
	for {
		p, q := Prime(r, bits/2), Prime(r, bits/2)
		if p.Cmp(q) == 0 {
			continue
		}
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(e, phi)
		if d == nil {
			continue // e divides phi
		}
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: publicExponent},
			D:         d,
			Primes:    []*big.Int{p, q},
		}
		key.Precompute()
		if key.Validate() == nil {
			return key
		}
	}
}
